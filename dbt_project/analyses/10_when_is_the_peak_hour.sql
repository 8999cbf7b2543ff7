{# When is the peak hour?
   Requests by hour of the day in METRIC_TIME_ZONE, over the last 28 final days; rank 1 is the peak.
   requests_per_day is the mean of an hour of that name. #}

with

hours as (

    select * from {{ ref('metrics_endpoint_hourly') }}

),

newest_date as (

    select max(metric_date) as metric_date
    from hours
    where is_final

),

hours_summed as (

    select
        hours.hour,
        sum(hours.request_count) as request_count,
        cast(sum(hours.request_count) as double) / 28 as requests_per_day,
        sum(hours.error_count) as error_count,
        bool_and(hours.is_final) as is_final,
        min(hours.completeness_pct) as completeness_pct

    from hours
    inner join
        newest_date
        on
            hours.metric_date between
            date_add('day', -27, newest_date.metric_date) and newest_date.metric_date

    group by hours.hour

),

hours_ranked as (

    select
        rank() over (order by request_count desc) as rank_by_requests,
        hour,
        request_count,
        requests_per_day,
        error_count,
        is_final,
        completeness_pct

    from hours_summed

)

select * from hours_ranked
order by rank_by_requests asc, hour asc
