with

dates as (

    select * from {{ ref('dim_dates') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

history as (

    select
        max(metric_date) as last_date,
        max(first_open_date) as first_open_date

    from dates

),

cohorts_sized as (

    select
        metric_date as cohort_date,
        new_user_count,
        sum(new_user_count) over (
            order by metric_date rows between current row and 6 following
        ) as new_user_count_of_week,
        greatest(next_56_days_batch_seq, replaced_batch_seq) as as_of_batch_seq

    from dates

),

cohorts_listed as (

    select
        'day' as cohort_grain,
        'day' as period_grain,
        1 as day_count,
        28 as period_count,
        cohort_date,
        new_user_count as cohort_size,
        as_of_batch_seq

    from cohorts_sized

    union all

    select
        'day' as cohort_grain,
        'week' as period_grain,
        7 as day_count,
        4 as period_count,
        cohort_date,
        new_user_count as cohort_size,
        as_of_batch_seq

    from cohorts_sized

    union all

    select
        'week' as cohort_grain,
        'week' as period_grain,
        7 as day_count,
        8 as period_count,
        cohort_date,
        new_user_count_of_week as cohort_size,
        as_of_batch_seq

    from cohorts_sized

    where day_of_week(cohort_date) = 1

),

periods_numbered as (

    select
        cohorts_listed.*,
        numbers.period_number,
        date_add(
            'day', numbers.period_number * cohorts_listed.day_count, cohorts_listed.cohort_date
        ) as period_start_date,
        date_add(
            'day',
            (numbers.period_number + 1) * cohorts_listed.day_count - 1,
            cohorts_listed.cohort_date
        ) as period_end_date,
        date_add(
            'day',
            cohorts_listed.period_count * cohorts_listed.day_count - 1,
            cohorts_listed.cohort_date
        ) as horizon_end_date

    from cohorts_listed
    cross join unnest(sequence(0, cohorts_listed.period_count - 1)) as numbers (period_number)

),

{# A period that has not begun has no row: nobody could have been active in it. #}
periods_begun as (

    select periods_numbered.*

    from periods_numbered
    inner join history on periods_numbered.period_start_date <= history.last_date

),

{# The lowest completeness from the cohort's date on, day by day. #}
days_followed as (

    select
        cohorts_sized.cohort_date,
        dates.metric_date,
        min(dates.completeness_pct) over (
            partition by cohorts_sized.cohort_date order by dates.metric_date
        ) as completeness_pct

    from cohorts_sized
    cross join unnest(sequence(0, 55)) as offsets (day_offset)
    inner join
        dates
        on dates.metric_date = date_add('day', offsets.day_offset, cohorts_sized.cohort_date)

),

periods_judged as (

    select
        periods_begun.cohort_date,
        periods_begun.cohort_grain,
        periods_begun.period_grain,
        periods_begun.period_number,
        periods_begun.period_start_date,
        periods_begun.period_end_date,
        periods_begun.cohort_size,
        periods_begun.horizon_end_date < history.first_open_date as is_complete,
        periods_begun.period_end_date < history.first_open_date as is_final,
        days_followed.completeness_pct,
        periods_begun.as_of_batch_seq,
        batches.landed_at as as_of

    from periods_begun
    cross join history
    left join
        days_followed
        on
            periods_begun.cohort_date = days_followed.cohort_date
            and days_followed.metric_date = least(periods_begun.period_end_date, history.last_date)
    left join batches on periods_begun.as_of_batch_seq = batches.batch_seq

)

select * from periods_judged
