{{ config(
    materialized='incremental', incremental_strategy='microbatch', partitioned_by=['day'],
    event_time='day', batch_size='day', begin='2024-01-01'
) }}
select id, name, day from {{ ref('arrivals') }}
