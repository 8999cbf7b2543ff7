{% macro last_batch_built() -%}
    {% if is_incremental() -%}
        (select coalesce(max(as_of_batch_seq), 0) from {{ this }})
    {%- else -%}
        0
    {%- endif %}
{%- endmacro %}
