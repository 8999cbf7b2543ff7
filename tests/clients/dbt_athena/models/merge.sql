{{ config(
    materialized='incremental', incremental_strategy='merge', table_type='iceberg', unique_key='id'
) }}
select id, name, day from {{ ref('arrivals') }}
