"""Rows as the warehouse returns them, for pages that are pure functions of rows."""

from datetime import date, timedelta

from dashboard.warehouse import Numbers, Row

FIRST_DAY = date(2026, 10, 1)


def daily(days: int) -> list[Row]:
    return [
        {
            "metric_date": FIRST_DAY + timedelta(days=n),
            "dau": 100 + n,
            "wau": 300 + n,
            "mau": 900 + n,
            "dau_mau": (100 + n) / (900 + n),
            "new_user_count": 10,
            "returning_user_count": 90 + n,
            "event_count": 1000 + n,
            "is_wau_complete": n >= 6,
            "is_mau_complete": n >= 27,
        }
        for n in range(days)
    ]


def health(days: int) -> list[Row]:
    return [
        {
            "arrived_date": FIRST_DAY + timedelta(days=n),
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
        }
        for n in range(days)
    ]


def endpoints(*routes: str) -> list[Row]:
    return [
        {"route": route, "method": "GET", "request_count": 100 - n, "error_count": n}
        for n, route in enumerate(routes)
    ]


def numbers(days: int, *routes: str) -> Numbers:
    totals = {"offered": 1200, "good": 1000, "quarantined": 5, "duplicate": 193}
    totals |= {"conflict": 2, "replayed": 0}
    return Numbers(daily(days), endpoints(*routes or ("/",)), health(days), totals)
