{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(metric_date)'],
        unique_key=['metric_date'],
    )
}}

{# Its rows come from fct_user_daily, which counts sessions too and has their reach. #}
{% set dirty = dirty_dates('metric_date', ref('dim_dates'), {
    'max(as_of_batch_seq)': 'sessions_batch_seq',
    'bool_or(is_final)': 'is_final',
    'max(completeness_pct)': 'completeness_pct',
}) %}

with

user_days as (

    select * from {{ ref('fct_user_daily') }}

    where {{ in_dates('event_date', dirty) }}

),

dates as (

    select * from {{ ref('dim_dates') }}

    where {{ in_dates('metric_date', dirty) }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

users_ranked as (

    select
        event_date,
        event_count,
        is_active,
        is_suspected_bot,
        row_number() over (partition by event_date order by event_count) as user_rank,
        count(*) over (partition by event_date) as user_count

    from user_days

),

{# 1 % of the users, rounded up: there is a top user as soon as there is a user. #}
tops_marked as (

    select
        *,
        user_rank > user_count - (user_count + 99) / 100 as is_top_user

    from users_ranked

),

{# Gini: 0 when all have equally many events, towards 1 when one has them all. #}
days_summed as (

    select
        event_date,
        count(*) as user_count,
        sum(event_count) as event_count,
        count_if(is_top_user) as top_user_count,
        sum(case when is_top_user then event_count else 0 end) as top_1pct_event_count,
        sum((2 * user_rank - user_count - 1) * event_count) as weighted_event_count,
        count_if(is_suspected_bot) as suspected_bot_user_count,
        sum(case when is_suspected_bot then event_count else 0 end) as suspected_bot_event_count,
        count_if(is_active and not is_suspected_bot) as dau_without_bots

    from tops_marked

    group by 1

),

shares_computed as (

    select
        dates.metric_date,
        coalesce(days_summed.user_count, 0) as user_count,
        coalesce(days_summed.event_count, 0) as event_count,
        coalesce(days_summed.top_user_count, 0) as top_user_count,
        coalesce(days_summed.top_1pct_event_count, 0) as top_1pct_event_count,
        cast(days_summed.top_1pct_event_count as double) / days_summed.event_count
            as top_1pct_share,
        cast(days_summed.weighted_event_count as double)
        / (days_summed.user_count * days_summed.event_count) as gini,
        coalesce(days_summed.suspected_bot_user_count, 0) as suspected_bot_user_count,
        coalesce(days_summed.suspected_bot_event_count, 0) as suspected_bot_event_count,
        coalesce(days_summed.dau_without_bots, 0) as dau_without_bots,
        dates.is_final,
        dates.completeness_pct,
        dates.sessions_batch_seq as as_of_batch_seq,
        cast(batches.landed_at as timestamp(6)) as as_of

    from dates
    left join days_summed on dates.metric_date = days_summed.event_date
    left join batches on dates.sessions_batch_seq = batches.batch_seq

)

select * from shares_computed
{{ with_tombstones(['metric_date'], dirty) }}
