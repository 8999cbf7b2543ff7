select * from {{ ref('metrics_endpoint_daily') }}
where is_final
