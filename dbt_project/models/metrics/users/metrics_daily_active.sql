{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(metric_date)'],
        unique_key=['metric_date'],
    )
}}
{# What a batch did not touch may still change: a first date that moves away takes a new user along,
   and history that begins earlier completes windows. #}
{% set dirty = dirty_dates('metric_date', ref('dim_dates'), {
    'max(as_of_batch_seq)': 'greatest(sessions_batch_seq, last_28_days_batch_seq)',
    'max(is_final)': 'is_final',
    'max(completeness_pct)': 'completeness_pct',
    'max(new_user_count)': 'new_user_count',
    'max(is_wau_complete)': 'is_wau_complete',
    'max(is_mau_complete)': 'is_mau_complete',
}) %}

with

dates as (

    select * from {{ ref('dim_dates') }}
    where {{ in_dates('metric_date', dirty) }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

{# The 28 days that the mean of dau is taken over. #}
user_days as (

    select * from {{ ref('fct_user_daily') }}
    where {{ in_dates('event_date', dates_around(dirty, 27, 0)) }}

),

user_windows as (

    select * from {{ ref('fct_user_activity_bits') }}
    where {{ in_dates('metric_date', dirty) }}

),

sessions as (

    select * from {{ ref('fct_sessions') }}
    where {{ in_dates('session_date', dirty) }} and not is_over_cap

),

user_days_counted as (

    select
        event_date,
        count_if(is_active) as dau,
        sum(event_count) as event_count,
        sum(active_event_count) as active_event_count

    from user_days

    group by 1

),

{# A date counts for itself, and in the mean of the 28 days that end on it or after it. #}
dates_carried_forward as (

    select
        user_days_counted.dau,
        user_days_counted.event_count,
        user_days_counted.active_event_count,
        windows.metric_date,
        windows.metric_date = user_days_counted.event_date as is_own_date

    from user_days_counted
    cross join unnest(
        sequence(
            user_days_counted.event_date,
            date_add('day', 27, user_days_counted.event_date),
            interval '1' day
        )
    ) as windows (metric_date)

),

dates_summed as (

    select
        metric_date,
        sum(dau) as dau_sum,
        sum(case when is_own_date then dau end) as dau,
        sum(case when is_own_date then event_count end) as event_count,
        sum(case when is_own_date then active_event_count end) as active_event_count

    from dates_carried_forward

    group by 1

),

{# One row per user and window, so that counting rows counts each user once. #}
windows_counted as (

    select
        metric_date,
        count_if(days_since_active <= 6) as wau,
        count(*) as mau

    from user_windows

    group by 1

),

sessions_collected as (

    select
        session_date,
        count(*) as session_count,
        count_if(is_bounce) as bounce_count,
        array_sort(array_agg(duration_seconds)) as durations

    from sessions

    group by 1

),

{# Nearest rank, exact: the ceil(p × n)-th smallest; no interpolation, the same on every engine. #}
sessions_ranked as (

    select
        session_date,
        session_count,
        bounce_count,
        element_at(durations, cast(ceil(0.50 * session_count) as bigint)) as session_p50_seconds,
        element_at(durations, cast(ceil(0.90 * session_count) as bigint)) as session_p90_seconds

    from sessions_collected

),

empty_dates_filled as (

    select
        dates.metric_date,
        coalesce(dates_summed.dau, 0) as dau,
        coalesce(windows_counted.wau, 0) as wau,
        coalesce(windows_counted.mau, 0) as mau,
        coalesce(dates_summed.dau_sum, 0) as dau_sum,
        dates.new_user_count,
        coalesce(dates_summed.event_count, 0) as event_count,
        coalesce(dates_summed.active_event_count, 0) as active_event_count,
        coalesce(sessions_ranked.session_count, 0) as session_count,
        coalesce(sessions_ranked.bounce_count, 0) as bounce_count,
        sessions_ranked.session_p50_seconds,
        sessions_ranked.session_p90_seconds,
        dates.is_wau_complete,
        dates.is_mau_complete,
        dates.is_final,
        dates.completeness_pct,
        greatest(dates.sessions_batch_seq, dates.last_28_days_batch_seq) as as_of_batch_seq

    from dates
    left join dates_summed on dates.metric_date = dates_summed.metric_date
    left join windows_counted on dates.metric_date = windows_counted.metric_date
    left join sessions_ranked on dates.metric_date = sessions_ranked.session_date

),

rates_computed as (

    select
        empty_dates_filled.metric_date,
        empty_dates_filled.dau,
        empty_dates_filled.wau,
        empty_dates_filled.mau,
        cast(empty_dates_filled.dau as double) / nullif(empty_dates_filled.mau, 0) as dau_mau,
        cast(empty_dates_filled.dau as double) / nullif(empty_dates_filled.wau, 0) as dau_wau,
        case
            when empty_dates_filled.is_mau_complete
                then
                    cast(empty_dates_filled.dau_sum as double)
                    / 28
                    / nullif(empty_dates_filled.mau, 0)
        end as mean_dau_mau,
        empty_dates_filled.new_user_count,
        empty_dates_filled.dau - empty_dates_filled.new_user_count as returning_user_count,
        empty_dates_filled.event_count,
        empty_dates_filled.active_event_count,
        cast(empty_dates_filled.active_event_count as double)
        / nullif(empty_dates_filled.dau, 0) as events_per_dau,
        empty_dates_filled.session_count,
        cast(empty_dates_filled.session_count as double)
        / nullif(empty_dates_filled.dau, 0) as sessions_per_dau,
        empty_dates_filled.session_p50_seconds,
        empty_dates_filled.session_p90_seconds,
        cast(empty_dates_filled.bounce_count as double)
        / nullif(empty_dates_filled.session_count, 0) as bounce_rate,
        empty_dates_filled.is_wau_complete,
        empty_dates_filled.is_mau_complete,
        empty_dates_filled.is_final,
        empty_dates_filled.completeness_pct,
        empty_dates_filled.as_of_batch_seq,
        cast(batches.landed_at as timestamp(6)) as as_of

    from empty_dates_filled
    left join batches on empty_dates_filled.as_of_batch_seq = batches.batch_seq

)

select * from rates_computed
{{ with_tombstones(['metric_date'], dirty) }}
