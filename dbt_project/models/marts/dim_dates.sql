{# A table, not a view: every metrics model compares its own rows with it in every run. #}
{{ config(materialized='table') }}

with

user_days as (

    select * from {{ ref('fct_user_daily') }}

),

users as (

    select * from {{ ref('dim_users') }}

),

arrivals as (

    select * from {{ ref('fct_arrivals_daily') }}

),

finality as (

    select * from {{ ref('int_finality') }}

),

stamps as (

    select * from {{ ref('int_dates_stamped') }}

),

history as (

    select
        min(event_date) as first_date,
        max(event_date) as last_date

    from user_days

),

{# Days without a single event are days too: a chart needs their zero. #}
calendar as (

    select
        calendar_dates.metric_date,
        date_diff('day', history.first_date, calendar_dates.metric_date) + 1 as day_number

    from history
    cross join unnest(
        sequence(history.first_date, history.last_date, interval '1' day)
    ) as calendar_dates (metric_date)

),

new_users_counted as (

    select
        first_active_date,
        count(*) as user_count

    from users

    where first_active_date is not null

    group by 1

),

dates_completed as (

    select
        calendar.metric_date,
        calendar.day_number,
        calendar.day_number >= 7 as is_wau_complete,
        calendar.day_number >= 28 as is_mau_complete,
        coalesce(calendar.metric_date < finality.first_open_date, false) as is_final,
        finality.first_open_date,
        arrivals.completeness_pct,
        coalesce(new_users_counted.user_count, 0) as new_user_count,
        stamps.day_batch_seq,
        stamps.sessions_batch_seq,
        stamps.last_28_days_batch_seq,
        stamps.last_56_days_batch_seq,
        stamps.next_7_days_batch_seq,
        stamps.next_56_days_batch_seq,
        stamps.replaced_batch_seq

    from calendar
    cross join finality
    left join stamps on calendar.metric_date = stamps.metric_date
    left join arrivals on calendar.metric_date = arrivals.arrived_date
    left join new_users_counted on calendar.metric_date = new_users_counted.first_active_date

),

new_users_summed as (

    select
        metric_date,
        day_number,
        is_wau_complete,
        is_mau_complete,
        is_final,
        completeness_pct,
        new_user_count,
        sum(new_user_count) over (
            order by metric_date rows between 6 preceding and current row
        ) as new_user_count_7,
        sum(new_user_count) over (
            order by metric_date rows between 27 preceding and current row
        ) as new_user_count_28,
        day_batch_seq,
        sessions_batch_seq,
        last_28_days_batch_seq,
        last_56_days_batch_seq,
        next_7_days_batch_seq,
        next_56_days_batch_seq,
        replaced_batch_seq,
        first_open_date

    from dates_completed

)

select * from new_users_summed
