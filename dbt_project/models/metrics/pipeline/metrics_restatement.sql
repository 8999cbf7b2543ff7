{{ config(materialized='view') }}

with

metric_history as (

    select * from {{ ref('fct_metric_history') }}

),

dates as (

    select * from {{ ref('dim_dates') }}

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
            else revisions_compared.batch_cause
        end as cause,
        revisions_compared.definition_hash,
        revisions_compared.invocation_id,
        true as is_final,
        dates.completeness_pct,
        revisions_compared.as_of_batch_seq,
        cast(revisions_compared.as_of as timestamp(3)) as as_of

    from revisions_compared
    left join dates on revisions_compared.metric_date = dates.metric_date

    where revisions_compared.old_value is not null

)

select * from causes_found
