{% macro in_texts(column, texts) -%}
    {% if texts is none -%} true
    {%- elif texts -%} {{ column }} in ('{{ texts | join("', '") }}')
    {%- else -%} false
    {%- endif %}
{%- endmacro %}
