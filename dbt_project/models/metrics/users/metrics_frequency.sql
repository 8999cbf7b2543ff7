{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(metric_date)'],
        unique_key=['metric_date', 'active_day_count'],
    )
}}
{% set dirty = dirty_dates('metric_date', ref('dim_dates'), {
    'max(as_of_batch_seq)': 'last_28_days_batch_seq',
    'max(is_final)': 'is_final',
    'max(completeness_pct)': 'completeness_pct',
    'max(is_complete)': 'is_mau_complete',
}) %}

with

dates as (

    select * from {{ ref('dim_dates') }}
    where {{ in_dates('metric_date', dirty) }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

user_windows as (

    select * from {{ ref('fct_user_activity_bits') }}
    where {{ in_dates('metric_date', dirty) }}

),

users_counted as (

    select
        metric_date,
        bit_count(days_active_bits, 64) as active_day_count,
        count(*) as user_count

    from user_windows

    group by 1, 2

),

{# A curve has a point for each number of days, for nobody, too. #}
points_listed as (

    select
        dates.*,
        points.active_day_count

    from dates
    cross join unnest(sequence(1, 28)) as points (active_day_count)

),

points_filled as (

    select
        points_listed.*,
        coalesce(users_counted.user_count, 0) as user_count

    from points_listed
    left join
        users_counted
        on
            points_listed.metric_date = users_counted.metric_date
            and points_listed.active_day_count = users_counted.active_day_count

),

{# All points of a date together are mau; adding them up reads the windows once. #}
shares_computed as (

    select
        points_filled.metric_date,
        points_filled.active_day_count,
        case
            when points_filled.active_day_count >= 21 then 'core'
            when points_filled.active_day_count >= 14 then 'regular'
            when points_filled.active_day_count >= 7 then 'casual'
            else 'infrequent'
        end as segment,
        points_filled.user_count,
        cast(points_filled.user_count as double)
        / nullif(
            sum(points_filled.user_count) over (partition by points_filled.metric_date), 0
        ) as share_of_users,
        points_filled.is_mau_complete as is_complete,
        points_filled.is_final,
        points_filled.completeness_pct,
        points_filled.last_28_days_batch_seq as as_of_batch_seq,
        cast(batches.landed_at as timestamp(6)) as as_of

    from points_filled
    left join batches on points_filled.last_28_days_batch_seq = batches.batch_seq

)

select * from shares_computed
{{ with_tombstones(['metric_date', 'active_day_count'], dirty) }}
