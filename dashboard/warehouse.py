"""Reads the few thousand rows that the site shows, through Athena. Knows SQL; knows no HTML."""

from dataclasses import dataclass, field
from datetime import date, timedelta

from dashboard.athena import Athena, Row
from ingestion.settings import Settings
from ingestion.sides import Names

DAYS_SHOWN = 182
"""Half a year, a multiple of 7: what a chart can still tell apart. The tables have every day."""

ENDPOINTS_SHOWN = 12
"""What fits on one screen; the table has them all."""

SUMMED_DAYS = 28
"""As long as the longest window of the metrics; a multiple of 7, so every weekday counts alike."""

COST_DAYS = 45
"""As long as Athena itself remembers."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """All rows that the pages are made of; each list has the name of its query below."""

    daily: list[Row] = field(default_factory=list)
    growth: list[Row] = field(default_factory=list)
    cohorts: list[Row] = field(default_factory=list)
    activation: list[Row] = field(default_factory=list)
    frequency: list[Row] = field(default_factory=list)
    funnel: list[Row] = field(default_factory=list)
    endpoints: list[Row] = field(default_factory=list)
    hours: list[Row] = field(default_factory=list)
    activities: list[Row] = field(default_factory=list)
    concentration: list[Row] = field(default_factory=list)
    health: list[Row] = field(default_factory=list)
    built: list[Row] = field(default_factory=list)
    anomalies: list[Row] = field(default_factory=list)
    restatements: list[Row] = field(default_factory=list)
    missing: list[Row] = field(default_factory=list)
    costs: list[Row] = field(default_factory=list)
    runs: list[Row] = field(default_factory=list)
    totals: Row = field(default_factory=dict)
    """Records offered, good, quarantined (now), duplicate, conflict, replayed over all days."""


_NEWEST = "(select max(metric_date) from metrics_daily_active)"
_SHOWN = f"metric_date > date_add('day', -{DAYS_SHOWN}, {_NEWEST})"

# The days that are summed up end with the newest final one: later ones would still change.
_NEWEST_FINAL = "(select max(metric_date) from metrics_daily_active where is_final)"
_SUMMED = (
    f"metric_date between date_add('day', -{SUMMED_DAYS - 1}, {_NEWEST_FINAL}) and {_NEWEST_FINAL}"
)

# A funnel within seven days is final a week later than its day.
_NEWEST_FUNNEL = (
    "(select max(metric_date) from metrics_funnel_daily where is_final and scope = 'week')"
)

_TRUST = "bool_and(is_final) as is_final, min(completeness_pct) as completeness_pct"

_BUILT = (
    ("daily_active", "greatest(sessions_batch_seq, last_28_days_batch_seq)"),
    ("frequency", "last_28_days_batch_seq"),
    ("funnel_daily", "next_7_days_batch_seq"),
    ("endpoint_daily", "day_batch_seq"),
    ("endpoint_hourly", "day_batch_seq"),
    ("activity_daily", "day_batch_seq"),
    ("concentration_daily", "sessions_batch_seq"),
)
"""Which stamp of the calendar a table's rows of a date bear once they are up to date."""

_BUILT_TABLES = " union all ".join(
    f"select metric_date, '{name}' as name, min(as_of_batch_seq) as built_seq "
    f"from metrics_{name} where {_SHOWN} group by 1"
    for name, _ in _BUILT
)
_BUILT_STAMP = " ".join(f"when '{name}' then {stamp}" for name, stamp in _BUILT)

