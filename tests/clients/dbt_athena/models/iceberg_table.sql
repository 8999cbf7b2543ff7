{{ config(
    materialized='table', table_type='iceberg', partitioned_by=['month(day)'],
    table_properties={'vacuum_max_snapshot_age_seconds': '86400'}
) }}
select id, name, day from {{ ref('arrivals') }}
