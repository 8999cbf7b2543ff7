{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(metric_date)'],
        unique_key=['metric_date', 'hour', 'route'],
    )
}}

{# As in metrics_endpoint_daily. #}
{% set dirty = dirty_dates('metric_date', ref('dim_dates'), {
    'max(as_of_batch_seq)': 'nullif(day_batch_seq, 0)',
    'bool_or(is_final)': 'case when day_batch_seq > 0 then is_final end',
    'max(completeness_pct)': 'case when day_batch_seq > 0 then completeness_pct end',
}) %}

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

hours_counted as (

    select
        event_date as metric_date,
        hour(
            at_timezone(with_timezone(occurred_at, 'UTC'), '{{ var("metric_time_zone") }}')
        ) as hour,
        coalesce(route, '(none)') as route,
        count(*) as request_count,
        count(distinct user_id) as user_count,
        count_if(is_error) as error_count

    from records

    group by 1, 2, 3

),

trust_added as (

    select
        hours_counted.metric_date,
        hours_counted.hour,
        hours_counted.route,
        hours_counted.request_count,
        hours_counted.user_count,
        hours_counted.error_count,
        dates.is_final,
        dates.completeness_pct,
        dates.day_batch_seq as as_of_batch_seq,
        cast(batches.landed_at as timestamp(6)) as as_of

    from hours_counted
    inner join dates on hours_counted.metric_date = dates.metric_date
    left join batches on dates.day_batch_seq = batches.batch_seq

)

select * from trust_added
{{ with_tombstones(['metric_date', 'hour', 'route'], dirty) }}
