{# A view: what a run cost is landed after its models, and is to be seen without another run. #}
{{ config(materialized='view') }}

with

queries as (

    select * from {{ ref('stg_query_costs') }}

),

queries_counted as (

    select
        query_date,
        target_schema,
        node_id,
        count(*) as query_count,
        count_if(state != 'SUCCEEDED') as failed_count,
        count(distinct invocation_id) as invocation_count,
        sum(scanned_bytes) as scanned_bytes,
        round(sum(execution_seconds), 3) as execution_seconds,
        round(sum(queue_seconds), 3) as queue_seconds,
        max(submitted_at) as last_submitted_at

    from queries

    group by 1, 2, 3

)

select * from queries_counted
