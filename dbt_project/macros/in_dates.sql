{# Runs of dates rather than each: Athena's query text ends at 262,144 bytes. #}
{% macro in_dates(column, dates) -%}
    {% set tomorrow = dates_around(dates, -1, 1) or [] %}
    {% set yesterday = dates_around(dates, 1, -1) or [] %}
    {% set firsts = dates | default([], true) | reject('in', tomorrow) | list %}
    {% set lasts = dates | default([], true) | reject('in', yesterday) | list %}
    {% set runs = [] %}
    {% for first in firsts %}
        {% do runs.append("date '" ~ first ~ "' and date '" ~ lasts[loop.index0] ~ "'") %}
    {% endfor %}
    {% set between = column ~ ' between ' %}
    {% if dates is none -%} true
    {%- elif not dates -%} false
    {%- else -%} ({{ between }}{{ runs | join(' or ' ~ between) }})
    {%- endif %}
{%- endmacro %}
