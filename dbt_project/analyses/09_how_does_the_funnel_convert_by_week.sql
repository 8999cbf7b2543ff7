{# How does the funnel convert, week by week?
   Of the days on which somebody viewed, how many led to a cart, and then to a purchase, within seven
   days of that day. A person who views on three days counts three times, so the counts add up. #}

with

funnel as (

    select * from {{ ref('metrics_funnel_daily') }}

),

weeks_summed as (

    select
        cast(date_trunc('week', metric_date) as date) as week_start_date,
        sum(case when step = 'view' then user_count end) as view_user_days,
        sum(case when step = 'cart' then user_count end) as cart_user_days,
        sum(case when step = 'purchase' then user_count end) as purchase_user_days,
        bool_and(is_final) as is_final,
        min(completeness_pct) as completeness_pct

    from funnel

    where funnel = 'purchase' and scope = 'week'

    group by cast(date_trunc('week', metric_date) as date)

),

rates_computed as (

    select
        week_start_date,
        view_user_days,
        cart_user_days,
        purchase_user_days,
        cast(cart_user_days as double) / nullif(view_user_days, 0) as cart_rate,
        cast(purchase_user_days as double) / nullif(cart_user_days, 0) as purchase_rate,
        cast(purchase_user_days as double) / nullif(view_user_days, 0) as overall_rate,
        is_final,
        completeness_pct

    from weeks_summed

)

select * from rates_computed
order by week_start_date desc
limit 12
