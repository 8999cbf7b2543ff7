{# Which endpoints are slowest?
   The newest final day, slowest first, in milliseconds. Percentiles are null below 20 measured
   requests; latency_coverage says which share of the requests was measured at all. #}

with

endpoints as (

    select * from {{ ref('metrics_endpoint_daily') }}

),

newest_date as (

    select max(metric_date) as metric_date
    from endpoints
    where is_final

),

latencies_listed as (

    select
        endpoints.metric_date,
        endpoints.route,
        endpoints.method,
        endpoints.request_count,
        endpoints.latency_coverage,
        endpoints.latency_p50_ms,
        endpoints.latency_p95_ms,
        endpoints.latency_p99_ms,
        endpoints.is_final,
        endpoints.completeness_pct

    from endpoints
    inner join newest_date on endpoints.metric_date = newest_date.metric_date

)

select * from latencies_listed
order by latency_p95_ms desc nulls last, request_count desc, route asc, method asc
limit 15
