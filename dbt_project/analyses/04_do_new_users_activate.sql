{# Do new users do anything in the week after their first day?
   One row per week of first days: the share active again on any of the six days that follow. The
   counts add up over days, since a person is new once. #}

with

activation as (

    select * from {{ ref('metrics_activation') }}

),

weeks_summed as (

    select
        cast(date_trunc('week', cohort_date) as date) as week_start_date,
        sum(new_user_count) as new_user_count,
        sum(activated_user_count) as activated_user_count,
        bool_and(is_final) as is_final,
        min(completeness_pct) as completeness_pct

    from activation

    group by cast(date_trunc('week', cohort_date) as date)

),

rates_computed as (

    select
        week_start_date,
        new_user_count,
        activated_user_count,
        cast(activated_user_count as double) / nullif(new_user_count, 0) as activation_rate,
        is_final,
        completeness_pct

    from weeks_summed

)

select * from rates_computed
order by week_start_date desc
limit 12
