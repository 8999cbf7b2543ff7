{# A table, not a view: the other models of a run all read this one snapshot, so a batch that is
   published in the middle of the run is seen by all of them or by none. #}
{{ config(materialized='table') }}

with

source as (

    select * from {{ source('access_logs', 'published_batches') }}

),

{# Batches are numbered 1, 2, 3, …; after a gap nothing counts until the gap is published. #}
batches_numbered as (

    select
        *,
        row_number() over (order by seq) as expected_seq,
        array[seq] || coalesce(supersedes, array[]) as named_seqs

    from source

),

{# A batch names itself and those that it replaces, so a batch that is named twice is replaced. Its
   number stays taken: that is why the gaps are found first. #}
names_counted as (

    select
        batches_numbered.*,
        names.named_seq,
        count(*) over (partition by names.named_seq) as name_count

    from batches_numbered
    cross join unnest(batches_numbered.named_seqs) as names (named_seq)

    where batches_numbered.seq = batches_numbered.expected_seq

),

{# Version 0.1 wrote no conflicts and no replays, because it knew neither: null is none. #}
renamed as (

    select
        ---------- ids
        seq as batch_seq,

        ---------- strings
        source as source_name,

        ---------- numerics
        offered as offered_count,
        good as good_count,
        quarantined as quarantined_count,
        duplicate as duplicate_count,
        coalesce(conflict, 0) as conflict_count,
        coalesce(replayed, 0) as replayed_count,
        missing_ids as missing_id_count,
        files as file_count,
        bytes as size_bytes,

        ---------- lists
        coalesce(supersedes, array[]) as superseded_batch_seqs,
        key_fingerprints,
        keys as keys_used,
        reasons,
        event_days,
        transform(
            arrival_days,
            arrival_day -> cast(
                row(
                    arrival_day.arrived_date,
                    arrival_day.offered,
                    arrival_day.good,
                    arrival_day.quarantined,
                    arrival_day.duplicate,
                    coalesce(arrival_day.conflict, 0),
                    coalesce(arrival_day.replayed, 0)
                ) as row (
                    arrived_date varchar,
                    offered bigint,
                    good bigint,
                    quarantined bigint,
                    duplicate bigint,
                    conflict bigint,
                    replayed bigint
                )
            )
        ) as arrival_days,
        coalesce(missing, array[]) as missing_ranges,

        ---------- timestamps
        cast(from_iso8601_timestamp(landed_at) as timestamp(3)) as landed_at,
        cast(from_iso8601_timestamp(published_at) as timestamp(3)) as published_at

    from names_counted

    where seq = named_seq and name_count = 1

)

select * from renamed
