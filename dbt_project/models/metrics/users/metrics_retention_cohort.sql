{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(cohort_date)'],
        unique_key=['cohort_date', 'cohort_grain', 'period_grain', 'period_number'],
    )
}}
{% set cohorts_by_date %}
    (
        select
            cohort_date as metric_date,
            max(as_of_batch_seq) as as_of_batch_seq,
            count(*) as row_count,
            count_if(is_final) as final_count,
            count_if(is_complete) as complete_count,
            array_agg(completeness_pct order by cohort_grain, period_grain, period_number)
                as completeness_pcts,
            max(case when cohort_grain = 'day' then cohort_size end) as cohort_size,
            max(case when cohort_grain = 'week' then cohort_size end) as week_cohort_size
        from {{ ref('int_cohort_periods') }}
        group by 1
    )
{% endset %}
{# Sizes are compared, because a first date that moves leaves a cohort that no batch touched. #}
{% set dirty = dirty_dates('cohort_date', cohorts_by_date, {
    'max(as_of_batch_seq)': 'as_of_batch_seq',
    'count(*)': 'row_count',
    'count_if(is_final)': 'final_count',
    'count_if(is_complete)': 'complete_count',
    'array_agg(completeness_pct order by cohort_grain, period_grain, period_number)':
        'completeness_pcts',
    "max(case when cohort_grain = 'day' then cohort_size end)": 'cohort_size',
    "max(case when cohort_grain = 'week' then cohort_size end)": 'week_cohort_size',
}) %}

with

periods as (

    select * from {{ ref('int_cohort_periods') }}
    where {{ in_dates('cohort_date', dirty) }}

),

{# A week's cohort has first dates up to its Sunday. #}
users as (

    select * from {{ ref('dim_users') }}
    where {{ in_dates('first_active_date', dates_around(dirty, 0, 6)) }}

),

{# 28 days, and eight weeks for a week's cohort. #}
user_days as (

    select * from {{ ref('fct_user_daily') }}
    where {{ in_dates('event_date', dates_around(dirty, 0, 55)) }}

),

curves as (

    select * from (
        values ('day', 'day', 1, 28), ('day', 'week', 7, 4), ('week', 'week', 7, 8)
    ) as curves (cohort_grain, period_grain, day_count, period_count)

),

users_listed as (

    select
        users.user_id,
        curves.cohort_grain,
        curves.period_grain,
        curves.day_count,
        curves.period_count,
        case
            when curves.cohort_grain = 'week'
                then
                    date_add(
                        'day', 1 - day_of_week(users.first_active_date), users.first_active_date
                    )
            else users.first_active_date
        end as cohort_date

    from users
    cross join curves

),

users_active as (

    select distinct
        users_listed.cohort_grain,
        users_listed.period_grain,
        users_listed.cohort_date,
        users_listed.user_id,
        date_diff('day', users_listed.cohort_date, user_days.event_date)
        / users_listed.day_count as period_number

    from users_listed
    inner join user_days on users_listed.user_id = user_days.user_id

    where
        user_days.is_active
        and user_days.event_date >= users_listed.cohort_date
        and date_diff('day', users_listed.cohort_date, user_days.event_date)
        < users_listed.period_count * users_listed.day_count

),

last_periods_found as (

    select
        *,
        max(period_number) over (
            partition by cohort_grain, period_grain, cohort_date, user_id
        ) as last_period_number

    from users_active

),

users_counted as (

    select
        cohort_grain,
        period_grain,
        cohort_date,
        period_number,
        count(*) as active_count,
        count_if(period_number = last_period_number) as active_last_count

    from last_periods_found

    group by 1, 2, 3, 4

),

{# Who was active in a period or later was active for the last time in it or later. #}
empty_periods_filled as (

    select
        periods.*,
        coalesce(users_counted.active_count, 0) as active_count,
        coalesce(
            sum(users_counted.active_last_count) over (
                partition by periods.cohort_grain, periods.period_grain, periods.cohort_date
                order by periods.period_number
                rows between current row and unbounded following
            ), 0
        ) as active_or_later_count

    from periods
    left join
        users_counted
        on
            periods.cohort_grain = users_counted.cohort_grain
            and periods.period_grain = users_counted.period_grain
            and periods.cohort_date = users_counted.cohort_date
            and periods.period_number = users_counted.period_number

),

rates_computed as (

    select
        cohort_date,
        cohort_grain,
        period_grain,
        period_number,
        cohort_size,
        active_count,
        active_or_later_count,
        cast(active_count as double) / nullif(cohort_size, 0) as retention_rate,
        cast(active_or_later_count as double) / nullif(cohort_size, 0) as retention_or_later_rate,
        is_complete,
        is_final,
        completeness_pct,
        as_of_batch_seq,
        cast(as_of as timestamp(6)) as as_of

    from empty_periods_filled

)

select * from rates_computed
{{ with_tombstones(['cohort_date', 'cohort_grain', 'period_grain', 'period_number'], dirty) }}
