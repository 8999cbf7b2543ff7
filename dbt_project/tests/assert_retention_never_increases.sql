{# A cohort keeps its size, and fewer and fewer of it are active in a period or later. A weekly
   cohort is the new users of its seven dates. #}
with

cohorts as (

    select * from {{ ref('metrics_retention_cohort') }}

),

dates as (

    select * from {{ ref('metrics_daily_active') }}

),

periods_followed as (

    select
        cohort_grain,
        period_grain,
        cohort_date,
        period_number,
        cohort_size,
        active_or_later_count,
        lead(cohort_size) over (
            partition by cohort_grain, period_grain, cohort_date order by period_number
        ) as next_cohort_size,
        lead(active_or_later_count) over (
            partition by cohort_grain, period_grain, cohort_date order by period_number
        ) as next_active_or_later_count

    from cohorts

),

weeks_summed as (

    select
        cohorts.cohort_date,
        cohorts.cohort_size,
        sum(dates.new_user_count) as new_user_count

    from cohorts
    inner join
        dates
        on
            cohorts.cohort_date <= dates.metric_date
            and date_add('day', 6, cohorts.cohort_date) >= dates.metric_date

    where cohorts.cohort_grain = 'week' and cohorts.period_number = 0

    group by 1, 2

),

failures as (

    select
        cohort_date,
        'grows' as what

    from periods_followed

    where next_cohort_size <> cohort_size or next_active_or_later_count > active_or_later_count

    union all

    select
        cohort_date,
        'is not its week' as what

    from weeks_summed

    where cohort_size <> new_user_count

)

select * from failures
