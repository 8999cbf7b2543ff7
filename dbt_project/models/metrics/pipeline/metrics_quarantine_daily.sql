{{ config(materialized='table') }}

with

quarantined_records as (

    select * from {{ ref('stg_access_logs__quarantined_records') }}

),

health as (

    select * from {{ ref('metrics_pipeline_health_daily') }}

),

reasons_counted as (

    select
        arrived_date,
        reason,
        count(*) as quarantined_count

    from quarantined_records

    group by 1, 2

),

trust_added as (

    select
        reasons_counted.arrived_date,
        reasons_counted.reason,
        reasons_counted.quarantined_count,
        health.is_final,
        health.completeness_pct,
        health.as_of_batch_seq,
        health.as_of

    from reasons_counted
    inner join health on reasons_counted.arrived_date = health.arrived_date

)

select * from trust_added
