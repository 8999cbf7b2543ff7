{# Readers may still see the files of what `prod` drops: only its name goes. `publish` deletes files
   that no name leads to any more (ingestion/marts.py, sweep). #}
{% macro athena__drop_relation(relation) -%}
    {% if target.name == 'prod' %}
        {% do adapter.delete_from_glue_catalog(relation) %}
    {% else %}
        {% do drop_relation_glue(relation) %}
    {% endif %}
{%- endmacro %}
