{# How many people use it in a day, a week and a month, and how sticky is it?
   One row per day, newest first; a person counts once in each number, so days do not add up. dau_mau
   is the share of a month's people who come on that day, mean_dau_mau the same without its weekday. #}

with

daily as (

    select * from {{ ref('metrics_daily_active') }}

),

days_listed as (

    select
        metric_date,
        dau,
        wau,
        mau,
        dau_mau,
        mean_dau_mau,
        is_mau_complete,
        is_final,
        completeness_pct

    from daily

)

select * from days_listed
order by metric_date desc
limit 28
