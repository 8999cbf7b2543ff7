select * from {{ ref('metrics_frequency') }}
where is_final
