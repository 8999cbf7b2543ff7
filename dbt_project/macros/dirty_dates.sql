{# Asked for before the model runs, and written into its SQL as literals: Athena prunes partitions
   by literals for certain, by the rows of a join only if its optimizer happens to. #}
{% macro dirty_dates(date_column, calendar, stamps) -%}
    {% set differences = [] %}
    {% for _ in stamps %}
        {% set n = loop.index | string %}
        {% do differences.append('standing_' ~ n ~ ' is distinct from now_' ~ n) %}
    {% endfor %}
    {% set query %}
        with

        standing as (

            select
                {{ date_column }} as metric_date
                {% for standing in stamps %}, {{ standing }} as standing_{{ loop.index }}{% endfor %}

            from {{ this }}

            group by 1

        ),

        calendar as (

            select
                metric_date
                {% for now in stamps.values() %}, {{ now }} as now_{{ loop.index }}{% endfor %}

            from {{ calendar }}

        )

        select cast(coalesce(calendar.metric_date, standing.metric_date) as varchar)

        from calendar
        full outer join standing on calendar.metric_date = standing.metric_date

        where {{ differences | join(' or ') }}

        order by 1
    {% endset %}
    {{ return(values_of(query)) }}
{%- endmacro %}
