{# A record is good or in quarantine now, and there once. A second body under a settled id (a
   conflict) is a record of its own: it keeps the id for the reader, not as its identity. #}
with

places_listed as (

    select
        record_id,
        'good' as place

    from {{ ref('stg_access_logs__records') }}

    union all

    select
        record_id,
        'quarantine' as place

    from {{ ref('stg_access_logs__quarantined_records') }}
    where record_id is not null and not is_conflict

)

select
    record_id,
    count(distinct place) as place_count,
    count(*) as row_count

from places_listed
group by 1
having count(*) > 1
