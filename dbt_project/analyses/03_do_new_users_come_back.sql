{# Do new users come back?
   One row per week in which people were new: the share of them who were active one, two, four and
   seven weeks later. Null where that week is not over yet, so a young cohort never looks bad. #}

with

cohorts as (

    select * from {{ ref('metrics_retention_cohort') }}

),

cohorts_pivoted as (

    select
        cohort_date as week_start_date,
        max(cohort_size) as new_user_count,
        max(case when period_number = 1 and is_final then retention_rate end) as week_1_rate,
        max(case when period_number = 2 and is_final then retention_rate end) as week_2_rate,
        max(case when period_number = 4 and is_final then retention_rate end) as week_4_rate,
        max(case when period_number = 7 and is_final then retention_rate end) as week_7_rate,
        bool_and(is_complete) as is_final,
        min(completeness_pct) as completeness_pct

    from cohorts

    where cohort_grain = 'week' and period_grain = 'week'

    group by cohort_date

)

select * from cohorts_pivoted
order by week_start_date desc
limit 12
