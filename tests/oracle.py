"""What every mart and metric must say, computed by brute force from the written definitions.

It shares nothing with dbt_project: no SQL, no pandas, no incremental state. It takes everything
that was ever published, walks through it with loops and sets, and is allowed to be slow. Where
it and the warehouse differ, one of the two misread design or DECISIONS.md.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

Row = dict[str, Any]
ERROR_LEVELS = {"ERROR", "CRITICAL"}
HEXADECIMAL = set("0123456789abcdefABCDEF")
DAY = timedelta(days=1)


@dataclass
class Lake:
    """All that was written, whether a reader may see it yet or not.

    Times are in UTC and carry it. Keys are the columns of the raw tables; a batch is its marker.
    """

    records: list[Row] = field(default_factory=list)
    quarantined: list[Row] = field(default_factory=list)
    batches: list[Row] = field(default_factory=list)


def warehouse(lake: Lake, metric_zone: str, source_zone: str) -> dict[str, list[Row]]:
    """Return every row of every mart and metric, in no particular order."""
    batches = _counting(_contiguous(lake.batches))
    visible = {batch["seq"] for batch in batches}
    replays = {batch["seq"] for batch in batches if batch["source"] == "replay"}
    records = _first_arrivals(r for r in lake.records if r["batch_seq"] in visible)
    refused = [r for r in lake.quarantined if r["batch_seq"] in visible]
    quarantined = [row for row in refused if not _is_taken_out(row, replays, records, refused)]

    user_days = _user_days(records, ZoneInfo(metric_zone))
    active = {
        (row["user_id"], row["event_date"]) for row in user_days if row["active_event_count"] > 0
    }
    dates = _dates(user_days)
    return {
        "fct_user_daily": user_days,
        "dim_users": _users(user_days, active),
        "dim_dates": dates,
        "fct_user_activity_bits": _activity_bits(active),
        "metrics_daily_active": _daily_active(user_days, active, dates),
        "metrics_endpoint_daily": _endpoints(records, ZoneInfo(metric_zone)),
        "metrics_pipeline_health_daily": _health(
            batches, replays, records, quarantined, ZoneInfo(source_zone)
        ),
        "metrics_quarantine_daily": _quarantine(quarantined),
        "metrics_missing_ids": _missing(batches, records, quarantined),
    }


def route(url: str | None) -> str | None:
    """Cut query and fragment; write ``{id}`` for a segment that names one thing."""
    if url is None:
        return None
    path = url.partition("#")[0].partition("?")[0]
    return "/".join("{id}" if _names_one_thing(segment) else segment for segment in path.split("/"))


def _names_one_thing(segment: str) -> bool:
    if segment and set(segment) <= set("0123456789"):
        return True
    if len(segment) >= 8 and set(segment) <= HEXADECIMAL:
        return True
    if [len(part) for part in segment.split("-")] != [8, 4, 4, 4, 12]:
        return False
    try:
        return str(UUID(segment)) == segment.lower()
    except ValueError:
        return False


def _contiguous(batches: Iterable[Row]) -> list[Row]:
    by_seq = {batch["seq"]: batch for batch in batches}
    visible = []
    while len(visible) + 1 in by_seq:
        visible.append(by_seq[len(visible) + 1])
    return visible


def _counting(batches: list[Row]) -> list[Row]:
    replaced = {seq for batch in batches for seq in batch.get("supersedes", [])}
    return [batch for batch in batches if batch["seq"] not in replaced]


def _is_taken_out(row: Row, replays: set[int], records: list[Row], refused: list[Row]) -> bool:
    """Tell whether a replay behind a refusal has its record: good, or refused once more."""
    for seq in replays:
        if seq > row["batch_seq"]:
            ids = {str(r["record_id"]) for r in records if r["batch_seq"] == seq}
            keys = {r["record_key"] for r in refused if r["batch_seq"] == seq}
            if row["record_key"] in ids | keys:
                return True
    return False


def _first_arrivals(records: Iterable[Row]) -> list[Row]:
    first: dict[int, Row] = {}
    for record in records:
        known = first.get(record["record_id"])
        if known is None or record["batch_seq"] < known["batch_seq"]:
            first[record["record_id"]] = record
    return list(first.values())


def _is_error(record: Mapping[str, Any]) -> bool:
    return record["level_name"] in ERROR_LEVELS


def _day(instant: datetime, zone: ZoneInfo) -> date:
    return instant.astimezone(zone).date()


def _user_days(records: list[Row], zone: ZoneInfo) -> list[Row]:
    groups: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for record in records:
        groups[record["user_id"].hex(), _day(record["occurred_at"], zone)].append(record)
    rows = []
    for (user, day), events in groups.items():
        activities = [event["activity"] for event in events]
        errors = sum(_is_error(event) for event in events)
        known = {name: activities.count(name) for name in ("view", "cart", "purchase")}
        rows.append(
            {
                "user_id": user,
                "event_date": day,
                "event_count": len(events),
                "active_event_count": len(events) - errors,
                "error_count": errors,
                "view_count": known["view"],
                "cart_count": known["cart"],
                "purchase_count": known["purchase"],
                "other_count": len(events) - sum(known.values()),
                "route_count": len({route(event["url"]) for event in events} - {None}),
                "is_active": errors < len(events),
                "first_event_at": min(e["occurred_at"] for e in events).replace(tzinfo=None),
                "last_event_at": max(e["occurred_at"] for e in events).replace(tzinfo=None),
            }
        )
    return rows


def _users(user_days: list[Row], active: set[tuple[str, date]]) -> list[Row]:
    days_of: dict[str, list[Row]] = defaultdict(list)
    for row in user_days:
        days_of[row["user_id"]].append(row)
    rows = []
    for user, own in days_of.items():
        active_days = sorted(r["event_date"] for r in own if (user, r["event_date"]) in active)
        rows.append(
            {
                "user_id": user,
                "first_seen_date": min(row["event_date"] for row in own),
                "last_seen_date": max(row["event_date"] for row in own),
                "first_active_date": active_days[0] if active_days else None,
                "last_active_date": active_days[-1] if active_days else None,
                "active_day_count": len(active_days),
                "event_count": sum(row["event_count"] for row in own),
                "purchase_count": sum(row["purchase_count"] for row in own),
                "error_count": sum(row["error_count"] for row in own),
            }
        )
    return rows


def _dates(user_days: list[Row]) -> list[Row]:
    if not user_days:
        return []
    first = min(row["event_date"] for row in user_days)
    last = max(row["event_date"] for row in user_days)
    rows = []
    day = first
    while day <= last:
        # A window is complete when its earliest day is a day of history.
        rows.append(
            {
                "metric_date": day,
                "day_number": len(rows) + 1,
                "is_wau_complete": day - 6 * DAY >= first,
                "is_mau_complete": day - 27 * DAY >= first,
            }
        )
        day += DAY
    return rows


def _activity_bits(active: set[tuple[str, date]]) -> list[Row]:
    first: dict[str, date] = {}
    for user, day in active:
        first[user] = min(day, first.get(user, day))
    rows = []
    for user, metric_date in {(u, d + n * DAY) for u, d in active for n in range(28)}:
        days_ago = [n for n in range(28) if (user, metric_date - n * DAY) in active]
        rows.append(
            {
                "user_id": user,
                "metric_date": metric_date,
                "days_active_bits": sum(1 << n for n in days_ago),
                "days_since_active": min(days_ago),
                "first_active_date": first[user],
            }
        )
    return rows


def _rate(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None


def _daily_active(
    user_days: list[Row], active: set[tuple[str, date]], dates: list[Row]
) -> list[Row]:
    rows = []
    for entry in dates:
        day = entry["metric_date"]
        today = {u for u, d in active if d == day}
        week = {u for u, d in active if day - 6 * DAY <= d <= day}
        month = {u for u, d in active if day - 27 * DAY <= d <= day}
        before = {u for u, d in active if d < day}
        of_day = [row for row in user_days if row["event_date"] == day]
        active_events = sum(row["active_event_count"] for row in of_day)
        rows.append(
            {
                "metric_date": day,
                "dau": len(today),
                "wau": len(week),
                "mau": len(month),
                "dau_mau": _rate(len(today), len(month)),
                "dau_wau": _rate(len(today), len(week)),
                "new_user_count": len(today - before),
                "returning_user_count": len(today & before),
                "event_count": sum(row["event_count"] for row in of_day),
                "active_event_count": active_events,
                "events_per_dau": _rate(active_events, len(today)),
                "is_wau_complete": entry["is_wau_complete"],
                "is_mau_complete": entry["is_mau_complete"],
            }
        )
    return rows


def _endpoints(records: list[Row], zone: ZoneInfo) -> list[Row]:
    groups: dict[tuple[date, str, str], list[Row]] = defaultdict(list)
    requests_of_day: dict[date, int] = defaultdict(int)
    for record in records:
        day = _day(record["occurred_at"], zone)
        path, method = route(record["url"]), record["method"]
        key = (day, "(none)" if path is None else path, "(none)" if method is None else method)
        groups[key].append(record)
        requests_of_day[day] += 1
    rows = []
    for (day, path, method), requests in groups.items():
        users = {request["user_id"] for request in requests}
        errors = sum(_is_error(request) for request in requests)
        rows.append(
            {
                "metric_date": day,
                "route": path,
                "method": method,
                "request_count": len(requests),
                "user_count": len(users),
                "error_count": errors,
                "warning_count": sum(r["level_name"] == "WARNING" for r in requests),
                "error_rate": errors / len(requests),
                "share_of_requests": len(requests) / requests_of_day[day],
                "requests_per_user": len(requests) / len(users),
            }
        )
    return rows


def _nearest_rank(values: list[int], percent: int) -> int:
    """Return the smallest value that at least ``percent`` % of the values do not exceed."""
    ordered = sorted(values)
    for value in ordered:
        if 100 * bisect_right(ordered, value) >= percent * len(ordered):
            return value
    raise ValueError("no values")


def _health(
    batches: list[Row],
    replays: set[int],
    records: list[Row],
    quarantined: list[Row],
    zone: ZoneInfo,
) -> list[Row]:
    rows = []
    days = {entry["arrived_date"] for batch in batches for entry in batch["arrival_days"]}
    for text in days:
        day = date.fromisoformat(text)
        ledger = [e for b in batches for e in b["arrival_days"] if e["arrived_date"] == text]
        arrived = [r for r in records if _day(r["arrived_at"], zone) == day]
        refused = [r for r in quarantined if r["arrived_date"] == text]
        conflicts = sum(r["reason"] == "ID_CONFLICT" for r in refused)
        ids = {r["record_id"] for r in arrived + refused if r["record_id"] is not None}
        keys = {r["key_fingerprint"] for r in arrived + refused} - {None}
        lags = [(r["landed_at"] - r["occurred_at"]) // timedelta(milliseconds=1) for r in arrived]
        # How long a record waited for its key says nothing about the way from source to lake.
        straight = [
            lag for r, lag in zip(arrived, lags, strict=True) if r["batch_seq"] not in replays
        ]
        span = max(ids) - min(ids) + 1 if ids else None
        rows.append(
            {
                "arrived_date": day,
                "batch_count": sum(
                    any(e["arrived_date"] == text for e in b["arrival_days"]) for b in batches
                ),
                "offered_count": sum(e["offered"] for e in ledger),
                "good_count": len(arrived),
                "quarantined_count": len(refused) - conflicts,
                "duplicate_count": sum(e["duplicate"] for e in ledger),
                "conflict_count": conflicts,
                "replayed_count": len(arrived) - len(straight),
                "missing_id_count": span - len(ids) if span else None,
                "sequence_completeness": len(ids) / span if span else None,
                "key_count": len(keys),
                "keys_used": ", ".join(sorted(keys)) or None,
                "lag_p50_seconds": _nearest_rank(straight, 50) / 1000 if straight else None,
                "lag_p95_seconds": _nearest_rank(straight, 95) / 1000 if straight else None,
                "lag_max_seconds": max(straight) / 1000 if straight else None,
                "late_1h_count": sum(lag > 3_600_000 for lag in lags),
                "late_1d_count": sum(lag > 86_400_000 for lag in lags),
                "late_7d_count": sum(lag > 7 * 86_400_000 for lag in lags),
            }
        )
    return rows


def _quarantine(quarantined: list[Row]) -> list[Row]:
    groups: dict[tuple[str, str], int] = defaultdict(int)
    for row in quarantined:
        groups[row["arrived_date"], row["reason"]] += 1
    return [
        {"arrived_date": date.fromisoformat(day), "reason": reason, "quarantined_count": count}
        for (day, reason), count in groups.items()
    ]


def _missing(batches: list[Row], records: list[Row], quarantined: list[Row]) -> list[Row]:
    came = {row["record_id"] for row in records + quarantined}
    rows = []
    for batch in batches:
        for overtaken in batch.get("missing", []):
            run: list[int] = []
            for number in range(overtaken["low"], overtaken["high"] + 2):
                if number <= overtaken["high"] and number not in came:
                    run.append(number)
                elif run:
                    rows.append(
                        {
                            "first_missing_id": run[0],
                            "last_missing_id": run[-1],
                            "missing_id_count": len(run),
                            "overtaken_batch_seq": batch["seq"],
                            "overtaken_at": utc(batch["landed_at"]).replace(tzinfo=None),
                        }
                    )
                    run = []
    return rows


def utc(text: str) -> datetime:
    """Read an ISO text as an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
