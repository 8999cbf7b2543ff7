{{ config(materialized='table') }}

with

user_days as (

    select * from {{ ref('fct_user_daily') }}

),

history as (

    select max(event_date) as last_date from user_days

),

users_summarised as (

    select
        user_days.user_id,
        min(user_days.event_date) as first_seen_date,
        max(user_days.event_date) as last_seen_date,
        min(case when user_days.is_active then user_days.event_date end) as first_active_date,
        max(case when user_days.is_active then user_days.event_date end) as last_active_date,
        count_if(user_days.is_active) as active_day_count,
        sum(user_days.event_count) as event_count,
        sum(user_days.purchase_count) as purchase_count,
        sum(user_days.error_count) as error_count,
        min_by(user_days.first_activity, user_days.event_date) as first_activity,
        count_if(
            user_days.is_active
            and user_days.event_date > date_add('day', -28, history.last_date)
        ) as days_active_28,
        bool_or(user_days.is_suspected_bot) as is_suspected_bot

    from user_days
    cross join history

    group by 1

),

{# Weeks of the 28 days on which a user was there: one day, two, four or six of seven. #}
segments_named as (

    select
        user_id,
        first_seen_date,
        last_seen_date,
        first_active_date,
        last_active_date,
        active_day_count,
        event_count,
        purchase_count,
        error_count,
        first_activity,
        days_active_28,
        case
            when days_active_28 >= 21 then 'core'
            when days_active_28 >= 14 then 'regular'
            when days_active_28 >= 7 then 'casual'
            when days_active_28 >= 1 then 'infrequent'
            else 'dormant'
        end as segment,
        is_suspected_bot

    from users_summarised

)

select * from segments_named
