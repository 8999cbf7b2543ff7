{% macro definition_hash() -%}
    {% if execute %}
        {% set texts = [var('metric_time_zone'), var('source_time_zone')] %}
        {% for node in graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') %}
            {% do texts.append(node.checksum.checksum) %}
        {% endfor %}
        {{- local_md5(texts | sort | join(' ')) -}}
    {% endif %}
{%- endmacro %}
