{% macro utc_to_date(column, time_zone) -%}
    cast(at_timezone(with_timezone({{ column }}, 'UTC'), '{{ time_zone }}') as date)
{%- endmacro %}
