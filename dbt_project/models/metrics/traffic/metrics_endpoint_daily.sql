{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(metric_date)'],
        unique_key=['metric_date', 'route', 'method'],
    )
}}

{# A request counts on its own date alone. A date that no batch touched has no row. #}
{% set dirty = dirty_dates('metric_date', ref('dim_dates'), {
    'max(as_of_batch_seq)': 'nullif(day_batch_seq, 0)',
    'bool_or(is_final)': 'case when day_batch_seq > 0 then is_final end',
    'max(completeness_pct)': 'case when day_batch_seq > 0 then completeness_pct end',
}) %}

{# 95 % of all errors' true rates lie within Wilson's interval; 3.8416 is the square of 1.96. #}
{% set z = '1.96e0' %}
{% set z_squared = '3.8416e0' %}

{# A percentile of fewer is an anecdote. #}
{% set least_latency_count = 20 %}

with

records as (

    select * from {{ ref('stg_access_logs__records') }}

    where {{ in_dates('event_date', dirty) }} and {{ in_source_dates('source_date', dirty) }}

),

dates as (

    select * from {{ ref('dim_dates') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

{# A null never equals a null: as part of a merge key it would be inserted again on every run. #}
endpoints_named as (

    select
        event_date as metric_date,
        coalesce(route, '(none)') as route,
        coalesce(method, '(none)') as method,
        user_id,
        url,
        level_name,
        is_error,
        status_code,
        latency_ms,
        date_trunc('minute', occurred_at) as minute_at

    from records

),

{# A window rather than a second grouping: Athena reads raw again for each mention of a CTE. #}
minutes_counted as (

    select
        *,
        count(*) over (
            partition by metric_date, route, method, minute_at
        ) as minute_request_count

    from endpoints_named

),

endpoints_counted as (

    select
        metric_date,
        route,
        method,
        count(*) as request_count,
        count(distinct user_id) as user_count,
        count_if(is_error) as error_count,
        count_if(status_code between 400 and 499) as client_error_count,
        count_if(level_name = 'WARNING') as warning_count,
        count(latency_ms) as latency_count,
        array_sort(array_agg(latency_ms) filter (where latency_ms is not null)) as latencies_ms,
        min(url) as sample_url,
        max(minute_request_count) as peak_minute_request_count

    from minutes_counted

    group by 1, 2, 3

),

days_totalled as (

    select
        *,
        sum(request_count) over (partition by metric_date) as day_request_count,
        cast(request_count as double) as n,
        cast(error_count as double) as e

    from endpoints_counted

),

{# Wilson's interval rather than e / n +- something: it stays within 0 and 1, and one error in three
   requests does not look like one in three million. #}
intervals_centred as (

    select
        *,
        (e + {{ z_squared }} / 2) / (n + {{ z_squared }}) as centre,
        {{ z }} * sqrt(e * (n - e) / n + {{ z_squared }} / 4) / (n + {{ z_squared }}) as half_width

    from days_totalled

),

rates_computed as (

    select
        intervals_centred.metric_date,
        intervals_centred.route,
        intervals_centred.method,
        intervals_centred.request_count,
        intervals_centred.user_count,
        intervals_centred.error_count,
        intervals_centred.client_error_count,
        intervals_centred.warning_count,
        intervals_centred.e / intervals_centred.n as error_rate,
        greatest(0e0, intervals_centred.centre - intervals_centred.half_width) as error_rate_low,
        least(1e0, intervals_centred.centre + intervals_centred.half_width) as error_rate_high,
        intervals_centred.n / intervals_centred.day_request_count as share_of_requests,
        intervals_centred.n / intervals_centred.user_count as requests_per_user,
        cast(intervals_centred.peak_minute_request_count as double) / 60 as peak_minute_rps,
        intervals_centred.latency_count,
        cast(intervals_centred.latency_count as double) / intervals_centred.request_count
            as latency_coverage,
        {# Nearest rank, as in fct_arrivals_daily. #}
        case
            when intervals_centred.latency_count >= {{ least_latency_count }}
                then element_at(
                    intervals_centred.latencies_ms,
                    cast(ceil(0.50 * intervals_centred.latency_count) as bigint)
                )
        end as latency_p50_ms,
        case
            when intervals_centred.latency_count >= {{ least_latency_count }}
                then element_at(
                    intervals_centred.latencies_ms,
                    cast(ceil(0.95 * intervals_centred.latency_count) as bigint)
                )
        end as latency_p95_ms,
        case
            when intervals_centred.latency_count >= {{ least_latency_count }}
                then element_at(
                    intervals_centred.latencies_ms,
                    cast(ceil(0.99 * intervals_centred.latency_count) as bigint)
                )
        end as latency_p99_ms,
        intervals_centred.sample_url,
        dates.is_final,
        dates.completeness_pct,
        dates.day_batch_seq as as_of_batch_seq,
        cast(batches.landed_at as timestamp(6)) as as_of

    from intervals_centred
    inner join dates on intervals_centred.metric_date = dates.metric_date
    left join batches on dates.day_batch_seq = batches.batch_seq

)

select * from rates_computed
{{ with_tombstones(['metric_date', 'route', 'method'], dirty) }}
