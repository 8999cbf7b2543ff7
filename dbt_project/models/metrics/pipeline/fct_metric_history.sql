{{
    config(
        materialized='incremental',
        full_refresh=false,
        table_type='iceberg',
        unique_key=['metric', 'metric_date', 'revision_number'],
        on_schema_change='append_new_columns',
    )
}}

{# What was published cannot be computed again: a full refresh leaves this table as it is, and a
   column that is added later is null in the rows before. #}

with

daily_active as (

    select * from {{ ref('metrics_daily_active_final') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

snapshot as (

    select max(batch_seq) as recorded_batch_seq from batches

),

values_listed as (

    select
        measures.metric,
        daily_active.metric_date,
        measures.value,
        daily_active.as_of_batch_seq,
        daily_active.as_of

    from daily_active
    cross join
        unnest(
            array['dau', 'wau', 'mau', 'new_user_count', 'event_count', 'session_count'],
            array[
                cast(daily_active.dau as double),
                cast(daily_active.wau as double),
                cast(daily_active.mau as double),
                cast(daily_active.new_user_count as double),
                cast(daily_active.event_count as double),
                cast(daily_active.session_count as double)
            ]
        ) as measures (metric, value)

),

latest_recorded as (

    {% if is_incremental() %}
        select
            metric,
            metric_date,
            max(revision_number) as revision_number,
            max_by(value, revision_number) as value

        from {{ this }}

        group by 1, 2
    {% else %}
        select
            metric,
            metric_date,
            bigint '0' as revision_number,
            value

        from values_listed

        where false
    {% endif %}

),

revisions_found as (

    select
        values_listed.metric,
        values_listed.metric_date,
        coalesce(latest_recorded.revision_number, 0) + 1 as revision_number,
        values_listed.value,
        values_listed.as_of_batch_seq,
        values_listed.as_of,
        snapshot.recorded_batch_seq,
        {# Told now, because a batch that is replaced later is known no more. #}
        case
            when cardinality(batches.superseded_batch_seqs) > 0 then 'derived_again'
            when batches.source_name = 'replay' then 'key_arrived'
            else 'late_data'
        end as batch_cause,
        '{{ definition_hash() }}' as definition_hash,
        '{{ invocation_id }}' as invocation_id

    from values_listed
    cross join snapshot
    left join batches on values_listed.as_of_batch_seq = batches.batch_seq
    left join
        latest_recorded
        on
            values_listed.metric = latest_recorded.metric
            and values_listed.metric_date = latest_recorded.metric_date

    where latest_recorded.value is null or latest_recorded.value <> values_listed.value

)

select * from revisions_found
