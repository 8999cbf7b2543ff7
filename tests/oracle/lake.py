"""What lies in the lake, what of it counts, and what an accepted record says."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

Row = dict[str, Any]
DAY = timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)
ERROR_LEVELS = {"ERROR", "CRITICAL"}
HEXADECIMAL = set("0123456789abcdefABCDEF")


@dataclass
class Lake:
    """All that was written, whether a reader may see it yet or not.

    Times are in UTC and carry it. Keys are the columns of the raw tables; a batch is its marker.
    """

    records: list[Row] = field(default_factory=list)
    quarantined: list[Row] = field(default_factory=list)
    batches: list[Row] = field(default_factory=list)

    def copy(self) -> "Lake":
        """Return the lake as it is now; what is published later does not get into it."""
        return Lake(list(self.records), list(self.quarantined), list(self.batches))


@dataclass(frozen=True, slots=True)
class Event:
    """One accepted record; ``at`` is UTC without saying so."""

    at: datetime
    record_id: int
    user: str
    day: date
    hour: int
    """The hour of the day in the metric's zone."""
    activity: str | None
    url: str | None
    route: str | None
    method: str | None
    level: str | None
    status: int | None
    latency: float | None
    is_error: bool


def counting_batches(lake: Lake) -> list[Row]:
    """Return the published batches before the first gap, less those that one of them replaces."""
    by_seq = {batch["seq"]: batch for batch in lake.batches}
    visible: list[Row] = []
    while len(visible) + 1 in by_seq:
        visible.append(by_seq[len(visible) + 1])
    replaced = {seq for batch in visible for seq in batch.get("supersedes") or []}
    return [batch for batch in visible if batch["seq"] not in replaced]


def accepted(lake: Lake, batches: Iterable[Row]) -> list[Row]:
    """Return the rows that readers see: of counting batches, the first arrival per partition."""
    counting = {batch["seq"] for batch in batches}
    first: dict[tuple[int, str], Row] = {}
    for row in lake.records:
        if row["batch_seq"] in counting:
            key = (row["record_id"], row["dt"])
            known = first.get(key)
            if known is None or _arrival(row) < _arrival(known):
                first[key] = row
    return list(first.values())


def _arrival(row: Row) -> tuple[int, datetime]:
    return row["batch_seq"], row["occurred_at"]


def in_quarantine_now(lake: Lake, batches: Iterable[Row], records: Iterable[Row]) -> list[Row]:
    """Return the refusals of counting batches that no later replay has, good or refused again."""
    counting = {batch["seq"] for batch in batches}
    replays = {batch["seq"] for batch in batches if batch["source"] == "replay"}
    refused = [row for row in lake.quarantined if row["batch_seq"] in counting]
    had_by: dict[str, set[int]] = defaultdict(set)
    for row in records:
        if row["batch_seq"] in replays:
            had_by[str(row["record_id"])].add(row["batch_seq"])
    for row in refused:
        if row["batch_seq"] in replays:
            had_by[row["record_key"]].add(row["batch_seq"])
    return [
        row
        for row in refused
        if not any(seq > row["batch_seq"] for seq in had_by[row["record_key"]])
    ]


def events(records: Iterable[Row], zone: ZoneInfo) -> list[Event]:
    """Read each accepted row as the event that it tells of."""
    found = []
    for row in records:
        local = row["occurred_at"].astimezone(zone)
        extra = _extra_fields(row["extra_fields"])
        status = _status(extra.get("status"))
        found.append(
            Event(
                at=row["occurred_at"].replace(tzinfo=None),
                record_id=row["record_id"],
                user=row["user_id"].hex(),
                day=local.date(),
                hour=local.hour,
                activity=row["activity"],
                url=row["url"],
                route=route(row["url"]),
                method=row["method"],
                level=row["level_name"],
                status=status,
                latency=_latency(extra.get("latency_ms")),
                is_error=row["level_name"] in ERROR_LEVELS or (status is not None and status > 499),
            )
        )
    return found


def _extra_fields(text: str | None) -> Row:
    if text is None:
        return {}
    # A number is kept as it was written: 500.0 is no status.
    fields = json.loads(text, parse_int=str, parse_float=str)
    return fields if isinstance(fields, dict) else {}


def _status(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value):
        return int(value) if 100 <= int(value) <= 599 else None
    return None


def _latency(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


@cache
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


def utc(text: str) -> datetime:
    """Read an ISO text as an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dates_between(first: date, last: date) -> Iterator[date]:
    """Yield every date from ``first`` to ``last``, both included."""
    while first <= last:
        yield first
        first += DAY


def rate(numerator: float, denominator: float) -> float | None:
    """Divide as doubles; nothing, rather than 0, where there is nothing to divide by."""
    return float(numerator) / float(denominator) if denominator else None


def nearest_rank(values: Iterable[Any], percent: int) -> Any:
    """Return the smallest value that at least ``percent`` % of the values do not exceed."""
    ordered = sorted(values)
    for position, value in enumerate(ordered, start=1):
        if 100 * position >= percent * len(ordered):
            return value
    return None


def milliseconds(start: datetime, end: datetime) -> int:
    """Return the whole milliseconds from one instant to another."""
    return (end - start) // MILLISECOND


def by_key(items: Iterable[Any], *names: str) -> dict[Any, list[Any]]:
    """Group events by one attribute or several."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        values = tuple(getattr(item, name) for name in names)
        groups[values if len(names) > 1 else values[0]].append(item)
    return groups


def in_order(own: Iterable[Event]) -> Sequence[Event]:
    """Sort events of one user; equal instants by the record's number."""
    return sorted(own, key=lambda event: (event.at, event.record_id))
