{# What do the tables cost?
   What Athena read and how long it worked in the last 30 days with queries, by dbt node, the
   costliest first. Athena charges by the bytes; `(none)` are queries that bore no name. #}

with

costs as (

    select * from {{ ref('metrics_query_cost_daily') }}

),

newest_date as (

    select max(query_date) as query_date from costs

),

nodes_summed as (

    select
        costs.node_id,
        costs.target_schema,
        sum(costs.query_count) as query_count,
        sum(costs.failed_count) as failed_count,
        sum(costs.scanned_bytes) as scanned_bytes,
        sum(costs.execution_seconds) as execution_seconds,
        max(costs.last_submitted_at) as last_submitted_at

    from costs
    inner join
        newest_date
        on costs.query_date > date_add('day', -30, newest_date.query_date)

    group by costs.node_id, costs.target_schema

)

select * from nodes_summed
order by scanned_bytes desc, execution_seconds desc, node_id asc, target_schema asc
limit 20
