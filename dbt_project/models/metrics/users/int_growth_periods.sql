with

dates as (

    select * from {{ ref('dim_dates') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

windows_judged as (

    select
        metric_date,
        day_number,
        is_final,
        last_56_days_batch_seq,
        new_user_count,
        new_user_count_7,
        new_user_count_28,
        completeness_pct,
        min(completeness_pct) over (
            order by metric_date rows between 6 preceding and current row
        ) as completeness_pct_7,
        min(completeness_pct) over (
            order by metric_date rows between 27 preceding and current row
        ) as completeness_pct_28

    from dates

),

{# A week has a row once its Sunday is a date of history; the other two roll from date to date. #}
periods_listed as (

    select
        'day' as period,
        1 as day_count,
        metric_date as period_end_date,
        day_number,
        new_user_count,
        is_final,
        completeness_pct,
        last_56_days_batch_seq

    from windows_judged

    union all

    select
        'week' as period,
        7 as day_count,
        metric_date as period_end_date,
        day_number,
        new_user_count_7 as new_user_count,
        is_final,
        completeness_pct_7 as completeness_pct,
        last_56_days_batch_seq

    from windows_judged

    where day_of_week(metric_date) = 7

    union all

    select
        '28d' as period,
        28 as day_count,
        metric_date as period_end_date,
        day_number,
        new_user_count_28 as new_user_count,
        is_final,
        completeness_pct_28 as completeness_pct,
        last_56_days_batch_seq

    from windows_judged

),

periods_dated as (

    select
        periods_listed.period,
        date_add('day', 1 - periods_listed.day_count, periods_listed.period_end_date)
            as period_start_date,
        periods_listed.period_end_date,
        date_add('day', -periods_listed.day_count, periods_listed.period_end_date)
            as prior_period_end_date,
        periods_listed.new_user_count,
        periods_listed.day_number >= 2 * periods_listed.day_count as is_complete,
        periods_listed.is_final,
        periods_listed.completeness_pct,
        periods_listed.last_56_days_batch_seq as as_of_batch_seq,
        batches.landed_at as as_of

    from periods_listed
    left join batches on periods_listed.last_56_days_batch_seq = batches.batch_seq

)

select * from periods_dated
