{# Which ids are missing?
   Ranges of ids that the source overtook and never offered, the largest first. Each is a record that
   is in no table; a dump that holds them makes them vanish from here. No row: nothing is missing. #}

with

missing_ids as (

    select * from {{ ref('metrics_missing_ids') }}

),

ranges_listed as (

    select
        first_missing_id,
        last_missing_id,
        missing_id_count,
        sum(missing_id_count) over () as all_missing_id_count,
        overtaken_at

    from missing_ids

)

select * from ranges_listed
order by missing_id_count desc, first_missing_id asc
limit 20
