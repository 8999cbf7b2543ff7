{{ config(materialized='table', ha=true) }}

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

    select values_listed.*
    from values_listed
    cross join history

    where values_listed.metric_date < history.last_date

),

{# Each value is training for the same weekday of the eight weeks after it. #}
trainings_carried_forward as (

    select
        values_settled.metric,
        values_settled.dimension,
        values_settled.metric_date as training_date,
        values_settled.value,
        date_add('day', 7 * weeks.weeks_after, values_settled.metric_date) as metric_date

    from values_settled
    cross join unnest(sequence(1, {{ weeks_in_training }})) as weeks (weeks_after)

    where
        values_settled.completeness_pct is null
        or values_settled.completeness_pct >= {{ least_completeness_pct }}

),

{# First pass: every value is judged by all of its training. #}
first_trainings_sorted as (

    select
        metric,
        dimension,
        metric_date,
        count(*) as training_count,
        array_sort(array_agg(value)) as training

    from trainings_carried_forward

    group by 1, 2, 3

),

first_medians_found as (

    select
        *,
        {{ median('training') }} as expected

    from first_trainings_sorted

),

first_deviations_sorted as (

    select
        metric,
        dimension,
        metric_date,
        training_count,
        expected,
        array_sort(transform(training, x -> abs(x - expected))) as deviations

    from first_medians_found

),

first_spreads_found as (

    select
        metric,
        dimension,
        metric_date,
        training_count,
        expected,
        greatest({{ spread_per_deviation }} * {{ median('deviations') }}, sqrt(expected)) as spread

    from first_deviations_sorted

),

{# What is an outlier itself teaches nothing about the days after it. #}
outliers_found as (

    select
        values_settled.metric,
        values_settled.dimension,
        values_settled.metric_date

    from values_settled
    inner join
        first_spreads_found
        on
            values_settled.metric = first_spreads_found.metric
            and values_settled.dimension = first_spreads_found.dimension
            and values_settled.metric_date = first_spreads_found.metric_date

    where
        first_spreads_found.training_count >= {{ least_training_count }}
        and abs(
            (values_settled.value - first_spreads_found.expected)
            / nullif(first_spreads_found.spread, 0)
        ) > {{ alert_score }}

),

{# Second pass: judged by what is left. #}
trainings_sorted as (

    select
        trainings_carried_forward.metric,
        trainings_carried_forward.dimension,
        trainings_carried_forward.metric_date,
        count(*) as training_count,
        array_sort(array_agg(trainings_carried_forward.value)) as training

    from trainings_carried_forward
    left join
        outliers_found
        on
            trainings_carried_forward.metric = outliers_found.metric
            and trainings_carried_forward.dimension = outliers_found.dimension
            and trainings_carried_forward.training_date = outliers_found.metric_date

    where outliers_found.metric_date is null

    group by 1, 2, 3

),

medians_found as (

    select
        *,
        {{ median('training') }} as expected

    from trainings_sorted

),

deviations_sorted as (

    select
        metric,
        dimension,
        metric_date,
        training_count,
        expected,
        array_sort(transform(training, x -> abs(x - expected))) as deviations

    from medians_found

),

spreads_found as (

    select
        metric,
        dimension,
        metric_date,
        training_count,
        expected,
        greatest({{ spread_per_deviation }} * {{ median('deviations') }}, sqrt(expected)) as spread

    from deviations_sorted

),

scores_computed as (

    select
        values_settled.*,
        spreads_found.expected,
        spreads_found.expected - {{ alert_score }} * spreads_found.spread as low,
        spreads_found.expected + {{ alert_score }} * spreads_found.spread as high,
        (values_settled.value - spreads_found.expected)
        / nullif(spreads_found.spread, 0) as score,
        coalesce(spreads_found.training_count, 0) as training_count

    from values_settled
    left join
        spreads_found
        on
            values_settled.metric = spreads_found.metric
            and values_settled.dimension = spreads_found.dimension
            and values_settled.metric_date = spreads_found.metric_date

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
