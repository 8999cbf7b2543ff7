{% macro values_of(query) -%}
    {% if not execute or not is_incremental() %}{{ return(none) }}{% endif %}
    {{ return(run_query(query).columns[0].values() | list) }}
{%- endmacro %}
