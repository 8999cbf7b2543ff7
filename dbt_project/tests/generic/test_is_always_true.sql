{# A condition that is null counts as broken: write what null means into the condition. #}
{% test is_always_true(model, condition) %}

    select *
    from {{ model }}
    where not coalesce({{ condition }}, false)

{% endtest %}
