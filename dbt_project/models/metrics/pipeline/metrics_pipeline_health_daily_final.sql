select * from {{ ref('metrics_pipeline_health_daily') }}
where is_final
