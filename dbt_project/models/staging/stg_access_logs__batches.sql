{# A table, not a view: the other models of a run all read this one snapshot, so a batch that is
   published in the middle of the run is seen by all of them or by none. #}
{{ config(materialized='table', ha=true) }}

with

source as (

    select * from {{ source('access_logs', 'published_batches') }}

),

{# Batches are numbered 1, 2, 3, …; after a gap nothing counts until the gap is published. #}
batches_numbered as (

    select
        *,
        row_number() over (order by seq) as expected_seq

    from source

),

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
        files as file_count,
        bytes as size_bytes,

        ---------- lists
        key_fingerprints,
        event_days,
        arrival_days,

        ---------- timestamps
        cast(from_iso8601_timestamp(landed_at) as timestamp(3)) as landed_at,
        cast(from_iso8601_timestamp(published_at) as timestamp(3)) as published_at

    from batches_numbered

    where seq = expected_seq

)

select * from renamed
