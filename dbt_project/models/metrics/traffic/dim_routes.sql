{{ config(materialized='table') }}

{# A week is long enough for whoever looks at new routes on Mondays. #}
{% set new_for_days = 7 %}

with

endpoints as (

    select * from {{ ref('metrics_endpoint_daily') }}

),

dates as (

    select * from {{ ref('dim_dates') }}

),

history as (

    select max(metric_date) as last_date from dates

),

routes_summarised as (

    select
        route,
        method,
        min(metric_date) as first_seen_date,
        max(metric_date) as last_seen_date,
        sum(request_count) as request_count,
        min(sample_url) as sample_url

    from endpoints

    group by 1, 2

),

new_ones_marked as (

    select
        routes_summarised.route,
        routes_summarised.method,
        routes_summarised.first_seen_date,
        routes_summarised.last_seen_date,
        routes_summarised.request_count,
        routes_summarised.sample_url,
        routes_summarised.first_seen_date
        > date_add('day', -{{ new_for_days }}, history.last_date) as is_new

    from routes_summarised
    cross join history

)

select * from new_ones_marked
