with

source as (

    select * from {{ source('access_logs', 'quarantined_records') }}

),

replayed_records as (

    select * from {{ ref('stg_access_logs__replayed_records') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

published as (

    select
        source.*,
        batches.source_name = 'replay' as is_replayed

    from source
    inner join batches on source.batch_seq = batches.batch_seq

),

{# What a replay took out it has itself: as a good record, or refused once more under its number. #}
replays_listed as (

    select
        replayed_records.record_key,
        replayed_records.as_of_batch_seq as batch_seq

    from replayed_records
    inner join batches on replayed_records.as_of_batch_seq = batches.batch_seq

    union all

    select
        record_key,
        batch_seq

    from published
    where is_replayed

),

replays_summarised as (

    select
        record_key,
        max(batch_seq) as last_replay_seq

    from replays_listed

    group by 1

),

{# Nothing is ever deleted from quarantine: a record leaves it when a later replay has it. #}
in_quarantine_now as (

    select published.*

    from published
    left join replays_summarised on published.record_key = replays_summarised.record_key

    where
        replays_summarised.last_replay_seq is null
        or replays_summarised.last_replay_seq <= published.batch_seq

),

{# The envelope stays behind: nothing that reads the warehouse needs ciphertext. #}
renamed as (

    select
        ---------- ids
        record_key,
        record_id,
        batch_seq,

        ---------- strings
        reason,
        stage,
        key_fingerprint,

        ---------- booleans
        reason = 'ID_CONFLICT' as is_conflict,

        ---------- dates
        cast(arrived_date as date) as arrived_date,

        ---------- timestamps
        landed_at

    from in_quarantine_now

)

select * from renamed
