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

kinds as (

    select * from (
        values ('day', 1), ('week', 7), ('28d', 28)
    ) as kinds (period, day_count)

),

{# A week has a row once its Sunday is a date of history; the other two roll from date to date. #}
periods_listed as (

    select
        kinds.period,
        kinds.day_count,
        windows_judged.metric_date as period_end_date,
        windows_judged.day_number,
        case kinds.period
            when 'day' then windows_judged.new_user_count
            when 'week' then windows_judged.new_user_count_7
            else windows_judged.new_user_count_28
        end as new_user_count,
        windows_judged.is_final,
        case kinds.period
            when 'day' then windows_judged.completeness_pct
            when 'week' then windows_judged.completeness_pct_7
            else windows_judged.completeness_pct_28
        end as completeness_pct,
        windows_judged.last_56_days_batch_seq

    from windows_judged
    cross join kinds

    where kinds.period <> 'week' or day_of_week(windows_judged.metric_date) = 7

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
