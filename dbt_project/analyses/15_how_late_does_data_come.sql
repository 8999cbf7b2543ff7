{# How late does data come?
   One row per day of arrival: seconds from the event to its landing for half and for 95 % of the
   accepted records, and the share that landed more than an hour, a day and a week late. #}

with

health as (

    select * from {{ ref('metrics_pipeline_health_daily') }}

),

lags_listed as (

    select
        arrived_date,
        good_count,
        lag_p50_seconds,
        lag_p95_seconds,
        lag_max_seconds,
        cast(late_1h_count as double) / nullif(good_count, 0) as late_1h_share,
        cast(late_1d_count as double) / nullif(good_count, 0) as late_1d_share,
        cast(late_7d_count as double) / nullif(good_count, 0) as late_7d_share,
        is_final,
        completeness_pct

    from health

)

select * from lags_listed
order by arrived_date desc
limit 14
