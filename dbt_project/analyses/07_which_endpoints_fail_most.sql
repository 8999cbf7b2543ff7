{# Which endpoints fail most?
   The last 28 final days together, by the lower end of the error rate's 95 % Wilson interval: an
   endpoint with one failure in one request does not come first, one with 40 in 100 does. #}

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
        cast(sum(endpoints.request_count) as double) as n,
        cast(sum(endpoints.error_count) as double) as e,
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

{# Wilson's interval with z = 1.96; 3.8416 is its square. #}
rates_bounded as (

    select
        route,
        method,
        request_count,
        error_count,
        e / n as error_rate,
        greatest(
            0e0,
            ((e + 3.8416e0 / 2) - 1.96e0 * sqrt(e * (n - e) / n + 3.8416e0 / 4)) / (n + 3.8416e0)
        ) as error_rate_low,
        least(
            1e0,
            ((e + 3.8416e0 / 2) + 1.96e0 * sqrt(e * (n - e) / n + 3.8416e0 / 4)) / (n + 3.8416e0)
        ) as error_rate_high,
        is_final,
        completeness_pct

    from requests_summed

)

select * from rates_bounded
order by error_rate_low desc, request_count desc, route asc, method asc
limit 15
