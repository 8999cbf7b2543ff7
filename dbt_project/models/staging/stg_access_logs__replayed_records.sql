{# Which records each replay settled. A table, because few batches are replays, and finding theirs
   in raw reads all of it. A batch never changes, so each is read once. #}
{{
    config(
        materialized='incremental',
        table_type='iceberg',
        unique_key=['as_of_batch_seq', 'record_key'],
    )
}}
{% set query %}
    select distinct event_days.dt
    from {{ ref('stg_access_logs__batches') }} as batches
    cross join unnest(batches.event_days) as event_days (dt, row_count, first_at, last_at)
    where
        batches.source_name = 'replay'
        and batches.batch_seq not in (select as_of_batch_seq from {{ this }})
{% endset %}
{% set source_dates = values_of(query) %}

with

source as (

    select * from {{ source('access_logs', 'access_logs') }}

    where {{ in_texts('dt', source_dates) }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

{# Grouped: for seconds, while compaction merges a day's files, a row may be there twice. #}
replayed as (

    select
        source.batch_seq as as_of_batch_seq,
        cast(source.record_id as varchar) as record_key

    from source
    inner join batches on source.batch_seq = batches.batch_seq

    where batches.source_name = 'replay'

    group by 1, 2

)

select * from replayed
