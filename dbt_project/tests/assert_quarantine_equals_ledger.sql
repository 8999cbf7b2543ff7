{# What each arrival date has in quarantine by the ledger, put in less taken out, lies there. So do
   each batch's own rows, which stay where they are when a replay takes a record out. #}
with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

quarantine_rows as (

    select * from {{ source('access_logs', 'quarantined_records') }}

),

claims_and_finds as (

    select
        'arrival date' as ledger,
        cast(arrived_date as varchar) as entry,
        quarantined_count as claimed_quarantined_count,
        conflict_count as claimed_conflict_count,
        0 as found_quarantined_count,
        0 as found_conflict_count

    from {{ ref('metrics_pipeline_health_daily') }}

    union all

    select
        'batch' as ledger,
        cast(batch_seq as varchar) as entry,
        quarantined_count as claimed_quarantined_count,
        conflict_count as claimed_conflict_count,
        0 as found_quarantined_count,
        0 as found_conflict_count

    from batches

    union all

    select
        'arrival date' as ledger,
        cast(arrived_date as varchar) as entry,
        0 as claimed_quarantined_count,
        0 as claimed_conflict_count,
        case when reason = 'ID_CONFLICT' then 0 else quarantined_count end
            as found_quarantined_count,
        case when reason = 'ID_CONFLICT' then quarantined_count else 0 end as found_conflict_count

    from {{ ref('metrics_quarantine_daily') }}

    union all

    select
        'batch' as ledger,
        cast(quarantine_rows.batch_seq as varchar) as entry,
        0 as claimed_quarantined_count,
        0 as claimed_conflict_count,
        case when quarantine_rows.reason = 'ID_CONFLICT' then 0 else 1 end
            as found_quarantined_count,
        case when quarantine_rows.reason = 'ID_CONFLICT' then 1 else 0 end as found_conflict_count

    from quarantine_rows
    inner join batches on quarantine_rows.batch_seq = batches.batch_seq

),

entries_summed as (

    select
        ledger,
        entry,
        sum(claimed_quarantined_count) as claimed_quarantined_count,
        sum(found_quarantined_count) as found_quarantined_count,
        sum(claimed_conflict_count) as claimed_conflict_count,
        sum(found_conflict_count) as found_conflict_count

    from claims_and_finds

    group by 1, 2

)

select * from entries_summed
where
    claimed_quarantined_count <> found_quarantined_count
    or claimed_conflict_count <> found_conflict_count
