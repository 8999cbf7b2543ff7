select * from {{ ref('metrics_endpoint_hourly') }}
where is_final
