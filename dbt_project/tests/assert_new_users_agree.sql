{# A user is new once, so new users may be summed over dates, and the sum is the users we know. On
   each date every table that speaks of them, or of the active ones, says the same. #}
with

counts_collected as (

    select
        metric_date,
        'new' as what,
        new_user_count as user_count

    from {{ ref('metrics_daily_active') }}

    union all

    select
        period_end_date as metric_date,
        'new' as what,
        new_user_count as user_count

    from {{ ref('metrics_growth_accounting') }}
    where period = 'day'

    union all

    select
        cohort_date as metric_date,
        'new' as what,
        cohort_size as user_count

    from {{ ref('metrics_retention_cohort') }}
    where cohort_grain = 'day' and period_grain = 'day' and period_number = 0

    union all

    select
        cohort_date as metric_date,
        'new' as what,
        new_user_count as user_count

    from {{ ref('metrics_activation') }}

    union all

    select
        metric_date,
        'active on the date' as what,
        dau as user_count

    from {{ ref('metrics_daily_active') }}

    union all

    select
        period_end_date as metric_date,
        'active on the date' as what,
        active_user_count as user_count

    from {{ ref('metrics_growth_accounting') }}
    where period = 'day'

    union all

    select
        metric_date,
        'active in 28 days' as what,
        mau as user_count

    from {{ ref('metrics_daily_active') }}

    union all

    select
        period_end_date as metric_date,
        'active in 28 days' as what,
        active_user_count as user_count

    from {{ ref('metrics_growth_accounting') }}
    where period = '28d'

    union all

    select
        metric_date,
        'active in 28 days' as what,
        sum(user_count) as user_count

    from {{ ref('metrics_frequency') }}

    group by 1

    union all

    select
        cast(null as date) as metric_date,
        'new ever' as what,
        coalesce(sum(new_user_count), 0) as user_count

    from {{ ref('metrics_daily_active') }}

    union all

    select
        cast(null as date) as metric_date,
        'new ever' as what,
        count_if(first_active_date is not null) as user_count

    from {{ ref('dim_users') }}

),

counts_compared as (

    select
        metric_date,
        what,
        count(*) as model_count,
        min(user_count) as lowest_user_count,
        max(user_count) as highest_user_count

    from counts_collected

    group by 1, 2

)

select * from counts_compared
where
    lowest_user_count <> highest_user_count
    or model_count <> case what when 'new' then 4 when 'active in 28 days' then 3 else 2 end
