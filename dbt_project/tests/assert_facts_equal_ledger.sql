{# What the batches say they brought is what the facts have counted: no record lost, doubled or half
   published, without reading raw again. By date where the ledger's days are the metric's, else in
   all: an instant is counted once in either zone. #}
{% set is_one_zone = var('metric_time_zone') == var('source_time_zone') %}

with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

claims_and_finds as (

    select
        event_days.dt as source_date,
        event_days.row_count as claimed_count,
        0 as found_count

    from batches
    cross join unnest(batches.event_days) as event_days (dt, row_count, first_at, last_at)

    union all

    select
        cast(event_date as varchar) as source_date,
        0 as claimed_count,
        event_count as found_count

    from {{ ref('fct_user_daily') }}

),

dates_summed as (

    select
        {{ 'source_date' if is_one_zone else "'all'" }} as source_date,
        sum(claimed_count) as claimed_count,
        sum(found_count) as found_count

    from claims_and_finds

    group by 1

)

select * from dates_summed
where claimed_count <> found_count
