{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        table_type='iceberg',
        format='parquet',
        unique_key='metric_date',
        delete_condition='src.is_wau_complete is null',
        insert_condition='src.is_wau_complete is not null',
        unique_tmp_table_suffix=true,
        on_schema_change='fail',
    )
}}

with

dates as (

    select * from {{ ref('dim_dates') }}

),

user_days as (

    select * from {{ ref('fct_user_daily') }}

),

user_activity as (

    select * from {{ ref('fct_user_activity_bits') }}

),

{# What the facts account for, which may lag behind the newest batch: then this table says so, and
   the next run catches up. #}
facts as (

    select max(as_of_batch_seq) as as_of_batch_seq from user_days

),

{% if is_incremental() %}

    built as (

        select max(metric_date) as last_built_date from {{ this }}

    ),

{% endif %}

{# Windows and first-seen dates only reach forward, so all that a changed day can change lies on
   it or after it. Dates after the newest row are new even if no batch touched them: empty days. #}
dirty_span as (

    select min(event_date) as first_dirty_date
    from {{ ref('int_batches_exploded_to_event_dates') }}
    where batch_seq > {{ last_batch_built() }}

),

dates_dirty as (

    select
        dates.metric_date,
        dates.is_wau_complete,
        dates.is_mau_complete

    from dates
    {% if is_incremental() %}
        cross join dirty_span
        cross join built
        where
            dates.metric_date >= dirty_span.first_dirty_date
            or dates.metric_date > built.last_built_date

        {# A batch that is derived again may shorten history. A date outside it has no windows, and
           the merge deletes what has none. #}
        union all

        select
            standing.metric_date,
            cast(null as boolean) as is_wau_complete,
            cast(null as boolean) as is_mau_complete

        from {{ this }} as standing
        left join dates on standing.metric_date = dates.metric_date

        where dates.metric_date is null
    {% endif %}

),

{# One row per user and window, so that counting rows counts each user once. #}
users_counted as (

    select
        metric_date,
        count_if(days_since_active = 0) as dau,
        count_if(days_since_active <= 6) as wau,
        count_if(days_since_active <= 27) as mau,
        count_if(first_active_date = metric_date) as new_user_count

    from user_activity

    group by 1

),

events_counted as (

    select
        event_date,
        sum(event_count) as event_count,
        sum(active_event_count) as active_event_count

    from user_days

    group by 1

),

empty_dates_filled as (

    select
        dates_dirty.metric_date,
        coalesce(users_counted.dau, 0) as dau,
        coalesce(users_counted.wau, 0) as wau,
        coalesce(users_counted.mau, 0) as mau,
        coalesce(users_counted.new_user_count, 0) as new_user_count,
        coalesce(events_counted.event_count, 0) as event_count,
        coalesce(events_counted.active_event_count, 0) as active_event_count,
        dates_dirty.is_wau_complete,
        dates_dirty.is_mau_complete

    from dates_dirty
    left join users_counted on dates_dirty.metric_date = users_counted.metric_date
    left join events_counted on dates_dirty.metric_date = events_counted.event_date

),

rates_computed as (

    select
        empty_dates_filled.metric_date,
        empty_dates_filled.dau,
        empty_dates_filled.wau,
        empty_dates_filled.mau,
        cast(empty_dates_filled.dau as double) / nullif(empty_dates_filled.mau, 0) as dau_mau,
        cast(empty_dates_filled.dau as double) / nullif(empty_dates_filled.wau, 0) as dau_wau,
        empty_dates_filled.new_user_count,
        empty_dates_filled.dau - empty_dates_filled.new_user_count as returning_user_count,
        empty_dates_filled.event_count,
        empty_dates_filled.active_event_count,
        cast(empty_dates_filled.active_event_count as double)
        / nullif(empty_dates_filled.dau, 0) as events_per_dau,
        empty_dates_filled.is_wau_complete,
        empty_dates_filled.is_mau_complete,
        facts.as_of_batch_seq

    from empty_dates_filled
    cross join facts

)

select * from rates_computed
