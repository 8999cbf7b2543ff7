"""What every mart and metric must say, computed by brute force from the written definitions.

It shares nothing with dbt_project: no SQL, no pandas, no incremental state. It takes everything
that was ever published, walks through it with loops and sets, and is allowed to be slow. Where
it and the warehouse differ, one of the two misread design or DECISIONS.md.
"""

from zoneinfo import ZoneInfo

from tests.oracle import (
    anomaly,
    pipeline,
    retention,
    sessions,
    traffic,
    users,
)
from tests.oracle.dates import History, Ledger
from tests.oracle.lake import (
    Lake,
    Row,
    accepted,
    counting_batches,
    dates_between,
    events,
    in_quarantine_now,
    utc,
)
from tests.oracle.restatement import Run, metric_history, restatements

__all__ = ["Lake", "Row", "Run", "metric_history", "restatements", "utc", "warehouse"]

FINAL = (
    "daily_active",
    "growth_accounting",
    "retention_cohort",
    "activation",
    "frequency",
    "funnel_daily",
    "endpoint_daily",
    "endpoint_hourly",
    "activity_daily",
    "concentration_daily",
    "pipeline_health_daily",
)
"""The metrics that have a view of their final rows."""


def warehouse(lake: Lake, metric_zone: str, source_zone: str) -> dict[str, list[Row]]:
    """Return every row of every mart and metric, in no particular order."""
    zone = ZoneInfo(metric_zone)
    batches = counting_batches(lake)
    records = accepted(lake, batches)
    quarantined = in_quarantine_now(lake, batches, records)
    seen = events(records, zone)

    ledger = Ledger(batches, zone)
    arrivals = pipeline.arrivals(batches, records, quarantined, ZoneInfo(source_zone))
    completeness = {row["arrived_date"]: row["completeness_pct"] for row in arrivals}
    dates = {event.day for event in seen}
    days = list(dates_between(min(dates), max(dates))) if dates else []
    history = History(days, ledger, completeness)

    all_sessions = sessions.sessions(seen)
    user_days = users.user_days(seen, all_sessions, history)
    activity = users.Activity(user_days)
    new_users = {day: len(new) for day, new in activity.new_on.items()}
    daily_active = users.daily_active(user_days, activity, all_sessions, history)
    endpoints = traffic.endpoints(seen, history)
    activities = traffic.activities(seen, history)
    tables = {
        "int_dates_stamped": ledger.int_dates_stamped(),
        "int_finality": [{"first_open_date": ledger.first_open_date}],
        "dim_dates": history.dim_dates(new_users),
        "fct_arrivals_daily": arrivals,
        "fct_sessions": sessions.fct_sessions(all_sessions, history),
        "fct_user_daily": user_days,
        "fct_user_activity_bits": users.activity_bits(user_days, activity, history),
        "dim_users": users.users(user_days, activity, history),
        "dim_routes": traffic.routes(endpoints, history),
        "metrics_daily_active": daily_active,
        "metrics_growth_accounting": users.growth(activity, history),
        "metrics_retention_cohort": retention.retention(activity, history),
        "metrics_activation": retention.activation(activity, history),
        "metrics_frequency": users.frequency(activity, history),
        "metrics_funnel_daily": sessions.funnel(seen, all_sessions, history),
        "metrics_endpoint_daily": endpoints,
        "metrics_endpoint_hourly": traffic.hours(seen, history),
        "metrics_activity_daily": activities,
        "metrics_concentration_daily": traffic.concentration(user_days, history),
        "metrics_pipeline_health_daily": pipeline.health(arrivals, ledger),
        "metrics_quarantine_daily": pipeline.quarantine(quarantined, arrivals, ledger),
        "metrics_missing_ids": pipeline.missing_ids(batches, records, quarantined),
        "metrics_anomaly_daily": anomaly.anomalies(daily_active, activities, history),
    }
    for name in FINAL:
        rows = tables[f"metrics_{name}"]
        tables[f"metrics_{name}_final"] = [row for row in rows if row["is_final"]]
    return tables
