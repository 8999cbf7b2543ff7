{{ config(materialized='table', format='textfile', field_delimiter='|') }}
select id, name, cast(day as varchar) as day from {{ ref('arrivals') }}
