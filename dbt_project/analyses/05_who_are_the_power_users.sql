{# Who are the power users?
   The people of the newest 28 days that are final, by on how many of those days they were active:
   infrequent 1-6, casual 7-13, regular 14-20, core 21 and more. The shares add up to 1. #}

with

frequency as (

    select * from {{ ref('metrics_frequency') }}

),

newest_date as (

    select max(metric_date) as metric_date
    from frequency
    where is_final and is_complete

),

segments_summed as (

    select
        frequency.metric_date,
        frequency.segment,
        min(frequency.active_day_count) as from_active_days,
        max(frequency.active_day_count) as to_active_days,
        sum(frequency.user_count) as user_count,
        sum(frequency.share_of_users) as share_of_users,
        bool_and(frequency.is_final) as is_final,
        min(frequency.completeness_pct) as completeness_pct

    from frequency
    inner join newest_date on frequency.metric_date = newest_date.metric_date

    group by frequency.metric_date, frequency.segment

)

select * from segments_summed
order by from_active_days desc
