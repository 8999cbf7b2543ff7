{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        table_type='iceberg',
        format='parquet',
        unique_key=['metric_date', 'route', 'method'],
        delete_condition='src.request_count is null',
        insert_condition='src.request_count is not null',
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

{# As in fct_user_daily: whole days, found by the table's own last success. #}
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

{# A null never equals a null: as part of a merge key it would be inserted again on every run. #}
endpoints_counted as (

    select
        event_date as metric_date,
        coalesce(route, '(none)') as route,
        coalesce(method, '(none)') as method,
        count(*) as request_count,
        count(distinct user_id) as user_count,
        count_if(is_error) as error_count,
        count_if(level_name = 'WARNING') as warning_count

    from records_dirty

    group by 1, 2, 3

),

days_totalled as (

    select
        *,
        sum(request_count) over (partition by metric_date) as day_request_count

    from endpoints_counted

),

{# As in fct_user_daily: what is gone is listed without counts, and the merge deletes it. #}
endpoints_standing as (

    {% if is_incremental() %}
        select
            standing.metric_date,
            standing.route,
            standing.method

        from {{ this }} as standing
        inner join dirty_dates on standing.metric_date = dirty_dates.event_date
    {% else %}
        select
            event_date as metric_date,
            cast(null as varchar) as route,
            cast(null as varchar) as method

        from dirty_dates

        where false
    {% endif %}

),

rates_computed as (

    select
        coalesce(days_totalled.metric_date, endpoints_standing.metric_date) as metric_date,
        coalesce(days_totalled.route, endpoints_standing.route) as route,
        coalesce(days_totalled.method, endpoints_standing.method) as method,
        days_totalled.request_count,
        days_totalled.user_count,
        days_totalled.error_count,
        days_totalled.warning_count,
        cast(days_totalled.error_count as double) / days_totalled.request_count as error_rate,
        cast(days_totalled.request_count as double)
        / days_totalled.day_request_count as share_of_requests,
        cast(days_totalled.request_count as double)
        / days_totalled.user_count as requests_per_user,
        snapshot.as_of_batch_seq

    from days_totalled
    full outer join
        endpoints_standing
        on
            days_totalled.metric_date = endpoints_standing.metric_date
            and days_totalled.route = endpoints_standing.route
            and days_totalled.method = endpoints_standing.method
    cross join snapshot

)

select * from rates_computed
