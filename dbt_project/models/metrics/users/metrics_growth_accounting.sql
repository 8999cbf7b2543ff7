{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(period_end_date)'],
        unique_key=['period_end_date', 'period'],
    )
}}
{% set periods_by_date %}
    (
        select
            period_end_date as metric_date,
            max(as_of_batch_seq) as as_of_batch_seq,
            count_if(is_final) as final_count,
            count_if(is_complete) as complete_count,
            array_agg(completeness_pct order by period) as completeness_pcts,
            array_agg(new_user_count order by period) as new_user_counts
        from {{ ref('int_growth_periods') }}
        group by 1
    )
{% endset %}
{# New users are compared, because a first date that moves leaves dates that no batch touched. #}
{% set dirty = dirty_dates('period_end_date', periods_by_date, {
    'max(as_of_batch_seq)': 'as_of_batch_seq',
    'count_if(is_final)': 'final_count',
    'count_if(is_complete)': 'complete_count',
    'array_agg(completeness_pct order by period)': 'completeness_pcts',
    'array_agg(new_user_count order by period)': 'new_user_counts',
}) %}

with

periods as (

    select * from {{ ref('int_growth_periods') }}
    where {{ in_dates('period_end_date', dirty) }}

),

{# A 28-day period and the one before it. #}
user_days as (

    select * from {{ ref('fct_user_daily') }}
    where {{ in_dates('event_date', dates_around(dirty, 55, 0)) }}

),

kinds as (

    select * from (
        values ('day', 1), ('week', 7), ('28d', 28)
    ) as kinds (period, day_count)

),

{# The first period of each kind that an active day falls into: weeks end on their Sunday. #}
active_days_placed as (

    select
        user_days.user_id,
        user_days.event_date,
        kinds.period,
        kinds.day_count,
        case
            when kinds.period = 'week'
                then date_add('day', 7 - day_of_week(user_days.event_date), user_days.event_date)
            else user_days.event_date
        end as first_period_end_date

    from user_days
    cross join kinds

    where user_days.is_active

),

{# It keeps its user in the rolling periods of the 27 days after, too. #}
active_days_reaching as (

    select
        *,
        case
            when period = '28d' then date_add('day', 27, first_period_end_date)
            else first_period_end_date
        end as last_period_end_date,
        lead(first_period_end_date) over (
            partition by user_id, period order by event_date
        ) as next_period_end_date

    from active_days_placed

),

{# From where the user's next active day takes over it stops, so that a user is once in a period. #}
active_days_shortened as (

    select
        user_id,
        period,
        day_count,
        first_period_end_date,
        coalesce(
            least(last_period_end_date, date_add('day', -1, next_period_end_date)),
            last_period_end_date
        ) as last_period_end_date

    from active_days_reaching

),

active_days_carrying as (

    select * from active_days_shortened
    where first_period_end_date <= last_period_end_date

),

users_active as (

    select
        active_days_carrying.user_id,
        active_days_carrying.period,
        active_days_carrying.day_count,
        periods_reached.period_end_date

    from active_days_carrying
    cross join unnest(
        sequence(
            active_days_carrying.first_period_end_date,
            active_days_carrying.last_period_end_date,
            interval '1' day
        )
    ) as periods_reached (period_end_date)

),

{# Each user in the period itself, and in the next one, which looks back on it. #}
users_placed as (

    select
        users_active.user_id,
        users_active.period,
        looks.periods_back,
        date_add(
            'day', looks.periods_back * users_active.day_count, users_active.period_end_date
        ) as period_end_date

    from users_active
    cross join unnest(array[0, 1]) as looks (periods_back)

),

users_compared as (

    select
        period,
        period_end_date,
        user_id,
        count_if(periods_back = 0) as active_user_count,
        count_if(periods_back = 1) as prior_active_user_count

    from users_placed

    where {{ in_dates('period_end_date', dirty) }}

    group by 1, 2, 3

),

users_counted as (

    select
        period,
        period_end_date,
        sum(active_user_count) as active_user_count,
        sum(prior_active_user_count) as prior_active_user_count,
        sum(active_user_count * prior_active_user_count) as retained_user_count

    from users_compared

    group by 1, 2

),

empty_periods_filled as (

    select
        periods.*,
        coalesce(users_counted.active_user_count, 0) as active_user_count,
        coalesce(users_counted.prior_active_user_count, 0) as prior_active_user_count,
        coalesce(users_counted.retained_user_count, 0) as retained_user_count

    from periods
    left join
        users_counted
        on
            periods.period = users_counted.period
            and periods.period_end_date = users_counted.period_end_date

),

moves_accounted as (

    select
        *,
        active_user_count - retained_user_count - new_user_count as resurrected_user_count,
        prior_active_user_count - retained_user_count as churned_user_count

    from empty_periods_filled

),

rates_computed as (

    select
        period_end_date,
        period,
        period_start_date,
        active_user_count,
        prior_active_user_count,
        new_user_count,
        retained_user_count,
        resurrected_user_count,
        churned_user_count,
        cast(new_user_count + resurrected_user_count as double)
        / nullif(churned_user_count, 0) as quick_ratio,
        cast(retained_user_count as double) / nullif(prior_active_user_count, 0) as retention_rate,
        cast(churned_user_count as double) / nullif(prior_active_user_count, 0) as churn_rate,
        is_complete,
        is_final,
        completeness_pct,
        as_of_batch_seq,
        cast(as_of as timestamp(6)) as as_of

    from moves_accounted

)

select * from rates_computed
{{ with_tombstones(['period_end_date', 'period'], dirty) }}
