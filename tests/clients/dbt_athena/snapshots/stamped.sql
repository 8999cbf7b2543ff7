{% snapshot stamped %}
{{ config(
    unique_key='id', strategy='timestamp', updated_at='seen_at', table_type='iceberg',
    hard_deletes='invalidate'
) }}
select
    id,
    name,
    cast(timestamp '2024-01-0{{ var("round") }} 00:00:00' as timestamp(6)) as seen_at
from {{ ref('arrivals') }}
where not (id = 2 and {{ var('round') }} = 2)
{% endsnapshot %}
