{{ config(
    materialized='incremental', incremental_strategy='insert_overwrite', partitioned_by=['day']
) }}
select id, name, day from {{ ref('arrivals') }}
