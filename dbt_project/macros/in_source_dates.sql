{# Raw is partitioned by the day in the source's zone. Two zones are at most 26 hours apart, so a
   date of the one lies within two days of the same date of the other. #}
{% macro in_source_dates(column, dates) -%}
    {% set is_one_zone = var('metric_time_zone') == var('source_time_zone') %}
    {% set reach = 0 if is_one_zone else 2 %}
    {% set partitions = dates_around(dates, reach, reach) %}
    {{- in_texts(column, partitions) }}
{%- endmacro %}
