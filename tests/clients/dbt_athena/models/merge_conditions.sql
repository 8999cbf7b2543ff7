{{ config(
    materialized='incremental', incremental_strategy='merge', table_type='iceberg',
    unique_key=['id'], incremental_predicates=["src.day <= date '2024-01-31'"],
    delete_condition="src.name = 'gone'", update_condition='target.id > 0',
    insert_condition='src.id < 3', merge_exclude_columns=['day'], unique_tmp_table_suffix=true
) }}
select id, name, day + interval '1' day as day from {{ ref('arrivals') }}
