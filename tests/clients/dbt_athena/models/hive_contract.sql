{{ config(materialized='table', contract={'enforced': true}) }}
select id, name, day from {{ ref('arrivals') }}
