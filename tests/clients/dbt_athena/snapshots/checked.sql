{% snapshot checked %}
{{ config(unique_key='id', strategy='check', check_cols=['name']) }}
select id, name, day from {{ ref('arrivals') }}
{% endsnapshot %}
