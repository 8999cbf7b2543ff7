{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(event_date)'],
        unique_key=['event_date', 'user_id'],
    )
}}
{# Longer gaps are absence; the silence that ends a session. #}
{% set longest_gap_milliseconds = 30 * 60 * 1000 %}
{# One request a second, minute after minute, is no hand; DECISIONS.md #58. #}
{% set busy_requests_per_minute = 60 %}
{% set busy_minutes_of_a_bot = 5 %}
{% set active_hours_of_a_bot = 18 %}
{% set requests_of_a_bot = 500 %}
{% set route_percentage_of_a_bot = 95 %}
{# Sessions are counted on the date that they start on, so their reach is this table's, too. #}
{% set dirty = dirty_dates('event_date', ref('int_dates_stamped'), {
    'max(as_of_batch_seq)': 'sessions_batch_seq',
}) %}

with

dates as (

    select * from {{ ref('int_dates_stamped') }}

),

records as (

    select * from {{ ref('stg_access_logs__records') }}
    where {{ in_dates('event_date', dirty) }} and {{ in_source_dates('source_date', dirty) }}

),

sessions as (

    select * from {{ ref('fct_sessions') }}
    where {{ in_dates('session_date', dirty) }}

),

{# Ordered by time, an event is the first of its hour when the one before was in another hour, and
   the one that makes its minute busy when exactly so many before it were in the same minute. #}
events_placed as (

    select
        user_id,
        event_date,
        route,
        activity,
        is_error,
        occurred_at,
        date_trunc('hour', occurred_at) as hour_at,
        date_trunc('minute', occurred_at) as minute_at,
        row_number() over of_user_and_date as event_number,
        lag(occurred_at) over of_user_and_date as previous_at,
        lag(occurred_at, {{ busy_requests_per_minute }}) over of_user_and_date as busy_since_at,
        lag(
            occurred_at, {{ busy_requests_per_minute + 1 }}
        ) over of_user_and_date as before_busy_at

    from records

    window of_user_and_date as (
        partition by user_id, event_date order by occurred_at, record_id
    )

),

routes_counted as (

    select
        user_id,
        event_date,
        route,
        count(*) as event_count,
        count_if(is_error) as error_count,
        count_if(activity = 'view') as view_count,
        count_if(activity = 'cart') as cart_count,
        count_if(activity = 'purchase') as purchase_count,
        max(case when event_number = 1 then activity end) as first_activity,
        count_if(coalesce(date_trunc('hour', previous_at) <> hour_at, true)) as hour_count,
        count_if(
            date_trunc('minute', busy_since_at) = minute_at
            and coalesce(date_trunc('minute', before_busy_at) <> minute_at, true)
        ) as busy_minute_count,
        sum(
            case
                when
                    date_diff('millisecond', previous_at, occurred_at)
                    <= {{ longest_gap_milliseconds }}
                    then date_diff('millisecond', previous_at, occurred_at)
                else 0
            end
        ) as active_milliseconds,
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at

    from events_placed

    group by 1, 2, 3

),

user_days_counted as (

    select
        event_date,
        user_id,
        sum(event_count) as event_count,
        sum(error_count) as error_count,
        sum(view_count) as view_count,
        sum(cart_count) as cart_count,
        sum(purchase_count) as purchase_count,
        count(route) as route_count,
        max(first_activity) as first_activity,
        sum(busy_minute_count) as busy_minute_count,
        sum(hour_count) as active_hour_count,
        coalesce(
            max(case when route is not null then event_count end), 0
        ) as top_route_event_count,
        sum(active_milliseconds) as active_milliseconds,
        min(first_event_at) as first_event_at,
        max(last_event_at) as last_event_at

    from routes_counted

    group by 1, 2

),

sessions_counted as (

    select
        session_date,
        user_id,
        count(*) as session_count

    from sessions

    group by 1, 2

),

user_days_judged as (

    select
        user_days_counted.event_date,
        user_days_counted.user_id,
        user_days_counted.event_count,
        user_days_counted.event_count - user_days_counted.error_count as active_event_count,
        user_days_counted.error_count,
        user_days_counted.view_count,
        user_days_counted.cart_count,
        user_days_counted.purchase_count,
        user_days_counted.event_count
        - user_days_counted.view_count
        - user_days_counted.cart_count
        - user_days_counted.purchase_count as other_count,
        user_days_counted.route_count,
        coalesce(sessions_counted.session_count, 0) as session_count,
        cast(user_days_counted.active_milliseconds as double) / 1000 as active_seconds,
        user_days_counted.first_activity,
        user_days_counted.busy_minute_count,
        user_days_counted.active_hour_count,
        user_days_counted.top_route_event_count,
        user_days_counted.event_count > user_days_counted.error_count as is_active,
        user_days_counted.busy_minute_count >= {{ busy_minutes_of_a_bot }}
        or user_days_counted.active_hour_count > {{ active_hours_of_a_bot }}
        or (
            user_days_counted.event_count > {{ requests_of_a_bot }}
            and user_days_counted.top_route_event_count * 100
            > user_days_counted.event_count * {{ route_percentage_of_a_bot }}
        ) as is_suspected_bot,
        cast(user_days_counted.first_event_at as timestamp(6)) as first_event_at,
        cast(user_days_counted.last_event_at as timestamp(6)) as last_event_at,
        dates.sessions_batch_seq as as_of_batch_seq

    from user_days_counted
    inner join dates on user_days_counted.event_date = dates.metric_date
    left join
        sessions_counted
        on
            user_days_counted.event_date = sessions_counted.session_date
            and user_days_counted.user_id = sessions_counted.user_id

)

select * from user_days_judged
{{ with_tombstones(['event_date', 'user_id'], dirty) }}

{# Sorted, a date costs next to nothing to read; so says the comparison in README. #}
order by 1, 2
