{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        table_type='iceberg',
        format='parquet',
        unique_key=['user_id', 'event_date'],
        delete_condition='src.event_count is null',
        insert_condition='src.event_count is not null',
        unique_tmp_table_suffix=true,
        on_schema_change='fail',
    )
}}

with

records as (

    select * from {{ ref('stg_access_logs__records') }}

),

snapshot as (

    select max(batch_seq) as as_of_batch_seq from {{ ref('stg_access_logs__batches') }}

),

{# Days that a batch touched since this table's own last success, however old. Whole days are
   recomputed, so nothing is added twice and nothing that came late is missed. #}
dirty_dates as (

    select distinct event_date
    from {{ ref('int_batches_exploded_to_event_dates') }}
    where batch_seq > {{ last_batch_built() }}

),

records_dirty as (

    select records.*
    from records
    {% if is_incremental() %}
        inner join dirty_dates on records.event_date = dirty_dates.event_date
    {% endif %}

),

user_days_counted as (

    select
        user_id,
        event_date,
        count(*) as event_count,
        count_if(not is_error) as active_event_count,
        count_if(is_error) as error_count,
        count_if(activity = 'view') as view_count,
        count_if(activity = 'cart') as cart_count,
        count_if(activity = 'purchase') as purchase_count,
        count_if(coalesce(activity not in ('view', 'cart', 'purchase'), true)) as other_count,
        count(distinct route) as route_count,
        cast(min(occurred_at) as timestamp(6)) as first_event_at,
        cast(max(occurred_at) as timestamp(6)) as last_event_at

    from records_dirty

    group by 1, 2

),

{# A batch that is derived again may take the last record of a user's day away. Such a day is listed
   without counts, and the merge deletes what has none. #}
user_days_standing as (

    {% if is_incremental() %}
        select
            standing.user_id,
            standing.event_date

        from {{ this }} as standing
        inner join dirty_dates on standing.event_date = dirty_dates.event_date
    {% else %}
        select
            cast(null as varchar) as user_id,
            event_date

        from dirty_dates

        where false
    {% endif %}

),

stamped as (

    select
        coalesce(user_days_counted.user_id, user_days_standing.user_id) as user_id,
        coalesce(user_days_counted.event_date, user_days_standing.event_date) as event_date,
        user_days_counted.event_count,
        user_days_counted.active_event_count,
        user_days_counted.error_count,
        user_days_counted.view_count,
        user_days_counted.cart_count,
        user_days_counted.purchase_count,
        user_days_counted.other_count,
        user_days_counted.route_count,
        user_days_counted.active_event_count > 0 as is_active,
        user_days_counted.first_event_at,
        user_days_counted.last_event_at,
        snapshot.as_of_batch_seq

    from user_days_counted
    full outer join
        user_days_standing
        on
            user_days_counted.user_id = user_days_standing.user_id
            and user_days_counted.event_date = user_days_standing.event_date
    cross join snapshot

)

select * from stamped
