{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(arrived_date)'],
        unique_key='arrived_date',
    )
}}
{# The number of batches, too: one that leaves, replaced, need not be the newest. #}
{% set dirty = dirty_dates('arrived_date', ref('int_arrival_dates_counted'), {
    'max(as_of_batch_seq)': 'as_of_batch_seq',
    'max(batch_count)': 'batch_count',
}) %}
{# What arrived on a date may have occurred on any other: the ledger names the partitions. #}
{% set query %}
    select distinct named_dates.source_date
    from {{ ref('int_arrival_dates_counted') }} as arrivals
    cross join unnest(arrivals.source_dates) as named_dates (source_date)
    where {{ in_dates('arrivals.metric_date', dirty) }}
{% endset %}
{% set source_dates = values_of(query) %}

with

arrivals as (

    select * from {{ ref('int_arrival_dates_counted') }}
    where {{ in_dates('metric_date', dirty) }}

),

records as (

    select * from {{ ref('stg_access_logs__records') }}
    where {{ in_dates('arrived_date', dirty) }} and {{ in_texts('source_date', source_dates) }}

),

quarantined_records as (

    select * from {{ ref('stg_access_logs__quarantined_records') }}
    where {{ in_dates('arrived_date', dirty) }}

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
        arrivals.metric_date as arrived_date,
        arrivals.batch_count,
        arrivals.offered_count,
        arrivals.good_count,
        arrivals.quarantined_count,
        arrivals.duplicate_count,
        arrivals.conflict_count,
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
        coalesce(lags_ranked.late_7d_count, 0) as late_7d_count,
        arrivals.has_consecutive_ids,
        arrivals.as_of_batch_seq

    from arrivals
    left join ids_counted on arrivals.metric_date = ids_counted.arrived_date
    left join lags_ranked on arrivals.metric_date = lags_ranked.arrived_date

),

{# Of what the source is known to have had: accepted, still in quarantine, or missing. #}
completeness_computed as (

    select
        arrived_date,
        batch_count,
        offered_count,
        good_count,
        quarantined_count,
        duplicate_count,
        conflict_count,
        replayed_count,
        missing_id_count,
        sequence_completeness,
        key_count,
        keys_used,
        lag_p50_seconds,
        lag_p95_seconds,
        lag_max_seconds,
        late_1h_count,
        late_1d_count,
        late_7d_count,
        cast(100 * good_count as double) / nullif(
            cast(
                cast(good_count + quarantined_count as decimal(38, 0))
                + case when has_consecutive_ids then coalesce(missing_id_count, 0) else 0 end
                as double
            ),
            0
        ) as completeness_pct,
        as_of_batch_seq

    from days_completed

)

select * from completeness_computed
{{ with_tombstones(['arrived_date'], dirty) }}
