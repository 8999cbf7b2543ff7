with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

{# A batch names its days in the source's zone; its first and last instants give the metric's. One
   that replaces another names the days and instants of both. #}
event_days_unnested as (

    select
        batches.batch_seq,
        cast(event_days.first_at as timestamp(3)) as first_occurred_at,
        cast(event_days.last_at as timestamp(3)) as last_occurred_at

    from batches
    cross join unnest(batches.event_days) as event_days (dt, row_count, first_at, last_at)

),

dates_spanned as (

    select
        event_days_unnested.batch_seq,
        spanned_dates.event_date

    from event_days_unnested
    cross join unnest(
        sequence(
            {{ utc_to_date('event_days_unnested.first_occurred_at', var('metric_time_zone')) }},
            {{ utc_to_date('event_days_unnested.last_occurred_at', var('metric_time_zone')) }},
            interval '1' day
        )
    ) as spanned_dates (event_date)

),

dates_deduplicated as (

    select distinct
        batch_seq,
        event_date

    from dates_spanned

)

select * from dates_deduplicated
