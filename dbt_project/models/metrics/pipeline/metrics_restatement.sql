{{ config(materialized='view') }}

with

metric_history as (

    select * from {{ ref('fct_metric_history') }}

),

dates as (

    select * from {{ ref('dim_dates') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

revisions_compared as (

    select
        *,
        lag(value) over (
            partition by metric, metric_date order by revision_number
        ) as old_value,
        lag(as_of_batch_seq) over (
            partition by metric, metric_date order by revision_number
        ) as old_as_of_batch_seq,
        lag(definition_hash) over (
            partition by metric, metric_date order by revision_number
        ) as old_definition_hash

    from metric_history

),

{# By the batch whose news the new value has; one that was replaced since is known no more. #}
causes_found as (

    select
        revisions_compared.metric,
        revisions_compared.metric_date,
        revisions_compared.revision_number,
        revisions_compared.old_value,
        revisions_compared.value as new_value,
        revisions_compared.value - revisions_compared.old_value as delta,
        case
            when
                revisions_compared.as_of_batch_seq = revisions_compared.old_as_of_batch_seq
                and revisions_compared.definition_hash <> revisions_compared.old_definition_hash
                then 'definition_changed'
            when cardinality(batches.superseded_batch_seqs) > 0 then 'derived_again'
            when batches.source_name = 'replay' then 'key_arrived'
            else 'late_data'
        end as cause,
        revisions_compared.definition_hash,
        revisions_compared.invocation_id,
        true as is_final,
        dates.completeness_pct,
        revisions_compared.as_of_batch_seq,
        cast(revisions_compared.as_of as timestamp(3)) as as_of

    from revisions_compared
    left join dates on revisions_compared.metric_date = dates.metric_date
    left join batches on revisions_compared.as_of_batch_seq = batches.batch_seq

    where revisions_compared.old_value is not null

)

select * from causes_found
