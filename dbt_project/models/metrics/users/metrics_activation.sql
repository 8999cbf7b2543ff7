{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(cohort_date)'],
        unique_key=['cohort_date'],
    )
}}
{% set dirty = dirty_dates('cohort_date', ref('dim_dates'), {
    'max(as_of_batch_seq)': 'greatest(next_7_days_batch_seq, replaced_batch_seq)',
    'max(is_final)': "date_add('day', 6, metric_date) < first_open_date",
    'max(completeness_pct)':
        'min(completeness_pct) over (order by metric_date rows between current row and 6 following)',
    'max(new_user_count)': 'new_user_count',
}) %}

with

dates as (

    select * from {{ ref('dim_dates') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

users as (

    select * from {{ ref('dim_users') }}
    where {{ in_dates('first_active_date', dirty) }}

),

user_days as (

    select * from {{ ref('fct_user_daily') }}
    where {{ in_dates('event_date', dates_around(dirty, 0, 6)) }}

),

users_activated as (

    select distinct
        users.user_id,
        users.first_active_date

    from users
    inner join
        user_days
        on
            users.user_id = user_days.user_id
            and users.first_active_date < user_days.event_date
            and date_add('day', 6, users.first_active_date) >= user_days.event_date

    where user_days.is_active

),

users_counted as (

    select
        first_active_date,
        count(*) as user_count

    from users_activated

    group by 1

),

cohorts_judged as (

    select
        metric_date as cohort_date,
        new_user_count,
        date_add('day', 6, metric_date) < first_open_date as is_final,
        min(completeness_pct) over (
            order by metric_date rows between current row and 6 following
        ) as completeness_pct,
        greatest(next_7_days_batch_seq, replaced_batch_seq) as as_of_batch_seq

    from dates

),

rates_computed as (

    select
        cohorts_judged.cohort_date,
        cohorts_judged.new_user_count,
        coalesce(users_counted.user_count, 0) as activated_user_count,
        cast(coalesce(users_counted.user_count, 0) as double)
        / nullif(cohorts_judged.new_user_count, 0) as activation_rate,
        cohorts_judged.is_final as is_complete,
        cohorts_judged.is_final,
        cohorts_judged.completeness_pct,
        cohorts_judged.as_of_batch_seq,
        cast(batches.landed_at as timestamp(6)) as as_of

    from cohorts_judged
    left join users_counted on cohorts_judged.cohort_date = users_counted.first_active_date
    left join batches on cohorts_judged.as_of_batch_seq = batches.batch_seq

    where {{ in_dates('cohorts_judged.cohort_date', dirty) }}

)

select * from rates_computed
{{ with_tombstones(['cohort_date'], dirty) }}
