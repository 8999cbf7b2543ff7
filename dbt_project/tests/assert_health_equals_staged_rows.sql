{# The ledger's arrival days, added up, are the records and the rejects that arrived on them. #}
with

health as (

    select * from {{ ref('metrics_pipeline_health_daily') }}

),

settled_records as (

    select
        arrived_date,
        1 as good_count,
        0 as quarantined_count

    from {{ ref('stg_access_logs__records') }}

    union all

    select
        arrived_date,
        0 as good_count,
        1 as quarantined_count

    from {{ ref('stg_access_logs__quarantined_records') }}

),

settled_records_counted as (

    select
        arrived_date,
        sum(good_count) as good_count,
        sum(quarantined_count) as quarantined_count

    from settled_records

    group by 1

),

compared as (

    select
        coalesce(health.arrived_date, settled_records_counted.arrived_date) as arrived_date,
        coalesce(health.good_count, 0) as good_count,
        coalesce(health.quarantined_count, 0) as quarantined_count,
        coalesce(settled_records_counted.good_count, 0) as found_good_count,
        coalesce(settled_records_counted.quarantined_count, 0) as found_quarantined_count

    from health
    full outer join settled_records_counted
        on health.arrived_date = settled_records_counted.arrived_date

)

select * from compared
where good_count <> found_good_count or quarantined_count <> found_quarantined_count
