{% macro dates_around(dates, days_before, days_after) -%}
    {% if dates is none %}{{ return(none) }}{% endif %}
    {% set around = [] %}
    {% for text in dates %}
        {% set date = modules.datetime.date.fromisoformat(text) %}
        {% for offset in range(-days_before, days_after + 1) %}
            {% do around.append((date + modules.datetime.timedelta(days=offset)).isoformat()) %}
        {% endfor %}
    {% endfor %}
    {{ return(around | unique | sort) }}
{%- endmacro %}
