{# Which endpoints are busiest?
   The last 28 final days together. share_of_requests is of all requests of those days; people are
   not given, because a person may use an endpoint on many days. #}

with

endpoints as (

    select * from {{ ref('metrics_endpoint_daily') }}

),

newest_date as (

    select max(metric_date) as metric_date
    from endpoints
    where is_final

),

requests_summed as (

    select
        endpoints.route,
        endpoints.method,
        sum(endpoints.request_count) as request_count,
        sum(endpoints.error_count) as error_count,
        max(endpoints.peak_minute_rps) as peak_minute_rps,
        bool_and(endpoints.is_final) as is_final,
        min(endpoints.completeness_pct) as completeness_pct

    from endpoints
    inner join
        newest_date
        on
            endpoints.metric_date between
            date_add('day', -27, newest_date.metric_date) and newest_date.metric_date

    group by endpoints.route, endpoints.method

),

shares_computed as (

    select
        route,
        method,
        request_count,
        cast(request_count as double) / sum(request_count) over () as share_of_requests,
        error_count,
        peak_minute_rps,
        is_final,
        completeness_pct

    from requests_summed

)

select * from shares_computed
order by request_count desc, route asc, method asc
limit 15
