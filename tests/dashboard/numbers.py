"""Rows as the warehouse returns them, for pages that are pure functions of rows."""

from datetime import date, datetime, timedelta

from dashboard.athena import Row
from dashboard.warehouse import Numbers

FIRST_DAY = date(2026, 10, 1)
OPEN_DAYS = 3
"""The newest days are not final."""

AS_OF = datetime(2026, 11, 20, 14, 0)


def trust(n: int, days: int) -> Row:
    return {
        "is_final": n < days - OPEN_DAYS,
        "completeness_pct": 98.5 if n == 1 else 100.0,
        "as_of_batch_seq": n + 1,
        "as_of": AS_OF,
    }


def each_day(days: int, **columns: object) -> list[Row]:
    return [
        {"metric_date": FIRST_DAY + timedelta(days=n), **columns, **trust(n, days)}
        for n in range(days)
    ]


def daily(days: int) -> list[Row]:
    return [
        {
            **row,
            "dau": 100 + n,
            "wau": 300 + n,
            "mau": 900 + n,
            "dau_mau": (100 + n) / (900 + n),
            "mean_dau_mau": 0.1 if n >= 27 else None,
            "new_user_count": 10,
            "returning_user_count": 90 + n,
            "event_count": 1000 + n,
            "session_count": 400 + n,
            "is_wau_complete": n >= 6,
            "is_mau_complete": n >= 27,
        }
        for n, row in enumerate(each_day(days))
    ]


def health(days: int) -> list[Row]:
    return [
        {
            "arrived_date": row.pop("metric_date"),
            **row,
            "offered_count": 1200,
            "good_count": 1000,
            "quarantined_count": 5,
            "duplicate_count": 193,
            "conflict_count": 2,
            "replayed_count": 0,
            "missing_id_count": 1,
            "sequence_completeness": 0.999,
            "lag_p50_seconds": 30.0,
            "lag_p95_seconds": 400.0,
            "lag_max_seconds": 90_000.0,
            "late_1h_count": 3,
            "late_1d_count": 2,
            "late_7d_count": 0,
        }
        for row in each_day(days)
    ]


def endpoints(*routes: str) -> list[Row]:
    return [
        {
            "route": route,
            "method": "GET",
            "request_count": 100 - n,
            "error_count": n,
            "client_error_count": 0,
            "is_final": True,
            "completeness_pct": 99.5,
        }
        for n, route in enumerate(routes)
    ]


def growth(days: int) -> list[Row]:
    return [
        {
            "period_start_date": FIRST_DAY + timedelta(days=7 * n),
            "period_end_date": FIRST_DAY + timedelta(days=7 * n + 6),
            "active_user_count": 300,
            "prior_active_user_count": 280,
            "new_user_count": 40,
            "retained_user_count": 250,
            "resurrected_user_count": 10,
            "churned_user_count": 30,
            "quick_ratio": 50 / 30,
            "retention_rate": 250 / 280,
            "churn_rate": 30 / 280,
            **trust(n, days // 7),
        }
        for n in range(days // 7)
    ]


def cohorts(days: int) -> list[Row]:
    weeks = days // 7
    return [
        {
            "cohort_date": FIRST_DAY + timedelta(days=7 * week),
            "period_number": n,
            "cohort_size": 40,
            "active_count": 40 - 4 * n,
            "retention_rate": 1 - n / 10,
            "is_complete": False,
            **trust(week + n, weeks),
        }
        for week in range(weeks)
        for n in range(min(8, weeks - week))
    ]


def frequency() -> list[Row]:
    segments = ["infrequent"] * 6 + ["casual"] * 7 + ["regular"] * 7 + ["core"] * 8
    return [
        {
            "metric_date": FIRST_DAY,
            "active_day_count": n,
            "segment": segments[n - 1],
            "user_count": 29 - n,
            "share_of_users": (29 - n) / 406,
            **trust(0, 28),
        }
        for n in range(1, 29)
    ]


def funnel() -> list[Row]:
    return [
        {
            "scope": scope,
            "step_number": n,
            "step": step,
            "user_count": 1000 // n,
            "is_final": True,
            "completeness_pct": 99.9,
        }
        for scope in ("day", "session", "week")
        for n, step in enumerate(("view", "cart", "purchase"), 1)
    ]


def anomaly(n: int, flag: str = "alert", metric: str = "dau", dimension: str = "all") -> Row:
    return {
        "metric_date": FIRST_DAY + timedelta(days=n),
        "metric": metric,
        "dimension": dimension,
        "value": 40.0,
        "expected": 100.0,
        "low": 65.0,
        "high": 135.0,
        "score": -6.0,
        "flag": flag,
        **trust(n, 35),
    }


def restatement() -> Row:
    return {
        "metric": "dau",
        "metric_date": FIRST_DAY,
        "old_value": 100.0,
        "new_value": 101.0,
        "delta": 1.0,
        "cause": "key_arrived",
        **trust(0, 35),
    }


def costs() -> list[Row]:
    return [
        {
            "metric_date": FIRST_DAY + timedelta(days=n),
            "kind": kind,
            "query_count": 7,
            "failed_count": 1,
            "scanned_bytes": 2_500_000,
            "execution_seconds": 1.5,
        }
        for n in range(3)
        for kind in ("(none)", "model", "test")
    ]


def runs() -> list[Row]:
    return [
        {
            "node_id": f"model.daylight.{name}",
            "query_count": 4,
            "scanned_bytes": size,
            "execution_seconds": 2.5,
            "last_submitted_at": AS_OF,
            "all_scanned_bytes": 10 * size,
            "all_execution_seconds": 25.0,
        }
        for name, size in (("fct_user_daily", 2_000_000), ("metrics_daily_active", 1_000))
    ]


def numbers(days: int, *routes: str) -> Numbers:
    totals = {"offered": 1200, "good": 1000, "quarantined": 5, "duplicate": 193}
    totals |= {"conflict": 2, "replayed": 0}
    return Numbers(
        daily=daily(days),
        growth=growth(days),
        cohorts=cohorts(days),
        activation=each_day(days, new_user_count=10, activated_user_count=4, activation_rate=0.4),
        frequency=frequency() if days else [],
        funnel=funnel() if days else [],
        endpoints=endpoints(*routes or ("/",)) if days else [],
        hours=[
            {"hour": h, "request_count": 28 * h, "error_count": 0, **trust(0, 35)}
            for h in range(24)
        ][: 24 * bool(days)],
        activities=[
            {**row, "activity": name}
            for name in ("view", "cart")
            for row in each_day(days, event_count=500, user_count=50)
        ],
        concentration=each_day(
            days,
            event_count=1000,
            user_count=100,
            top_1pct_share=0.07,
            gini=0.4,
            suspected_bot_user_count=2,
            suspected_bot_event_count=80,
            dau_without_bots=98,
        ),
        health=health(days),
        built=each_day(days, table_count=7, fresh_count=7),
        costs=costs(),
        runs=runs(),
        totals=totals,
    )
