with

source as (

    select * from {{ source('access_logs', 'quarantined_records') }}

),

snapshot as (

    select max(batch_seq) as highest_batch_seq from {{ ref('stg_access_logs__batches') }}

),

published as (

    select source.*
    from source
    inner join snapshot on source.batch_seq <= snapshot.highest_batch_seq

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

        ---------- dates
        cast(arrived_date as date) as arrived_date,

        ---------- timestamps
        landed_at

    from published

)

select * from renamed
