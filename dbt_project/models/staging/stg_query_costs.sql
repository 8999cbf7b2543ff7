with

source as (

    select * from {{ source('query_costs', 'query_costs') }}

),

{# A collector that was killed leaves days that the next one lands again. By dt, too, though an id
   has one: so that a reader's days prune the partitions. #}
landings_numbered as (

    select
        *,
        row_number() over (partition by dt, query_id order by submitted_at) as landing_number

    from source

),

renamed as (

    select
        ---------- ids
        query_id,
        invocation_id,
        coalesce(node_id, '(none)') as node_id,

        ---------- strings
        dt as source_date,
        work_group,
        coalesce(target_schema, '(none)') as target_schema,
        statement_type,
        state,

        ---------- numerics
        scanned_bytes,
        cast(execution_ms as double) / 1000 as execution_seconds,
        cast(queue_ms as double) / 1000 as queue_seconds,

        ---------- dates
        cast(dt as date) as query_date,

        ---------- timestamps
        submitted_at

    from landings_numbered

    where landing_number = 1

)

select * from renamed
