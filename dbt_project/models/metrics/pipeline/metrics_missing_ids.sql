{# A view: nobody asks every hour, and with no range open it reads no record. #}
{{ config(materialized='view') }}

with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

records as (

    select * from {{ ref('stg_access_logs__records') }}

),

quarantined_records as (

    select * from {{ ref('stg_access_logs__quarantined_records') }}

),

ranges_overtaken as (

    select
        batches.batch_seq as overtaken_batch_seq,
        batches.landed_at as overtaken_at,
        ranges.low_id,
        ranges.high_id

    from batches
    cross join unnest(batches.missing_ranges) as ranges (low_id, high_id)

),

ids_that_came as (

    select record_id from records

    union

    select record_id from quarantined_records

),

{# Each range with the ids that came after all, and its two ends, which are not of it. #}
fences_collected as (

    select
        ranges_overtaken.*,
        ids_that_came.record_id as fence_id

    from ranges_overtaken
    inner join
        ids_that_came
        on ids_that_came.record_id between ranges_overtaken.low_id and ranges_overtaken.high_id

    union all

    select
        ranges_overtaken.*,
        fences.fence_id

    from ranges_overtaken
    cross join unnest(
        array[ranges_overtaken.low_id - 1, ranges_overtaken.high_id + 1]
    ) as fences (fence_id)

),

fences_paired as (

    select
        overtaken_batch_seq,
        overtaken_at,
        fence_id,
        lead(fence_id) over (
            partition by overtaken_batch_seq, low_id order by fence_id
        ) as next_fence_id

    from fences_collected

),

gaps_found as (

    select
        fence_id + 1 as first_missing_id,
        next_fence_id - 1 as last_missing_id,
        next_fence_id - fence_id - 1 as missing_id_count,
        overtaken_batch_seq,
        overtaken_at

    from fences_paired

    where next_fence_id - fence_id > 1

)

select * from gaps_found
