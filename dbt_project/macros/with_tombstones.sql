{% macro with_tombstones(keys, dirty) -%}
    {% if dirty is not none -%}
        full outer join
            (
                select {{ keys | join(', ') }} from {{ this }}
                where {{ in_dates(keys | first, dirty) }}
            ) as standing
            using ({{ keys | join(', ') }})
    {%- endif %}
{%- endmacro %}
