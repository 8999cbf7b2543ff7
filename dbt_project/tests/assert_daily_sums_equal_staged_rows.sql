{# Every accepted record is counted once in each daily table: sums tie to staging, day by day. A
   dirty day that was missed, or counted twice, shows here. #}
with

counts_collected as (

    select
        event_date as metric_date,
        1 as record_count,
        0 as user_day_event_count,
        0 as request_count,
        0 as event_count

    from {{ ref('stg_access_logs__records') }}

    union all

    select
        event_date as metric_date,
        0 as record_count,
        event_count as user_day_event_count,
        0 as request_count,
        0 as event_count

    from {{ ref('fct_user_daily') }}

    union all

    select
        metric_date,
        0 as record_count,
        0 as user_day_event_count,
        request_count,
        0 as event_count

    from {{ ref('metrics_endpoint_daily') }}

    union all

    select
        metric_date,
        0 as record_count,
        0 as user_day_event_count,
        0 as request_count,
        event_count

    from {{ ref('metrics_daily_active') }}

),

days_summed as (

    select
        metric_date,
        sum(record_count) as record_count,
        sum(user_day_event_count) as user_day_event_count,
        sum(request_count) as request_count,
        sum(event_count) as event_count

    from counts_collected

    group by 1

)

select * from days_summed
where
    record_count <> user_day_event_count
    or record_count <> request_count
    or record_count <> event_count
