{# What does each user do?
   The report that used to ask once per user, as one query: the 100 busiest people of the last 28
   days of history. Holds pseudonyms, so the site shows how many rows there are and not the rows. #}

with

users as (

    select * from {{ ref('dim_users') }}

),

user_days as (

    select * from {{ ref('fct_user_daily') }}

),

dates as (

    select * from {{ ref('metrics_daily_active') }}

),

newest_date as (

    select max(metric_date) as metric_date from dates

),

activity_summed as (

    select
        user_days.user_id,
        count_if(user_days.is_active) as active_day_count_28,
        sum(user_days.event_count) as event_count_28,
        sum(user_days.session_count) as session_count_28,
        sum(user_days.view_count) as view_count_28,
        sum(user_days.cart_count) as cart_count_28,
        sum(user_days.purchase_count) as purchase_count_28,
        sum(user_days.error_count) as error_count_28,
        sum(user_days.active_seconds) as active_seconds_28

    from user_days
    inner join
        newest_date
        on
            user_days.event_date between
            date_add('day', -27, newest_date.metric_date) and newest_date.metric_date

    group by user_days.user_id

),

users_described as (

    select
        users.user_id,
        users.segment,
        users.first_seen_date,
        users.last_seen_date,
        users.first_activity,
        users.is_suspected_bot,
        activity_summed.active_day_count_28,
        activity_summed.event_count_28,
        activity_summed.session_count_28,
        activity_summed.view_count_28,
        activity_summed.cart_count_28,
        activity_summed.purchase_count_28,
        activity_summed.error_count_28,
        activity_summed.active_seconds_28

    from users
    inner join activity_summed on users.user_id = activity_summed.user_id

)

select * from users_described
order by event_count_28 desc, user_id asc
limit 100
