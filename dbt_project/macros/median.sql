{% macro median(sorted_array) -%}
    (
        element_at({{ sorted_array }}, cardinality({{ sorted_array }}) / 2 + 1)
        + element_at({{ sorted_array }}, -cardinality({{ sorted_array }}) / 2 - 1)
    ) / 2
{%- endmacro %}
