{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(metric_date)'],
        unique_key=['metric_date', 'activity'],
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

activities_counted as (

    select
        event_date as metric_date,
        coalesce(activity, '(none)') as activity,
        count(*) as event_count,
        count(distinct user_id) as user_count

    from records

    group by 1, 2

),

rates_computed as (

    select
        activities_counted.metric_date,
        activities_counted.activity,
        activities_counted.event_count,
        activities_counted.user_count,
        cast(activities_counted.event_count as double) / activities_counted.user_count
            as events_per_user,
        dates.is_final,
        dates.completeness_pct,
        dates.day_batch_seq as as_of_batch_seq,
        cast(batches.landed_at as timestamp(6)) as as_of

    from activities_counted
    inner join dates on activities_counted.metric_date = dates.metric_date
    left join batches on dates.day_batch_seq = batches.batch_seq

)

select * from rates_computed
{{ with_tombstones(['metric_date', 'activity'], dirty) }}
