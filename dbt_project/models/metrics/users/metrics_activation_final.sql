select * from {{ ref('metrics_activation') }}
where is_final
