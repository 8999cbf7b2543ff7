{# How does yesterday compare with the same weekday?
   Yesterday is the day before the newest event. Compared with the day a week before and with the
   mean of the same weekday in the four weeks before; change 0.1 is 10 % more than a week ago. #}

with

daily as (

    select * from {{ ref('metrics_daily_active') }}

),

newest_date as (

    select date_add('day', -1, max(metric_date)) as metric_date from daily

),

days_compared as (

    select
        daily.*,
        date_diff('day', daily.metric_date, newest_date.metric_date) / 7 as weeks_before

    from daily
    inner join
        newest_date
        on
            daily.metric_date between
            date_add('day', -28, newest_date.metric_date) and newest_date.metric_date
            and date_diff('day', daily.metric_date, newest_date.metric_date) % 7 = 0

),

values_listed as (

    select
        days_compared.metric_date,
        days_compared.weeks_before,
        metric_values.metric,
        metric_values.value,
        days_compared.is_final,
        days_compared.completeness_pct

    from days_compared
    cross join unnest(
        array['dau', 'new_user_count', 'event_count', 'session_count'],
        array[
            days_compared.dau,
            days_compared.new_user_count,
            days_compared.event_count,
            days_compared.session_count
        ]
    ) as metric_values (metric, value)

),

weekdays_pivoted as (

    select
        max(metric_date) as metric_date,
        metric,
        max(case when weeks_before = 0 then value end) as value,
        max(case when weeks_before = 1 then value end) as value_a_week_before,
        avg(case when weeks_before > 0 then cast(value as double) end) as mean_of_four_weeks,
        bool_and(case when weeks_before = 0 then is_final end) as is_final,
        max(case when weeks_before = 0 then completeness_pct end) as completeness_pct

    from values_listed

    group by metric

),

changes_computed as (

    select
        metric_date,
        metric,
        value,
        value_a_week_before,
        cast(value - value_a_week_before as double)
        / nullif(value_a_week_before, 0) as change_in_a_week,
        mean_of_four_weeks,
        is_final,
        completeness_pct

    from weekdays_pivoted

)

select * from changes_computed
order by metric asc
