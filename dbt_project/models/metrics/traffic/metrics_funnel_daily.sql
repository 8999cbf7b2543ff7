{{
    config(
        materialized='incremental',
        table_type='iceberg',
        partitioned_by=['month(metric_date)'],
        unique_key=['metric_date', 'funnel', 'scope', 'step_number'],
    )
}}

{# A funnel of the week ends six days after its date, one of the session on the next day. #}
{% set dirty = dirty_dates('metric_date', ref('dim_dates'), {
    'max(as_of_batch_seq)': 'next_7_days_batch_seq',
    "bool_or(scope = 'day' and is_final)": 'is_final',
    "bool_or(scope = 'session' and is_final)":
        "coalesce(date_add('day', 1, metric_date) < first_open_date, false)",
    "bool_or(scope = 'week' and is_final)":
        "coalesce(date_add('day', 6, metric_date) < first_open_date, false)",
    "max(case when scope = 'day' then completeness_pct end)": 'completeness_pct',
    "max(case when scope = 'session' then completeness_pct end)":
        'min(completeness_pct) over (
            order by metric_date rows between current row and 1 following
        )',
    "max(case when scope = 'week' then completeness_pct end)":
        'min(completeness_pct) over (
            order by metric_date rows between current row and 6 following
        )',
}) %}
{% set read = dates_around(dirty, 0, 6) %}

with

records as (

    select * from {{ ref('stg_access_logs__records') }}

    where {{ in_dates('event_date', read) }} and {{ in_source_dates('source_date', read) }}

),

sessions as (

    select * from {{ ref('fct_sessions') }}

    where {{ in_dates('session_date', dirty) }} and not is_over_cap

),

dates as (

    select * from {{ ref('dim_dates') }}

),

batches as (

    select * from {{ ref('stg_access_logs__batches') }}

),

