{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(session_date)'],
        unique_key=['session_date', 'start_record_id'],
    )
}}
{# A session ends with more silence than this: 30 minutes, as the trackers of the trade have it. #}
{% set silence_milliseconds = 30 * 60 * 1000 %}
{# Nobody visits for longer; what does is a machine, and would make its session grow for ever. #}
{% set cap_milliseconds = 24 * 60 * 60 * 1000 %}
{# With 20 seconds between its first and last event a visit counts as engaged; DECISIONS.md #57. #}
{% set engaged_seconds = 20 %}
{% set dirty = dirty_dates('session_date', ref('int_dates_stamped'), {
    'max(as_of_batch_seq)': 'sessions_batch_seq',
}) %}
{# The day before tells whether a session starts, the two days after what it holds under the cap. #}
{% set read = dates_around(dirty, 1, 2) %}

with

dates as (

    select * from {{ ref('int_dates_stamped') }}

),

records as (

    select * from {{ ref('stg_access_logs__records') }}
    where {{ in_dates('event_date', read) }} and {{ in_source_dates('source_date', read) }}

),

silences_measured as (

    select
        user_id,
        record_id,
        occurred_at,
        event_date,
        route,
        activity,
        is_error,
        date_diff(
            'millisecond',
            lag(occurred_at) over (partition by user_id order by occurred_at, record_id),
            occurred_at
        ) as silence_milliseconds

    from records

),

sessions_numbered as (

    select
        *,
        sum(
            case when silence_milliseconds <= {{ silence_milliseconds }} then 0 else 1 end
        ) over (
            partition by user_id order by occurred_at, record_id
            rows between unbounded preceding and current row
        ) as session_number

    from silences_measured

),

cap_applied as (

    select
        *,
        date_diff(
            'millisecond',
            min(occurred_at) over (partition by user_id, session_number),
            occurred_at
        ) <= {{ cap_milliseconds }} as is_under_cap

    from sessions_numbered

),

{# What goes on beyond the cap belongs to no session; the session only says that there was more. #}
events_numbered as (

    select
        *,
        row_number() over (
            partition by user_id, session_number order by occurred_at, record_id
        ) as event_number,
        row_number() over (
            partition by user_id, session_number, is_under_cap
            order by occurred_at desc, record_id desc
        ) as event_number_from_end

    from cap_applied

),

sessions_collected as (

    select
        user_id,
        session_number,
        min(event_date) as session_date,
        max(case when event_number = 1 then record_id end) as start_record_id,
        min(occurred_at) as started_at,
        max(case when is_under_cap then occurred_at end) as ended_at,
        count_if(is_under_cap) as event_count,
        count(distinct case when is_under_cap then route end) as route_count,
        count_if(is_under_cap and activity = 'view' and not is_error) as view_count,
        count_if(is_under_cap and activity = 'purchase' and not is_error) as purchase_count,
        max(case when event_number = 1 then route end) as entry_route,
        max(case when is_under_cap and event_number_from_end = 1 then route end) as exit_route,
        bool_or(not is_under_cap) as is_over_cap

    from events_numbered

    group by 1, 2

),

durations_measured as (

    select
        *,
        cast(date_diff('millisecond', started_at, ended_at) as double) / 1000 as duration_seconds

    from sessions_collected

    where {{ in_dates('session_date', dirty) }}

),

sessions_judged as (

    select
        durations_measured.session_date,
        durations_measured.start_record_id,
        lower(
            to_hex(
                md5(
                    to_utf8(
                        durations_measured.user_id
                        || ':'
                        || cast(durations_measured.start_record_id as varchar)
                    )
                )
            )
        ) as session_id,
        durations_measured.user_id,
        cast(durations_measured.started_at as timestamp(6)) as started_at,
        cast(durations_measured.ended_at as timestamp(6)) as ended_at,
        durations_measured.event_count,
        durations_measured.route_count,
        durations_measured.view_count,
        durations_measured.purchase_count,
        durations_measured.entry_route,
        durations_measured.exit_route,
        durations_measured.duration_seconds,
        durations_measured.purchase_count > 0 as is_converted,
        durations_measured.event_count = 1 as is_bounce,
        durations_measured.view_count >= 2
        or durations_measured.duration_seconds >= {{ engaged_seconds }}
        or durations_measured.purchase_count > 0 as is_engaged,
        durations_measured.is_over_cap,
        dates.sessions_batch_seq as as_of_batch_seq

    from durations_measured
    inner join dates on durations_measured.session_date = dates.metric_date

)

select * from sessions_judged
{# By an ascending number, not by 32 random digits: the keys of standing rows are read. #}
{{ with_tombstones(['session_date', 'start_record_id'], dirty) }}

{# Sorted, a date costs next to nothing to read; so says the comparison in README. #}
order by 1, 2
