{# A record ends in exactly one place. A second body under a settled id (ID_CONFLICT) is a record
   of its own: it keeps the id for the reader, not as its identity. #}
with

records as (

    select record_id from {{ ref('stg_access_logs__records') }}

),

quarantined_records as (

    select record_id
    from {{ ref('stg_access_logs__quarantined_records') }}
    where reason <> 'ID_CONFLICT'

)

select records.record_id
from records
inner join quarantined_records on records.record_id = quarantined_records.record_id
