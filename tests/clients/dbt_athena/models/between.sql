{{ config(materialized='ephemeral') }}
select id, name, day from {{ ref('arrivals') }}
