{{ config(materialized='table', ha=true) }}

with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

records as (

    select * from {{ ref('stg_access_logs__records') }}

),

quarantined_records as (

    select * from {{ ref('stg_access_logs__quarantined_records') }}

),

arrivals_unnested as (

    select
        batches.batch_seq,
        cast(arrival_days.arrived_date as date) as arrived_date,
        arrival_days.offered_count,
        arrival_days.good_count,
        arrival_days.quarantined_count,
        arrival_days.duplicate_count,
        arrival_days.conflict_count,
        arrival_days.replayed_count

    from batches
    cross join unnest(batches.arrival_days) as arrival_days (
        arrived_date,
        offered_count,
        good_count,
        quarantined_count,
        duplicate_count,
        conflict_count,
        replayed_count
    )

),

{# A batch says how many it put into quarantine and how many it took out; the difference of the sums
   is what is there now. #}
arrivals_totalled as (

    select
        arrived_date,
        count(distinct batch_seq) as batch_count,
        sum(offered_count) as offered_count,
        sum(good_count) as good_count,
        sum(quarantined_count) - sum(replayed_count) as quarantined_count,
        sum(duplicate_count) as duplicate_count,
        sum(conflict_count) as conflict_count

    from arrivals_unnested

    group by 1

),

settled_records as (

    select
        arrived_date,
        record_id,
        key_fingerprint

    from records

    union all

    select
        arrived_date,
        record_id,
        key_fingerprint

    from quarantined_records

),

ids_counted as (

    select
        arrived_date,
        count(distinct record_id) as id_count,
        count(distinct key_fingerprint) as key_count,
        array_join(array_sort(array_agg(distinct key_fingerprint)), ', ') as keys_used,
        min(record_id) as lowest_record_id,
        max(record_id) as highest_record_id

    from settled_records

    group by 1

),

lags_measured as (

    select
        arrived_date,
        is_replayed,
        date_diff('millisecond', occurred_at, landed_at) as lag_milliseconds

    from records

),

{# A replayed record lands when its cause is cured: that says how late the numbers were, not how
   fast the pipeline is. #}
lags_sorted as (

    select
        arrived_date,
        array_sort(array_agg(lag_milliseconds) filter (where not is_replayed)) as lags,
        count_if(is_replayed) as replayed_count,
        count_if(lag_milliseconds > 3600000) as late_1h_count,
        count_if(lag_milliseconds > 86400000) as late_1d_count,
        count_if(lag_milliseconds > 604800000) as late_7d_count

    from lags_measured

    group by 1

),

{# Nearest rank, exact: the ceil(p × n)-th smallest; no interpolation, the same on every engine. #}
lags_ranked as (

    select
        arrived_date,
        replayed_count,
        late_1h_count,
        late_1d_count,
        late_7d_count,
        element_at(lags, cast(ceil(0.50 * cardinality(lags)) as bigint)) as lag_p50_milliseconds,
        element_at(lags, cast(ceil(0.95 * cardinality(lags)) as bigint)) as lag_p95_milliseconds,
        element_at(lags, -1) as lag_max_milliseconds

    from lags_sorted

),

days_completed as (

    select
        arrivals_totalled.arrived_date,
        arrivals_totalled.batch_count,
        arrivals_totalled.offered_count,
        arrivals_totalled.good_count,
        arrivals_totalled.quarantined_count,
        arrivals_totalled.duplicate_count,
        arrivals_totalled.conflict_count,
        coalesce(lags_ranked.replayed_count, 0) as replayed_count,
        {# Decimals and doubles, because a hostile id near 2^63 must not overflow the difference. #}
        try_cast(
            cast(ids_counted.highest_record_id as decimal(38, 0))
            - cast(ids_counted.lowest_record_id as decimal(38, 0))
            + 1
            - ids_counted.id_count as bigint
        ) as missing_id_count,
        cast(ids_counted.id_count as double) / (
            cast(ids_counted.highest_record_id as double)
            - cast(ids_counted.lowest_record_id as double)
            + 1
        ) as sequence_completeness,
        coalesce(ids_counted.key_count, 0) as key_count,
        nullif(ids_counted.keys_used, '') as keys_used,
        cast(lags_ranked.lag_p50_milliseconds as double) / 1000 as lag_p50_seconds,
        cast(lags_ranked.lag_p95_milliseconds as double) / 1000 as lag_p95_seconds,
        cast(lags_ranked.lag_max_milliseconds as double) / 1000 as lag_max_seconds,
        coalesce(lags_ranked.late_1h_count, 0) as late_1h_count,
        coalesce(lags_ranked.late_1d_count, 0) as late_1d_count,
        coalesce(lags_ranked.late_7d_count, 0) as late_7d_count

    from arrivals_totalled
    left join ids_counted on arrivals_totalled.arrived_date = ids_counted.arrived_date
    left join lags_ranked on arrivals_totalled.arrived_date = lags_ranked.arrived_date

)

select * from days_completed
