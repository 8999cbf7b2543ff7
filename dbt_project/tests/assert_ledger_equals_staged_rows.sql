{# What each batch, and each arrival date, says it brought is what readers find: no record lost,
   doubled or half published. #}
with

claims_and_finds as (

    select
        'batch' as ledger,
        cast(batch_seq as varchar) as entry,
        good_count as claimed_good_count,
        quarantined_count as claimed_quarantined_count,
        0 as found_good_count,
        0 as found_quarantined_count

    from {{ ref('stg_access_logs__batches') }}

    union all

    select
        'arrival date' as ledger,
        cast(arrived_date as varchar) as entry,
        good_count as claimed_good_count,
        quarantined_count as claimed_quarantined_count,
        0 as found_good_count,
        0 as found_quarantined_count

    from {{ ref('metrics_pipeline_health_daily') }}

    union all

    select
        'batch' as ledger,
        cast(batch_seq as varchar) as entry,
        0 as claimed_good_count,
        0 as claimed_quarantined_count,
        1 as found_good_count,
        0 as found_quarantined_count

    from {{ ref('stg_access_logs__records') }}

    union all

    select
        'arrival date' as ledger,
        cast(arrived_date as varchar) as entry,
        0 as claimed_good_count,
        0 as claimed_quarantined_count,
        1 as found_good_count,
        0 as found_quarantined_count

    from {{ ref('stg_access_logs__records') }}

    union all

    select
        'batch' as ledger,
        cast(batch_seq as varchar) as entry,
        0 as claimed_good_count,
        0 as claimed_quarantined_count,
        0 as found_good_count,
        1 as found_quarantined_count

    from {{ ref('stg_access_logs__quarantined_records') }}

    union all

    select
        'arrival date' as ledger,
        cast(arrived_date as varchar) as entry,
        0 as claimed_good_count,
        0 as claimed_quarantined_count,
        0 as found_good_count,
        1 as found_quarantined_count

    from {{ ref('stg_access_logs__quarantined_records') }}

),

entries_summed as (

    select
        ledger,
        entry,
        sum(claimed_good_count) as claimed_good_count,
        sum(found_good_count) as found_good_count,
        sum(claimed_quarantined_count) as claimed_quarantined_count,
        sum(found_quarantined_count) as found_quarantined_count

    from claims_and_finds

    group by 1, 2

)

select * from entries_summed
where
    claimed_good_count <> found_good_count
    or claimed_quarantined_count <> found_quarantined_count
