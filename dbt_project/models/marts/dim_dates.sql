with

user_days as (

    select * from {{ ref('fct_user_daily') }}

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

windows_judged as (

    select
        metric_date,
        day_number,
        day_number >= 7 as is_wau_complete,
        day_number >= 28 as is_mau_complete

    from calendar

)

select * from windows_judged
