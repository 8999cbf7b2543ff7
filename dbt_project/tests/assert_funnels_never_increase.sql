{# Whoever takes a step took the one before, and whoever takes it within a day takes it within the
   week that begins on that day; nobody is in a day's funnel who was not active on it. #}
with

funnels as (

    select * from {{ ref('metrics_funnel_daily') }}

),

daily_active as (

    select * from {{ ref('metrics_daily_active') }}

),

bounds_found as (

    select
        funnels.metric_date,
        funnels.scope,
        funnels.step_number,
        funnels.user_count,
        lag(funnels.user_count) over (
            partition by funnels.metric_date, funnels.funnel, funnels.scope
            order by funnels.step_number
        ) as previous_user_count,
        max(case when funnels.scope = 'week' then funnels.user_count end) over (
            partition by funnels.metric_date, funnels.funnel, funnels.step_number
        ) as week_user_count,
        daily_active.dau

    from funnels
    left join daily_active on funnels.metric_date = daily_active.metric_date

)

select * from bounds_found
where
    user_count > previous_user_count
    or (scope = 'day' and user_count > week_user_count)
    or (scope in ('day', 'week') and user_count > coalesce(dau, 0))
