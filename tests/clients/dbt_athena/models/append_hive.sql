{{ config(materialized='incremental', incremental_strategy='append') }}
select id, name, day from {{ ref('arrivals') }}
