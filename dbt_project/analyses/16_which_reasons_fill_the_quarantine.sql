{# Which reasons fill the quarantine?
   Records in quarantine now, by reason. Their ciphertext is kept: a reason such as TOKEN_UNKNOWN_KEY
   is cured by its key and a replay, and its records leave this list. #}

with

quarantine as (

    select * from {{ ref('metrics_quarantine_daily') }}

),

reasons_summed as (

    select
        reason,
        sum(quarantined_count) as quarantined_count,
        min(arrived_date) as first_arrived_date,
        max(arrived_date) as last_arrived_date,
        bool_and(is_final) as is_final

    from quarantine

    group by reason

),

shares_computed as (

    select
        reason,
        quarantined_count,
        cast(quarantined_count as double) / sum(quarantined_count) over () as share_of_quarantine,
        first_arrived_date,
        last_arrived_date,
        is_final

    from reasons_summed

)

select * from shares_computed
order by quarantined_count desc, reason asc
