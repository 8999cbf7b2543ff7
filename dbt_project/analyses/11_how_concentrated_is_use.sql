{# How much of the use is a few people, and how much is bots?
   One row per day. top_1pct_share is the share of events of the busiest 1 % of people, gini 0 if all
   are equal and near 1 if one does everything. Suspected bots are counted, never removed. #}

with

concentration as (

    select * from {{ ref('metrics_concentration_daily') }}

),

daily as (

    select * from {{ ref('metrics_daily_active') }}

),

days_listed as (

    select
        concentration.metric_date,
        concentration.top_user_count,
        concentration.top_1pct_share,
        concentration.gini,
        concentration.suspected_bot_user_count,
        cast(concentration.suspected_bot_event_count as double)
        / nullif(concentration.event_count, 0) as suspected_bot_share_of_events,
        daily.dau,
        concentration.dau_without_bots,
        concentration.is_final,
        concentration.completeness_pct

    from concentration
    inner join daily on concentration.metric_date = daily.metric_date

)

select * from days_listed
order by metric_date desc
limit 14
