{# By reason, what the batches put into quarantine less what they took out is what is there now.
   Batches of version 0.1 did not count by reason: while one of them counts, nothing is compared. #}
with

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

batches_without_reasons as (

    select count(*) as batch_count from batches
    where reasons is null

),

claims_and_finds as (

    select
        reasons.reason,
        reasons.quarantined_count - reasons.replayed_count as claimed_count,
        0 as found_count

    from batches
    cross join unnest(batches.reasons) as reasons (reason, quarantined_count, replayed_count)

    union all

    select
        reason,
        0 as claimed_count,
        quarantined_count as found_count

    from {{ ref('metrics_quarantine_daily') }}

),

reasons_summed as (

    select
        reason,
        sum(claimed_count) as claimed_count,
        sum(found_count) as found_count

    from claims_and_finds

    group by 1

)

select reasons_summed.*
from reasons_summed
inner join batches_without_reasons on batches_without_reasons.batch_count = 0
where reasons_summed.claimed_count <> reasons_summed.found_count