QUERIES = {
    "daily": f"select * from metrics_daily_active where {_SHOWN} order by metric_date",
    "growth": f"""
        select * from metrics_growth_accounting
        where period = 'week' and is_complete
            and period_end_date > date_add('day', -{2 * DAYS_SHOWN}, {_NEWEST})
        order by period_start_date""",
    "cohorts": f"""
        select * from metrics_retention_cohort
        where cohort_grain = 'week' and period_grain = 'week' and cohort_size > 0
            and cohort_date > date_add('day', -{DAYS_SHOWN // 2}, {_NEWEST})
        order by cohort_date, period_number""",
    "activation": f"""
        select
            cohort_date as metric_date, new_user_count, activated_user_count, activation_rate,
            is_final, completeness_pct
        from metrics_activation
        where cohort_date > date_add('day', -{DAYS_SHOWN}, {_NEWEST})
        order by cohort_date""",
    "frequency": f"""
        select * from metrics_frequency where metric_date = {_NEWEST_FINAL}
        order by active_day_count""",
    "funnel": f"""
        select scope, step_number, step, sum(user_count) as user_count, {_TRUST}
        from metrics_funnel_daily where {_SUMMED.replace(_NEWEST_FINAL, _NEWEST_FUNNEL)}
        group by 1, 2, 3 order by 1, 2""",
    "endpoints": f"""
        select
            route, method, sum(request_count) as request_count, sum(error_count) as error_count,
            sum(client_error_count) as client_error_count, {_TRUST}
        from metrics_endpoint_daily where {_SUMMED}
        group by route, method order by request_count desc, route, method
        limit {ENDPOINTS_SHOWN}""",
    "hours": f"""
        select hour, sum(request_count) as request_count, sum(error_count) as error_count, {_TRUST}
        from metrics_endpoint_hourly where {_SUMMED} group by hour order by hour""",
    "activities": f"""
        select metric_date, activity, event_count, user_count, is_final, completeness_pct
        from metrics_activity_daily where {_SHOWN} order by metric_date, activity""",
    "concentration": f"""
        select * from metrics_concentration_daily where {_SHOWN} order by metric_date""",
    "health": f"""
        select * from metrics_pipeline_health_daily
        where arrived_date > date_add(
            'day', -{DAYS_SHOWN}, (select max(arrived_date) from metrics_pipeline_health_daily)
        )
        order by arrived_date""",
    "built": f"""
        with built as ({_BUILT_TABLES})
        select
            dates.metric_date, dates.is_final, dates.completeness_pct,
            count(built.name) as table_count,
            count_if(built.built_seq >= case built.name {_BUILT_STAMP} end) as fresh_count
        from (select * from dim_dates where {_SHOWN}) as dates
        left join built on dates.metric_date = built.metric_date
        group by 1, 2, 3 order by 1""",
    "anomalies": f"""
        select * from metrics_anomaly_daily
        where {_SHOWN} and flag in ('alert', 'warn', 'suppressed')
        order by metric_date desc, abs(score) desc""",
    "restatements": """
        select * from metrics_restatement
        order by as_of desc, metric_date desc, metric limit 60""",
    "missing": """
        select * from metrics_missing_ids
        order by missing_id_count desc, first_missing_id limit 20""",
    "totals": """
        select
            coalesce(sum(offered_count), 0) as offered,
            coalesce(sum(good_count), 0) as good,
            coalesce(sum(quarantined_count), 0) as quarantined,
            coalesce(sum(duplicate_count), 0) as duplicate,
            coalesce(sum(conflict_count), 0) as conflict,
            coalesce(sum(replayed_count), 0) as replayed
        from metrics_pipeline_health_daily""",
}

_COSTS = """
select
    query_date as metric_date, split_part(node_id, '.', 1) as kind,
    sum(query_count) as query_count, sum(failed_count) as failed_count,
    sum(scanned_bytes) as scanned_bytes, sum(execution_seconds) as execution_seconds
from metrics_query_cost_daily
where target_schema in ('{readers}', '{build}')
    and query_date > date_add(
        'day', -{days}, (select max(query_date) from metrics_query_cost_daily)
    )
group by 1, 2 order by 1, 2"""

# Literal dates, so that Athena reads two days of the history and not all of it.
_RUNS = """
with runs as (
    select
        node_id, coalesce(invocation_id, '') as invocation_id, count(*) as query_count,
        sum(scanned_bytes) as scanned_bytes, sum(execution_seconds) as execution_seconds,
        max(submitted_at) as last_submitted_at
    from stg_query_costs
    where target_schema in ('{readers}', '{build}') and source_date between '{first}' and '{last}'
        and node_id like 'model.%'
    group by 1, 2
),

numbered as (
    select *, row_number() over (partition by node_id order by last_submitted_at desc) as run_number
    from runs
),

monthly as (
    select
        node_id, sum(scanned_bytes) as all_scanned_bytes,
        sum(execution_seconds) as all_execution_seconds
    from metrics_query_cost_daily
    where target_schema in ('{readers}', '{build}')
        and query_date > date_add('day', -{days}, date '{last}')
    group by 1
)

select numbered.*, monthly.all_scanned_bytes, monthly.all_execution_seconds
from numbered
inner join monthly on numbered.node_id = monthly.node_id
where numbered.run_number = 1
order by numbered.scanned_bytes desc, numbered.execution_seconds desc, numbered.node_id"""


def read(settings: Settings, athena: Athena) -> Numbers:
    """Run the queries; each reads tables of one row per day, or per day and endpoint."""
    found = {name: athena.ask(f"site.{name}", query).rows for name, query in QUERIES.items()}
    schema = settings.warehouse_schema.lower().replace("'", "''")
    words = {"readers": schema, "build": Names(schema).build, "days": COST_DAYS}
    found["costs"] = costs = athena.ask("site.costs", _COSTS.format(**words)).rows
    if costs:
        last: date = costs[-1]["metric_date"]
        days = {"first": last - timedelta(days=1), "last": last}
        found["runs"] = athena.ask("site.runs", _RUNS.format(**words, **days)).rows
    totals = found.pop("totals")[0]
    return Numbers(totals=totals, **found)
