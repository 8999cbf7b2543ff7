{{ config(materialized='table', ha=true) }}

with

user_days as (

    select * from {{ ref('fct_user_daily') }}

),

users_summarised as (

    select
        user_id,
        min(event_date) as first_seen_date,
        max(event_date) as last_seen_date,
        min(case when is_active then event_date end) as first_active_date,
        max(case when is_active then event_date end) as last_active_date,
        count_if(is_active) as active_day_count,
        sum(event_count) as event_count,
        sum(purchase_count) as purchase_count,
        sum(error_count) as error_count

    from user_days

    group by 1

)

select * from users_summarised
