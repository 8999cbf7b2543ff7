{% macro in_dates(column, dates) -%}
    {% if dates is none -%} true
    {%- elif dates -%} {{ column }} in (date '{{ dates | join("', date '") }}')
    {%- else -%} false
    {%- endif %}
{%- endmacro %}
