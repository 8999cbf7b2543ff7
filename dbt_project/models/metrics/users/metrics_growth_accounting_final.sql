select * from {{ ref('metrics_growth_accounting') }}
where is_final
