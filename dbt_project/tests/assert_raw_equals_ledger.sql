{# The one test that reads all of raw, so it runs at night: what each batch, arrival date and event
   date says it has is what lies there, each record is there once, and who is good is not in
   quarantine. A conflict is a record of its own: it bears the id that it contests. #}
{{ config(tags=['nightly']) }}

with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

ids_in_quarantine as (

    select distinct record_id
    from {{ ref('stg_access_logs__quarantined_records') }}
    where record_id is not null and not is_conflict

),

records_looked_up as (

    select
        records.record_id,
        records.batch_seq,
        records.arrived_date,
        records.event_date,
        ids_in_quarantine.record_id is not null as is_in_quarantine

    from {{ ref('stg_access_logs__records') }} as records
    left join ids_in_quarantine on records.record_id = ids_in_quarantine.record_id

),

{# Grouping sets rather than four queries: raw is read once. #}
records_counted as (

    select
        batch_seq,
        arrived_date,
        event_date,
        count(*) as good_count,
        count(distinct record_id) as id_count,
        count_if(is_in_quarantine) as two_places_count

    from records_looked_up

    group by grouping sets ((batch_seq), (arrived_date), (event_date), ())

),

claims_and_finds as (

    select
        'batch' as ledger,
        cast(batch_seq as varchar) as entry,
        good_count as claimed_count,
        0 as found_count

    from batches

    union all

    select
        'arrival date' as ledger,
        cast(arrived_date as varchar) as entry,
        good_count as claimed_count,
        0 as found_count

    from {{ ref('fct_arrivals_daily') }}

    union all

    select
        'event date' as ledger,
        cast(event_date as varchar) as entry,
        event_count as claimed_count,
        0 as found_count

    from {{ ref('fct_user_daily') }}

    union all

    select
        case
            when batch_seq is not null then 'batch'
            when arrived_date is not null then 'arrival date'
            when event_date is not null then 'event date'
            else 'all'
        end as ledger,
        coalesce(
            cast(batch_seq as varchar),
            cast(arrived_date as varchar),
            cast(event_date as varchar),
            'ids'
        ) as entry,
        case
            when coalesce(arrived_date, event_date) is null and batch_seq is null
                then id_count - two_places_count
            else 0
        end as claimed_count,
        good_count as found_count

    from records_counted

),

entries_summed as (

    select
        ledger,
        entry,
        sum(claimed_count) as claimed_count,
        sum(found_count) as found_count

    from claims_and_finds

    group by ledger, entry

)

select * from entries_summed
where claimed_count <> found_count
