{{ config(materialized='table', table_type='iceberg', partitioned_by=['bucket(id, 4)']) }}
select id, name, day from {{ ref('arrivals') }}
