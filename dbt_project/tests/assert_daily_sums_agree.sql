{# Every daily table counts the same records, and the same sessions: a dirty date that one of them
   missed, or counted twice, shows here. That fct_user_daily has all records is the ledger's test. #}
with

counts_collected as (

    select
        event_date as metric_date,
        'events' as what,
        'fct_user_daily' as model,
        event_count as item_count

    from {{ ref('fct_user_daily') }}

    union all

    select
        metric_date,
        'events' as what,
        'metrics_daily_active' as model,
        event_count as item_count

    from {{ ref('metrics_daily_active') }}

    union all

    select
        metric_date,
        'events' as what,
        'metrics_concentration_daily' as model,
        event_count as item_count

    from {{ ref('metrics_concentration_daily') }}

    union all

    select
        metric_date,
        'events' as what,
        'metrics_endpoint_daily' as model,
        request_count as item_count

    from {{ ref('metrics_endpoint_daily') }}

    union all

    select
        metric_date,
        'events' as what,
        'metrics_endpoint_hourly' as model,
        request_count as item_count

    from {{ ref('metrics_endpoint_hourly') }}

    union all

    select
        metric_date,
        'events' as what,
        'metrics_activity_daily' as model,
        event_count as item_count

    from {{ ref('metrics_activity_daily') }}

    union all

    select
        event_date as metric_date,
        'sessions' as what,
        'fct_user_daily' as model,
        session_count as item_count

    from {{ ref('fct_user_daily') }}

    union all

    select
        session_date as metric_date,
        'sessions' as what,
        'fct_sessions' as model,
        1 as item_count

    from {{ ref('fct_sessions') }}

    union all

    select
        session_date as metric_date,
        'sessions under the cap' as what,
        'fct_sessions' as model,
        1 as item_count

    from {{ ref('fct_sessions') }}
    where not is_over_cap

    union all

    select
        metric_date,
        'sessions under the cap' as what,
        'metrics_daily_active' as model,
        session_count as item_count

    from {{ ref('metrics_daily_active') }}

),

models_summed as (

    select
        metric_date,
        what,
        model,
        sum(item_count) as item_count

    from counts_collected

    group by 1, 2, 3

),

{# A model without a row for the date counts nothing on it. #}
models_compared as (

    select
        metric_date,
        what,
        case what when 'events' then 6 else 2 end as model_count,
        count(nullif(item_count, 0)) as counting_model_count,
        min(item_count) as lowest_item_count,
        max(item_count) as highest_item_count

    from models_summed

    group by 1, 2

)

select * from models_compared
where
    lowest_item_count <> highest_item_count
    or counting_model_count not in (0, model_count)
