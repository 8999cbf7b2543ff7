{{ config(materialized='table') }}

{# A value is compared with its own weekday; eight of them, so that an old trend stays out. #}
{% set weeks_in_training = 8 %}

{# With fewer days a median moves with each of them; with fewer expected, chance moves the value. #}
{% set least_training_count = 4 %}
{% set least_expected = 20 %}

{# In spreads, which the factor 1.4826 makes a normal distribution's standard deviations. #}
{% set spread_per_deviation = '1.4826e0' %}
{% set warn_score = '2.5e0' %}
{% set alert_score = '3.5e0' %}

{# A day with less of its records than this tells of the pipeline, not of the users. #}
{% set least_completeness_pct = 99 %}

with

daily_active as (

    select * from {{ ref('metrics_daily_active') }}

),

activity_daily as (

    select * from {{ ref('metrics_activity_daily') }}

),

dates as (

    select * from {{ ref('dim_dates') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

{# The latest date is still filling up. #}
history as (

    select max(metric_date) as last_date from dates

),

activities_listed as (

    select distinct activity from activity_daily

),

{# An activity without an event has no row; the calendar knows what such a date can be trusted. #}
activities_filled as (

    select
        dates.metric_date,
        activities_listed.activity,
        coalesce(activity_daily.event_count, 0) as event_count,
        dates.is_final,
        dates.completeness_pct,
        dates.day_batch_seq as as_of_batch_seq,
        batches.landed_at as as_of

    from dates
    cross join activities_listed
    left join
        activity_daily
        on
            dates.metric_date = activity_daily.metric_date
            and activities_listed.activity = activity_daily.activity
    left join batches on dates.day_batch_seq = batches.batch_seq

),

values_listed as (

    select
        daily_active.metric_date,
        measures.metric,
        'all' as dimension,
        measures.value,
        daily_active.is_final,
        daily_active.completeness_pct,
        daily_active.as_of_batch_seq,
        cast(daily_active.as_of as timestamp(3)) as as_of

    from daily_active
    cross join
        unnest(
            array['dau', 'new_user_count', 'event_count', 'session_count'],
            array[
                cast(daily_active.dau as double),
                cast(daily_active.new_user_count as double),
                cast(daily_active.event_count as double),
                cast(daily_active.session_count as double)
            ]
        ) as measures (metric, value)

    union all

    select
        metric_date,
        'activity_event_count' as metric,
        activity as dimension,
        cast(event_count as double) as value,
        is_final,
        completeness_pct,
        as_of_batch_seq,
        as_of

    from activities_filled

),

values_settled as (

    select
        values_listed.*,
        coalesce(
            values_listed.completeness_pct >= {{ least_completeness_pct }}, true
        ) as is_complete

    from values_listed
    cross join history

    where values_listed.metric_date < history.last_date

),

{# First pass: every value is judged by all of its training. Dates have no holes, so among equal
   weekdays the rows before are the weeks before. #}
first_trainings_collected as (

    select
        *,
        array_sort(
            filter(
                array_agg(case when is_complete then value end) over (
                    partition by metric, dimension, day_of_week(metric_date)
                    order by metric_date
                    rows between {{ weeks_in_training }} preceding and 1 preceding
                ),
                x -> x is not null
            )
        ) as first_training

    from values_settled

),

first_medians_found as (

    select
        *,
        {{ median('first_training') }} as first_expected

    from first_trainings_collected

),

first_deviations_sorted as (

    select
        *,
        array_sort(
            transform(first_training, x -> abs(x - first_expected))
        ) as first_deviations

    from first_medians_found

),

first_spreads_found as (

    select
        *,
        greatest(
            {{ spread_per_deviation }} * {{ median('first_deviations') }}, sqrt(first_expected)
        ) as first_spread

    from first_deviations_sorted

),

outliers_marked as (

    select
        *,
        coalesce(
            cardinality(first_training) >= {{ least_training_count }}
            and abs((value - first_expected) / nullif(first_spread, 0)) > {{ alert_score }},
            false
        ) as is_outlier

    from first_spreads_found

),

{# Second pass: what is an outlier itself teaches nothing about the days after it. #}
trainings_collected as (

    select
        metric_date,
        metric,
        dimension,
        value,
        is_final,
        completeness_pct,
        as_of_batch_seq,
        as_of,
        array_sort(
            filter(
                array_agg(case when is_complete and not is_outlier then value end) over (
                    partition by metric, dimension, day_of_week(metric_date)
                    order by metric_date
                    rows between {{ weeks_in_training }} preceding and 1 preceding
                ),
                x -> x is not null
            )
        ) as training

    from outliers_marked

),

medians_found as (

    select
        *,
        {{ median('training') }} as expected

    from trainings_collected

),

deviations_sorted as (

    select
        *,
        array_sort(transform(training, x -> abs(x - expected))) as deviations

    from medians_found

),

spreads_found as (

    select
        *,
        greatest({{ spread_per_deviation }} * {{ median('deviations') }}, sqrt(expected)) as spread

    from deviations_sorted

),

scores_computed as (

    select
        *,
        coalesce(cardinality(training), 0) as training_count,
        expected - {{ alert_score }} * spread as low,
        expected + {{ alert_score }} * spread as high,
        (value - expected) / nullif(spread, 0) as score

    from spreads_found

),

values_flagged as (

    select
        *,
        case
            when training_count < {{ least_training_count }} or expected < {{ least_expected }}
                then 'not_enough_history'
            when completeness_pct < {{ least_completeness_pct }} then 'suppressed'
            when abs(score) > {{ alert_score }} then 'alert'
            when abs(score) > {{ warn_score }} then 'warn'
            else 'ok'
        end as flag

    from scores_computed

),

reasons_given as (

    select
        metric_date,
        metric,
        dimension,
        value,
        expected,
        low,
        high,
        score,
        training_count,
        flag,
        case flag
            when 'not_enough_history'
                then 'Fewer than 4 comparable days, or fewer than 20 expected.'
            when 'suppressed'
                then 'Records of the day are missing: look at the pipeline first.'
            when 'alert' then 'More than 3.5 spreads from the median of its weekday.'
            when 'warn' then 'More than 2.5 spreads from the median of its weekday.'
        end as reason,
        is_final,
        completeness_pct,
        as_of_batch_seq,
        as_of

    from values_flagged

)

select * from reasons_given
