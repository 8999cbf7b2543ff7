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

curves as (

    select * from (
        values ('day', 'day', 1, 28), ('day', 'week', 7, 4), ('week', 'week', 7, 8)
    ) as curves (cohort_grain, period_grain, day_count, period_count)

),

cohorts_listed as (

    select
        curves.cohort_grain,
        curves.period_grain,
        curves.day_count,
        curves.period_count,
        cohorts_sized.cohort_date,
        case
            when curves.cohort_grain = 'week' then cohorts_sized.new_user_count_of_week
            else cohorts_sized.new_user_count
        end as cohort_size,
        cohorts_sized.as_of_batch_seq

    from cohorts_sized
    cross join curves

    where curves.cohort_grain = 'day' or day_of_week(cohorts_sized.cohort_date) = 1

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
