{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(metric_date)'],
        unique_key=['metric_date', 'user_id'],
    )
}}
{# 28 days, a multiple of 7, rather than a month: every window holds each weekday four times. #}
{% set days_after_in_window = 27 %}
{% set dirty = dirty_dates('metric_date', ref('dim_dates'), {
    'max(as_of_batch_seq)': 'last_28_days_batch_seq',
}) %}
{% set read = dates_around(dirty, days_after_in_window, 0) %}

with

dates as (

    select * from {{ ref('dim_dates') }}
    where {{ in_dates('metric_date', dirty) }}

),

user_days as (

    select * from {{ ref('fct_user_daily') }}
    where is_active and {{ in_dates('event_date', read) }}

),

{# An active day counts in 28 windows: the one that ends on it, and those of the 27 days after. #}
active_days_carried_forward as (

    select
        user_days.user_id,
        windows.metric_date,
        date_diff('day', user_days.event_date, windows.metric_date) as days_ago,
        user_days.purchase_count > 0 as is_purchase_day

    from user_days
    cross join unnest(
        sequence(
            user_days.event_date,
            date_add('day', {{ days_after_in_window }}, user_days.event_date),
            interval '1' day
        )
    ) as windows (metric_date)

),

days_collected as (

    select
        user_id,
        metric_date,
        sum(cast(power(2, days_ago) as bigint)) as days_active_bits,
        sum(
            case when is_purchase_day then cast(power(2, days_ago) as bigint) else 0 end
        ) as days_purchase_bits,
        min(days_ago) as days_since_active

    from active_days_carried_forward

    group by 1, 2

),

windows_stamped as (

    select
        dates.metric_date,
        days_collected.user_id,
        days_collected.days_active_bits,
        days_collected.days_purchase_bits,
        days_collected.days_since_active,
        dates.last_28_days_batch_seq as as_of_batch_seq

    from days_collected
    inner join dates on days_collected.metric_date = dates.metric_date

)

select * from windows_stamped
{{ with_tombstones(['metric_date', 'user_id'], dirty) }}

{# Sorted, a date costs next to nothing to read; so says the comparison in README. #}
order by 1, 2
