{# New users may be summed over days, because a user is new once; the sum is the users we know. #}
with

days_summed as (

    select coalesce(sum(new_user_count), 0) as new_user_count
    from {{ ref('metrics_daily_active') }}

),

users_counted as (

    select count_if(first_active_date is not null) as active_user_count
    from {{ ref('dim_users') }}

)

select
    days_summed.new_user_count,
    users_counted.active_user_count

from days_summed
cross join users_counted

where days_summed.new_user_count <> users_counted.active_user_count
