{# What `python -m deploy changed-models` leaves: the tables with their files, then the schema. #}
{% macro drop_scratch_schema() -%}
    {% if not target.schema.startswith('daylight_scratch_') %}
        {% do exceptions.raise_compiler_error(target.schema ~ ' is no scratch schema') %}
    {% endif %}
    {% set schema = api.Relation.create(database=target.database, schema=target.schema) %}
    {% for relation in adapter.list_relations_without_caching(schema) %}
        {% do adapter.drop_relation(relation) %}
    {% endfor %}
    {% do adapter.drop_schema(schema) %}
{%- endmacro %}
