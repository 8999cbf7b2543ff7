{# What a period looks back on is what the period before says of itself: the users who were active
   then. A week that ends on a Sunday is the window of that Sunday's weekly active users. Before
   history there is no row, and nobody. #}
with

periods as (

    select * from {{ ref('metrics_growth_accounting') }}

),

dates as (

    select * from {{ ref('metrics_daily_active') }}

),

periods_paired as (

    select
        later.period,
        later.period_end_date,
        later.prior_active_user_count as claimed_user_count,
        coalesce(earlier.active_user_count, 0) as found_user_count

    from periods as later
    left join
        periods as earlier
        on
            later.period = earlier.period
            and date_add('day', -1, later.period_start_date) = earlier.period_end_date

    union all

    select
        periods.period,
        periods.period_end_date,
        periods.active_user_count as claimed_user_count,
        dates.wau as found_user_count

    from periods
    inner join dates on periods.period_end_date = dates.metric_date

    where periods.period = 'week'

)

select * from periods_paired
where claimed_user_count <> found_user_count
