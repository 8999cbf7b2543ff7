{# One query for a whole list: on Athena each test scans the table again. #}
{% test is_never_null(model, columns) %}

    select {{ columns | join(', ') }}
    from {{ model }}
    where {{ columns | join(' is null or ') }} is null

{% endtest %}
