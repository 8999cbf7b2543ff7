select * from {{ ref('metrics_retention_cohort') }}
where is_final
