"""Requests: by route, hour and activity, and how unevenly users make them."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date

from tests.oracle.dates import History
from tests.oracle.lake import DAY, Event, Row, by_key, nearest_rank, rate

Z = 1.96
NONE = "(none)"
MINIMUM_LATENCIES = 20


def endpoints(events: Iterable[Event], history: History) -> list[Row]:
    rows = []
    for day, of_day in by_key(events, "day").items():
        for (path, method), own in by_key(of_day, "route", "method").items():
            rows.append(
                {
                    "metric_date": day,
                    "route": NONE if path is None else path,
                    "method": NONE if method is None else method,
                    **_requests(own, len(of_day)),
                    **history.trust(day, day, "day_batch_seq"),
                }
            )
    return rows


def _requests(own: list[Event], requests_of_day: int) -> Row:
    count, user_count = len(own), len({event.user for event in own})
    errors = sum(event.is_error for event in own)
    low, high = wilson(errors, count)
    minutes = Counter(event.at.replace(second=0, microsecond=0) for event in own)
    latencies = [event.latency for event in own if event.latency is not None]
    are_enough = len(latencies) >= MINIMUM_LATENCIES
    return {
        "request_count": count,
        "user_count": user_count,
        "error_count": errors,
        "client_error_count": sum(400 <= (event.status or 0) <= 499 for event in own),
        "warning_count": sum(event.level == "WARNING" for event in own),
        "error_rate": rate(errors, count),
        "error_rate_low": low,
        "error_rate_high": high,
        "share_of_requests": rate(count, requests_of_day),
        "requests_per_user": rate(count, user_count),
        "peak_minute_rps": float(max(minutes.values())) / 60,
        "latency_count": len(latencies),
        "latency_coverage": rate(len(latencies), count),
        "latency_p50_ms": nearest_rank(latencies, 50) if are_enough else None,
        "latency_p95_ms": nearest_rank(latencies, 95) if are_enough else None,
        "latency_p99_ms": nearest_rank(latencies, 99) if are_enough else None,
        "sample_url": min((event.url for event in own if event.url is not None), default=None),
    }


def wilson(errors: int, count: int) -> tuple[float, float]:
    """Return the interval that holds the true rate of errors with 95 % confidence."""
    e, n, z2 = float(errors), float(count), 3.8416
    center = (e + z2 / 2) / (n + z2)
    half = Z * math.sqrt(e * (n - e) / n + z2 / 4) / (n + z2)
    return max(0.0, center - half), min(1.0, center + half)


def hours(events: Iterable[Event], history: History) -> list[Row]:
    return [
        {
            "metric_date": day,
            "hour": hour,
            "route": NONE if path is None else path,
            "request_count": len(own),
            "user_count": len({event.user for event in own}),
            "error_count": sum(event.is_error for event in own),
            **history.trust(day, day, "day_batch_seq"),
        }
        for (day, hour, path), own in by_key(events, "day", "hour", "route").items()
    ]


def activities(events: Iterable[Event], history: History) -> list[Row]:
    rows = []
    for (day, activity), own in by_key(events, "day", "activity").items():
        user_count = len({event.user for event in own})
        rows.append(
            {
                "metric_date": day,
                "activity": NONE if activity is None else activity,
                "event_count": len(own),
                "user_count": user_count,
                "events_per_user": rate(len(own), user_count),
                **history.trust(day, day, "day_batch_seq"),
            }
        )
    return rows


def routes(endpoint_rows: Iterable[Row], history: History) -> list[Row]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in endpoint_rows:
        groups[row["route"], row["method"]].append(row)
    rows = []
    for (path, method), own in groups.items():
        first = min(row["metric_date"] for row in own)
        urls = [row["sample_url"] for row in own if row["sample_url"] is not None]
        rows.append(
            {
                "route": path,
                "method": method,
                "first_seen_date": first,
                "last_seen_date": max(row["metric_date"] for row in own),
                "request_count": sum(row["request_count"] for row in own),
                "sample_url": min(urls, default=None),
                "is_new": first > history.last - 7 * DAY,
            }
        )
    return rows


def concentration(user_days: Iterable[Row], history: History) -> list[Row]:
    rows_on: dict[date, list[Row]] = defaultdict(list)
    for row in user_days:
        rows_on[row["event_date"]].append(row)
    rows = []
    for day in history.days:
        own = rows_on[day]
        counts = sorted(row["event_count"] for row in own)
        total = sum(counts)
        top_users = -(-len(counts) // 100)
        top_events = sum(counts[len(counts) - top_users :])
        bots = [row for row in own if row["is_suspected_bot"]]
        rows.append(
            {
                "metric_date": day,
                "user_count": len(counts),
                "event_count": total,
                "top_user_count": top_users,
                "top_1pct_event_count": top_events,
                "top_1pct_share": rate(top_events, total),
                "gini": gini(counts),
                "suspected_bot_user_count": len(bots),
                "suspected_bot_event_count": sum(row["event_count"] for row in bots),
                "dau_without_bots": sum(
                    row["is_active"] and not row["is_suspected_bot"] for row in own
                ),
                **history.trust(day, day, "sessions_batch_seq"),
            }
        )
    return rows


def gini(counts: Iterable[int]) -> float | None:
    """Return 0 if everybody has the same, towards 1 if one has all; nothing for nobody."""
    ordered = sorted(counts)
    n = len(ordered)
    weighted = sum((2 * i - n - 1) * x for i, x in enumerate(ordered, start=1))
    return rate(weighted, n * sum(ordered))
