{{ config(materialized='table') }}

with

arrivals as (

    select * from {{ ref('fct_arrivals_daily') }}

),

finality as (

    select * from {{ ref('int_finality') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

trust_added as (

    select
        arrivals.arrived_date,
        arrivals.batch_count,
        arrivals.offered_count,
        arrivals.good_count,
        arrivals.quarantined_count,
        arrivals.duplicate_count,
        arrivals.conflict_count,
        arrivals.replayed_count,
        arrivals.missing_id_count,
        arrivals.sequence_completeness,
        arrivals.key_count,
        arrivals.keys_used,
        arrivals.lag_p50_seconds,
        arrivals.lag_p95_seconds,
        arrivals.lag_max_seconds,
        arrivals.late_1h_count,
        arrivals.late_1d_count,
        arrivals.late_7d_count,
        coalesce(arrivals.arrived_date < finality.first_open_date, false) as is_final,
        arrivals.completeness_pct,
        arrivals.as_of_batch_seq,
        batches.landed_at as as_of

    from arrivals
    cross join finality
    left join batches on arrivals.as_of_batch_seq = batches.batch_seq

)

select * from trust_added
