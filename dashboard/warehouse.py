"""Reads the few hundred rows that the site shows, through Athena. Knows SQL; knows no HTML."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ingestion.settings import Settings

Row = dict[str, Any]

DAYS_SHOWN = 400
"""A year and a month, so that a day can be compared with the same day a year ago."""

ENDPOINTS_SHOWN = 12
"""What fits on one screen; the table has them all."""

ENDPOINT_DAYS = 28
"""As long as the longest window of the metrics."""

_LOCAL_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Numbers:
    """All rows that the pages are made of."""

    daily: list[Row] = field(default_factory=list)
    """``metrics_daily_active``, oldest first."""
    endpoints: list[Row] = field(default_factory=list)
    """The busiest endpoints of the last complete days, busiest first."""
    health: list[Row] = field(default_factory=list)
    """``metrics_pipeline_health_daily``, oldest first."""
    totals: Row = field(default_factory=dict)
    """Records offered, good, quarantined (now), duplicate, conflict, replayed over all days."""


_DAILY = f"""
select
    metric_date, dau, wau, mau, dau_mau, new_user_count, returning_user_count, event_count,
    is_wau_complete, is_mau_complete
from metrics_daily_active
order by metric_date desc
limit {DAYS_SHOWN}
"""

# The newest day is still filling up: its rates would be compared with whole days.
_ENDPOINTS = f"""
select
    route,
    method,
    sum(request_count) as request_count,
    sum(error_count) as error_count
from metrics_endpoint_daily
where
    metric_date < (select max(metric_date) from metrics_daily_active)
    and metric_date >= (
        select date_add('day', -{ENDPOINT_DAYS}, max(metric_date)) from metrics_daily_active
    )
group by route, method
order by request_count desc, route, method
limit {ENDPOINTS_SHOWN}
"""

_HEALTH = f"""
select
    arrived_date, offered_count, good_count, quarantined_count, duplicate_count, conflict_count,
    replayed_count, missing_id_count, sequence_completeness, lag_p50_seconds, lag_p95_seconds
from metrics_pipeline_health_daily
order by arrived_date desc
limit {DAYS_SHOWN}
"""

_TOTALS = """
select
    coalesce(sum(offered_count), 0) as offered,
    coalesce(sum(good_count), 0) as good,
    coalesce(sum(quarantined_count), 0) as quarantined,
    coalesce(sum(duplicate_count), 0) as duplicate,
    coalesce(sum(conflict_count), 0) as conflict,
    coalesce(sum(replayed_count), 0) as replayed
from metrics_pipeline_health_daily
"""


def read(settings: Settings) -> Numbers:
    """Run the four queries; each reads a table of one row per day, or per day and endpoint."""
    import pyathena

    local = {"poll_interval": _LOCAL_POLL_SECONDS} if settings.aws_endpoint_url else {}
    with pyathena.connect(
        schema_name=settings.warehouse_schema,
        work_group=settings.athena_workgroup,
        s3_staging_dir=f"{settings.lake_uri}/athena-results/",
        region_name=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        **local,
    ) as connection:
        return Numbers(
            daily=_rows(connection, _DAILY)[::-1],
            endpoints=_rows(connection, _ENDPOINTS),
            health=_rows(connection, _HEALTH)[::-1],
            totals=_rows(connection, _TOTALS)[0],
        )


def _rows(connection: Any, query: str) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        names = [column[0] for column in cursor.description]
        rows: Iterable[tuple[Any, ...]] = cursor.fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]
