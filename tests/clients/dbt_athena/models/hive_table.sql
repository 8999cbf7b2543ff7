{{ config(materialized='table', partitioned_by=['day'], write_compression='SNAPPY') }}
select id, name, day from {{ ref('between') }}
