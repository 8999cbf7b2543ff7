{# A table, not a view: some twenty models compare their own stamps with it in every run. #}
{{ config(materialized='table') }}

with

touches as (

    select * from {{ ref('int_batches_exploded_to_event_dates') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

newest_touches as (

    select
        touches.event_date,
        max(touches.batch_seq) as batch_seq,
        max(
            case when cardinality(batches.superseded_batch_seqs) > 0 then touches.batch_seq end
        ) as replacing_batch_seq

    from touches
    inner join batches on touches.batch_seq = batches.batch_seq

    group by 1

),

history as (

    select
        min(event_date) as first_date,
        max(event_date) as last_date

    from newest_touches

),

calendar as (

    select calendar_dates.metric_date

    from history
    cross join unnest(
        sequence(history.first_date, history.last_date, interval '1' day)
    ) as calendar_dates (metric_date)

),

{# Without holes, so that a number of rows is a number of days. #}
calendar_touched as (

    select
        calendar.metric_date,
        coalesce(newest_touches.batch_seq, 0) as batch_seq,
        coalesce(newest_touches.replacing_batch_seq, 0) as replacing_batch_seq

    from calendar
    left join newest_touches on calendar.metric_date = newest_touches.event_date

),

reaches_stamped as (

    select
        metric_date,
        batch_seq as day_batch_seq,
        {# A session is told by the 30 minutes before it and the 24.5 hours after its start. #}
        max(batch_seq) over (
            order by metric_date rows between 1 preceding and 2 following
        ) as sessions_batch_seq,
        max(batch_seq) over (
            order by metric_date rows between 27 preceding and current row
        ) as last_28_days_batch_seq,
        max(batch_seq) over (
            order by metric_date rows between 55 preceding and current row
        ) as last_56_days_batch_seq,
        max(batch_seq) over (
            order by metric_date rows between 1 preceding and 6 following
        ) as next_7_days_batch_seq,
        max(batch_seq) over (
            order by metric_date rows between current row and 55 following
        ) as next_56_days_batch_seq,
        max(replacing_batch_seq) over (
            order by metric_date rows between unbounded preceding and current row
        ) as replaced_batch_seq

    from calendar_touched

)

select * from reaches_stamped
