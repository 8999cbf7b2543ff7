select * from {{ ref('metrics_activity_daily') }}
where is_final
