select * from {{ ref('metrics_daily_active') }}
where is_final
