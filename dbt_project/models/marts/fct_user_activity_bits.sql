{# 28 days, a multiple of 7, rather than a month: every window holds each weekday four times. #}
{% set days_after_in_window = 27 %}

with

user_days as (

    select * from {{ ref('fct_user_daily') }}

),

active_days as (

    select
        user_id,
        event_date,
        min(event_date) over (partition by user_id) as first_active_date

    from user_days

    where is_active

),

{# An active day counts in 28 windows: the one that ends on it, and those of the 27 days after. #}
active_days_carried_forward as (

    select
        active_days.user_id,
        active_days.first_active_date,
        windows.metric_date,
        date_diff('day', active_days.event_date, windows.metric_date) as days_ago

    from active_days
    cross join unnest(
        sequence(
            active_days.event_date,
            date_add('day', {{ days_after_in_window }}, active_days.event_date),
            interval '1' day
        )
    ) as windows (metric_date)

),

days_collected as (

    select
        user_id,
        metric_date,
        sum(cast(power(2, days_ago) as bigint)) as days_active_bits,
        min(days_ago) as days_since_active,
        min(first_active_date) as first_active_date

    from active_days_carried_forward

    group by 1, 2

)

select * from days_collected
