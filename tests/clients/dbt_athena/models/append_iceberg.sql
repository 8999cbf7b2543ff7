{{ config(materialized='incremental', incremental_strategy='append', table_type='iceberg') }}
select id, name, day from {{ ref('arrivals') }}
