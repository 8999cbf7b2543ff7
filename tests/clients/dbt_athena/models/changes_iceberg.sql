{{ config(
    materialized='incremental', incremental_strategy='append', table_type='iceberg',
    on_schema_change='sync_all_columns'
) }}
select
    id
    {% if var('round') == 1 %}, name {% else %}, 'new' as extra {% endif %}
from {{ ref('arrivals') }}
