select * from {{ ref('metrics_funnel_daily') }}
where is_final
