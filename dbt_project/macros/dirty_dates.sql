{# Asked for before the model runs, and written into its SQL as literals: Athena prunes partitions
   by literals for certain, by the rows of a join only if its optimizer happens to. #}
{% macro dirty_dates(date_column, calendar, stamps) -%}
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

        where
            {% for _ in stamps %}
                standing_{{ loop.index }} is distinct from now_{{ loop.index }}
                {% if not loop.last %}or{% endif %}
            {% endfor %}

        order by 1
    {% endset %}
    {{ return(values_of(query)) }}
{%- endmacro %}
