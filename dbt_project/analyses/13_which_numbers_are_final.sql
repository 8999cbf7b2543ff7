{# Which numbers are final, and how complete are they?
   One row per day. A final day is older than 48 hours before the newest landing; what changes after
   that is in question 14. completeness_pct is of the records that arrived on the day. #}

with

daily as (

    select * from {{ ref('metrics_daily_active') }}

),

health as (

    select * from {{ ref('metrics_pipeline_health_daily') }}

),

days_listed as (

    select
        daily.metric_date,
        daily.is_final,
        daily.completeness_pct,
        health.quarantined_count,
        health.missing_id_count,
        daily.as_of_batch_seq,
        daily.as_of

    from daily
    left join health on daily.metric_date = health.arrived_date

)

select * from days_listed
order by metric_date desc
limit 28
