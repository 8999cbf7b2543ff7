{# Is it growing, and where from?
   One row per week with a whole week before it. net_user_count = new + resurrected - churned is the
   growth; a quick_ratio above 1 says that more people come than go. #}

with

growth as (

    select * from {{ ref('metrics_growth_accounting') }}

),

weeks_listed as (

    select
        period_start_date as week_start_date,
        active_user_count,
        active_user_count - prior_active_user_count as net_user_count,
        new_user_count,
        resurrected_user_count,
        retained_user_count,
        churned_user_count,
        quick_ratio,
        is_final,
        completeness_pct

    from growth

    where period = 'week' and is_complete

)

select * from weeks_listed
order by week_start_date desc
limit 12
