{{ config(materialized='table', format='json') }}
select id, name, cast(day as varchar) as day from {{ ref('arrivals') }}
