{{ config(
    materialized='incremental', incremental_strategy='append',
    on_schema_change='append_new_columns'
) }}
select id, name {% if var('round') == 2 %}, 'new' as extra {% endif %} from {{ ref('arrivals') }}
