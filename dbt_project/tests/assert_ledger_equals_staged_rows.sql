{# What each batch says it brought is what readers find: no row lost, doubled or half published. #}
with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

records_counted as (

    select
        batch_seq,
        count(*) as good_count

    from {{ ref('stg_access_logs__records') }}

    group by 1

),

quarantined_records_counted as (

    select
        batch_seq,
        count(*) as quarantined_count

    from {{ ref('stg_access_logs__quarantined_records') }}

    group by 1

),

compared as (

    select
        batches.batch_seq,
        batches.good_count,
        batches.quarantined_count,
        coalesce(records_counted.good_count, 0) as found_good_count,
        coalesce(quarantined_records_counted.quarantined_count, 0) as found_quarantined_count

    from batches
    left join records_counted on batches.batch_seq = records_counted.batch_seq
    left join quarantined_records_counted
        on batches.batch_seq = quarantined_records_counted.batch_seq

)

select * from compared
where good_count <> found_good_count or quarantined_count <> found_quarantined_count
