{# A segment that names one thing: all digits, 8 or more hexadecimal digits, or a UUID. #}
{% set id_segment =
    '^([0-9]+|[0-9a-fA-F]{8,}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$' %}

with

source as (

    select * from {{ source('access_logs', 'access_logs') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

published as (

    select
        source.*,
        batches.source_name = 'replay' as is_replayed

    from source
    inner join batches on source.batch_seq = batches.batch_seq

),

{# Ingestion lands a record once. Belt and braces: should it ever not, the first arrival counts. By
   partition, so that a reader of one day reads one partition; a record has one day. #}
arrivals_numbered as (

    select
        *,
        row_number() over (
            partition by record_id, dt order by batch_seq, occurred_at
        ) as arrival_number

    from published

),

{# The original source sends neither; where one does, under these names. #}
extras_read as (

    select
        *,
        try_cast(json_extract_scalar(extra_fields, '$.latency_ms') as double) as latency_given,
        try_cast(json_extract_scalar(extra_fields, '$.status') as integer) as status_given

    from arrivals_numbered

    where arrival_number = 1

),

renamed as (

    select
        ---------- ids
        record_id,
        {# What was landed before 0.3.0 has twice the bytes, of which the first half is the same. #}
        substr(lower(to_hex(user_id)), 1, 32) as user_id,
        batch_seq,

        ---------- strings
        activity,
        url,
        array_join(
            transform(
                split(split_part(split_part(url, '#', 1), '?', 1), '/'),
                segment -> regexp_replace(segment, '{{ id_segment }}', '{id}')
            ), '/'
        ) as route,
        method,
        log_name,
        level_name,
        message,
        extra_fields,
        key_fingerprint,
        occurred_at_text,

        ---------- numerics
        case when is_finite(latency_given) and latency_given >= 0 then latency_given end
            as latency_ms,
        case when status_given between 100 and 599 then status_given end as status_code,

        ---------- booleans
        coalesce(level_name in ('ERROR', 'CRITICAL'), false)
        or coalesce(status_given between 500 and 599, false) as is_error,
        is_replayed,

        ---------- dates
        dt as source_date,
        {{ utc_to_date('occurred_at', var('metric_time_zone')) }} as event_date,
        {{ utc_to_date('arrived_at', var('source_time_zone')) }} as arrived_date,

        ---------- timestamps
        occurred_at,
        arrived_at,
        landed_at

    from extras_read

)

select * from renamed
