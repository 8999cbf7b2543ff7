{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        table_type='iceberg',
        format='parquet',
        partitioned_by=['month(period_end_date)'],
        unique_key=['period_end_date', 'period'],
        delete_condition='src.as_of_batch_seq is null',
        insert_condition='src.as_of_batch_seq is not null',
        unique_tmp_table_suffix=true,
        on_schema_change='fail',
    )
}}
{% set periods_by_date %}
    (
        select
            period_end_date as metric_date,
            max(as_of_batch_seq) as as_of_batch_seq,
            count_if(is_final) as final_count,
            count_if(is_complete) as complete_count,
            array_agg(completeness_pct order by period) as completeness_pcts,
            array_agg(new_user_count order by period) as new_user_counts
        from {{ ref('int_growth_periods') }}
        group by 1
    )
{% endset %}
{# New users are compared, because a first date that moves leaves dates that no batch touched. #}
{% set dirty = dirty_dates('period_end_date', periods_by_date, {
    'max(as_of_batch_seq)': 'as_of_batch_seq',
    'count_if(is_final)': 'final_count',
    'count_if(is_complete)': 'complete_count',
    'array_agg(completeness_pct order by period)': 'completeness_pcts',
    'array_agg(new_user_count order by period)': 'new_user_counts',
}) %}

with

periods as (

    select * from {{ ref('int_growth_periods') }}
    where {{ in_dates('period_end_date', dirty) }}

),

{# A 28-day period and the one before it. #}
user_days as (

    select * from {{ ref('fct_user_daily') }}
    where {{ in_dates('event_date', dates_around(dirty, 55, 0)) }}

),

active_days as (

    select
        user_id,
        event_date,
        least(
            date_add('day', 27, event_date),
            coalesce(
                date_add(
                    'day', -1, lead(event_date) over (partition by user_id order by event_date)
                ),
                date_add('day', 27, event_date)
            )
        ) as last_carried_date

    from user_days

    where is_active

),

{# Once per user and period. A day carries its user through the 28-day periods until the user's next
   active day does. #}
users_active as (

    select
        'day' as period,
        event_date as period_end_date,
        user_id

    from active_days

    union all

    select distinct
        'week' as period,
        date_add('day', 7 - day_of_week(event_date), event_date) as period_end_date,
        user_id

    from active_days

    union all

    select
        '28d' as period,
        carried_dates.period_end_date,
        active_days.user_id

    from active_days
    cross join unnest(
        sequence(active_days.event_date, active_days.last_carried_date, interval '1' day)
    ) as carried_dates (period_end_date)

),

{# Each user once in the period that was active, and once as what the next one looks back on. #}
users_placed as (

    select
        periods.period,
        periods.period_end_date,
        users_active.user_id,
        1 as active_user_count,
        0 as prior_active_user_count

    from periods
    inner join
        users_active
        on
            periods.period = users_active.period
            and periods.period_end_date = users_active.period_end_date

    union all

    select
        periods.period,
        periods.period_end_date,
        users_active.user_id,
        0 as active_user_count,
        1 as prior_active_user_count

    from periods
    inner join
        users_active
        on
            periods.period = users_active.period
            and periods.prior_period_end_date = users_active.period_end_date

),

users_compared as (

    select
        period,
        period_end_date,
        user_id,
        sum(active_user_count) as active_user_count,
        sum(prior_active_user_count) as prior_active_user_count

    from users_placed

    group by 1, 2, 3

),

users_counted as (

    select
        period,
        period_end_date,
        sum(active_user_count) as active_user_count,
        sum(prior_active_user_count) as prior_active_user_count,
        sum(active_user_count * prior_active_user_count) as retained_user_count

    from users_compared

    group by 1, 2

),

empty_periods_filled as (

    select
        periods.*,
        coalesce(users_counted.active_user_count, 0) as active_user_count,
        coalesce(users_counted.prior_active_user_count, 0) as prior_active_user_count,
        coalesce(users_counted.retained_user_count, 0) as retained_user_count

    from periods
    left join
        users_counted
        on
            periods.period = users_counted.period
            and periods.period_end_date = users_counted.period_end_date

),

moves_accounted as (

    select
        *,
        active_user_count - retained_user_count - new_user_count as resurrected_user_count,
        prior_active_user_count - retained_user_count as churned_user_count

    from empty_periods_filled

),

rates_computed as (

    select
        period_end_date,
        period,
        period_start_date,
        active_user_count,
        prior_active_user_count,
        new_user_count,
        retained_user_count,
        resurrected_user_count,
        churned_user_count,
        cast(new_user_count + resurrected_user_count as double)
        / nullif(churned_user_count, 0) as quick_ratio,
        cast(retained_user_count as double) / nullif(prior_active_user_count, 0) as retention_rate,
        cast(churned_user_count as double) / nullif(prior_active_user_count, 0) as churn_rate,
        is_complete,
        is_final,
        completeness_pct,
        as_of_batch_seq,
        cast(as_of as timestamp(6)) as as_of

    from moves_accounted

)

select * from rates_computed
{{ with_tombstones(['period_end_date', 'period'], dirty) }}
