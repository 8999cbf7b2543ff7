{{ config(materialized='table', ha=true, versions_to_keep=2) }}
select id, name, day from {{ ref('arrivals') }}
