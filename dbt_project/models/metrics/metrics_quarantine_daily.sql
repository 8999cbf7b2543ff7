{{ config(materialized='table', ha=true) }}

with

quarantined_records as (

    select * from {{ ref('stg_access_logs__quarantined_records') }}

),

reasons_counted as (

    select
        arrived_date,
        reason,
        count(*) as quarantined_count

    from quarantined_records

    group by 1, 2

)

select * from reasons_counted
