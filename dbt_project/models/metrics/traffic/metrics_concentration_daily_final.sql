select * from {{ ref('metrics_concentration_daily') }}
where is_final
