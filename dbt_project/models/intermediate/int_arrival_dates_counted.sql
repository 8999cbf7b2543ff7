with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

arrivals_unnested as (

    select
        batches.batch_seq,
        batches.missing_id_count,
        transform(batches.event_days, event_day -> event_day.dt) as source_dates,
        cast(arrival_days.arrived_date as date) as metric_date,
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
   is what is there now. Whether ids are consecutive is what the newest batch was told. #}
arrivals_totalled as (

    select
        metric_date,
        count(distinct batch_seq) as batch_count,
        sum(offered_count) as offered_count,
        sum(good_count) as good_count,
        sum(quarantined_count) - sum(replayed_count) as quarantined_count,
        sum(duplicate_count) as duplicate_count,
        sum(conflict_count) as conflict_count,
        max(batch_seq) as as_of_batch_seq,
        max_by(missing_id_count is not null, batch_seq) as has_consecutive_ids,
        array_sort(array_distinct(flatten(array_agg(source_dates)))) as source_dates

    from arrivals_unnested

    group by 1

)

select * from arrivals_totalled