{# Two events of one instant are ordered by their ids, so "later" is a higher number. #}
steps_numbered as (

    select
        user_id,
        event_date,
        activity,
        occurred_at,
        row_number() over (partition by user_id order by occurred_at, record_id) as event_number

    from records

    where not is_error and activity in ('view', 'cart', 'purchase')

),

{# A scope is what a user has to get through within: a session, a day, or a day's first view and the
   week from that day on. So a view begins one week, and what follows lies in seven. One row per
   event first, because Athena reads a table again for each mention of a CTE. #}
scopes_found as (

    select
        steps_numbered.user_id,
        steps_numbered.activity,
        steps_numbered.occurred_at,
        steps_numbered.event_number,
        sessions.start_record_id,
        array[sessions.session_date, steps_numbered.event_date] as own_dates,
        sequence(
            date_add(
                'day',
                case when steps_numbered.activity = 'view' then 0 else -6 end,
                steps_numbered.event_date
            ),
            steps_numbered.event_date,
            interval '1' day
        ) as week_dates

    from steps_numbered
    left join
        sessions
        on
            steps_numbered.user_id = sessions.user_id
            and steps_numbered.occurred_at between sessions.started_at and sessions.ended_at

),

steps_scoped as (

    select
        scopes.metric_date,
        scopes.scope,
        scopes_found.user_id,
        case when scopes.scope = 'session' then scopes_found.start_record_id end
            as start_record_id,
        scopes_found.activity,
        scopes_found.occurred_at,
        scopes_found.event_number

    from scopes_found
    cross join
        unnest(
            array['session', 'day']
            || transform(scopes_found.week_dates, week_date -> 'week'),
            scopes_found.own_dates || scopes_found.week_dates
        ) as scopes (scope, metric_date)

    where scopes.metric_date is not null and {{ in_dates('scopes.metric_date', dirty) }}

),

views_found as (

    select
        *,
        min(case when activity = 'view' then event_number end) over (
            partition by metric_date, scope, user_id, start_record_id
        ) as view_number

    from steps_scoped

),

carts_found as (

    select
        *,
        min(case when activity = 'cart' and event_number > view_number then event_number end) over (
            partition by metric_date, scope, user_id, start_record_id
        ) as cart_number

    from views_found

    where event_number >= view_number

),

purchases_found as (

    select
        *,
        min(
            case when activity = 'purchase' and event_number > cart_number then event_number end
        ) over (partition by metric_date, scope, user_id, start_record_id) as purchase_number

    from carts_found

),

ways_timed as (

    select
        metric_date,
        scope,
        user_id,
        start_record_id,
        min(case when event_number = view_number then occurred_at end) as viewed_at,
        min(case when event_number = cart_number then occurred_at end) as carted_at,
        min(case when event_number = purchase_number then occurred_at end) as purchased_at

    from purchases_found

    group by 1, 2, 3, 4

),

{# A user with several sessions counts once, with the fastest one to each step. #}
users_timed as (

    select
        metric_date,
        scope,
        user_id,
        min(date_diff('millisecond', viewed_at, carted_at)) as milliseconds_to_cart,
        min(date_diff('millisecond', viewed_at, purchased_at)) as milliseconds_to_purchase

    from ways_timed

    group by 1, 2, 3

),

users_counted as (

    select
        metric_date,
        scope,
        count(*) as view_user_count,
        count(milliseconds_to_cart) as cart_user_count,
        count(milliseconds_to_purchase) as purchase_user_count,
        array_sort(
            array_agg(milliseconds_to_cart) filter (where milliseconds_to_cart is not null)
        ) as cart_milliseconds,
        array_sort(
            array_agg(milliseconds_to_purchase) filter (where milliseconds_to_purchase is not null)
        ) as purchase_milliseconds

    from users_timed

    group by 1, 2

),

completeness_windowed as (

    select
        metric_date,
        first_open_date,
        next_7_days_batch_seq,
        completeness_pct,
        min(completeness_pct) over (
            order by metric_date rows between current row and 1 following
        ) as two_days_completeness_pct,
        min(completeness_pct) over (
            order by metric_date rows between current row and 6 following
        ) as week_completeness_pct

    from dates

),

scopes_listed as (

    select
        completeness_windowed.metric_date,
        completeness_windowed.first_open_date,
        completeness_windowed.next_7_days_batch_seq,
        scopes.scope,
        date_add('day', scopes.days_after, completeness_windowed.metric_date) as last_date,
        case scopes.scope
            when 'day' then completeness_windowed.completeness_pct
            when 'session' then completeness_windowed.two_days_completeness_pct
            else completeness_windowed.week_completeness_pct
        end as completeness_pct

    from completeness_windowed
    cross join unnest(array['session', 'day', 'week'], array[1, 0, 6]) as scopes (scope, days_after)

    where {{ in_dates('completeness_windowed.metric_date', dirty) }}

),

steps_listed as (

    select
        scopes_listed.metric_date,
        scopes_listed.scope,
        scopes_listed.completeness_pct,
        scopes_listed.next_7_days_batch_seq,
        coalesce(scopes_listed.last_date < scopes_listed.first_open_date, false) as is_final,
        steps.step_number,
        steps.step,
        coalesce(users_counted.view_user_count, 0) as first_user_count,
        case steps.step
            when 'view' then null
            when 'cart' then coalesce(users_counted.view_user_count, 0)
            else coalesce(users_counted.cart_user_count, 0)
        end as previous_user_count,
        case steps.step
            when 'view' then coalesce(users_counted.view_user_count, 0)
            when 'cart' then coalesce(users_counted.cart_user_count, 0)
            else coalesce(users_counted.purchase_user_count, 0)
        end as user_count,
        case steps.step
            when 'cart' then users_counted.cart_milliseconds
            when 'purchase' then users_counted.purchase_milliseconds
        end as step_milliseconds

    from scopes_listed
    cross join
        unnest(
            array[bigint '1', 2, 3],
            array['view', 'cart', 'purchase']
        ) as steps (step_number, step)
    left join
        users_counted
        on
            scopes_listed.metric_date = users_counted.metric_date
            and scopes_listed.scope = users_counted.scope

),

rates_computed as (

    select
        steps_listed.metric_date,
        'purchase' as funnel,
        steps_listed.scope,
        steps_listed.step_number,
        steps_listed.step,
        steps_listed.user_count,
        cast(steps_listed.user_count as double)
        / nullif(steps_listed.previous_user_count, 0) as step_rate,
        cast(steps_listed.user_count as double)
        / nullif(steps_listed.first_user_count, 0) as overall_rate,
        cast(
            element_at(
                steps_listed.step_milliseconds,
                cast(ceil(0.50 * cardinality(steps_listed.step_milliseconds)) as bigint)
            ) as double
        ) / 1000 as p50_seconds_to_step,
        steps_listed.is_final,
        steps_listed.completeness_pct,
        steps_listed.next_7_days_batch_seq as as_of_batch_seq,
        cast(batches.landed_at as timestamp(6)) as as_of

    from steps_listed
    left join batches on steps_listed.next_7_days_batch_seq = batches.batch_seq

)

select * from rates_computed
{{ with_tombstones(['metric_date', 'funnel', 'scope', 'step_number'], dirty) }}
