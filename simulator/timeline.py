"""The population's events as consecutive records that appear in bursts under a clock."""

from __future__ import annotations

import bisect
import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from simulator.errors import SimulatorError
from simulator.population import DAY_MS, Event, Population
from simulator.records import Record

FIRST_RECORD_ID = 2_400_001

BURST_MS = 90_000
"""The source collects and flushes about this often; a day holds a whole number of bursts, so no
burst mixes two days."""

_SPACING_MS = 290
_LONGEST_BURST_MS = 80_000
"""A burst ends before the next one begins, however large the population: arrival order is id
order."""


class Timeline:
    """Records of a population; visible is what has arrived by the clock.

    Days are generated when they are needed. For a day long after the first one all days before it
    are counted once, because ids are consecutive; only counts are kept.
    """

    def __init__(
        self, population: Population, start: date, zone: ZoneInfo, now_ms: Callable[[], int]
    ) -> None:
        self._seed = f"{population.name}/bursts"
        self._population = population
        self._midnight_ms = (start.toordinal() - date(1970, 1, 1).toordinal()) * DAY_MS
        self._offset_ms = _fixed_offset_ms(zone, start)
        self._now_ms = now_ms
        self._first_ids = [FIRST_RECORD_ID]
        # Requests are served by threads, and generating days is stateful.
        self._lock = threading.Lock()

    def latest(self, count: int) -> list[Record]:
        """Return the newest ``count`` visible records, oldest first."""
        with self._lock:
            end = self._visible_end()
            return list(self._between(max(FIRST_RECORD_ID, end - count), end))

    def after(self, record_id: int, limit: int) -> list[Record]:
        """Return at most ``limit`` visible records with greater ids, ascending."""
        with self._lock:
            first = max(FIRST_RECORD_ID, record_id + 1)
            return list(self._between(first, min(first + limit, self._visible_end())))

    def day(self, day: int) -> list[Record]:
        """Return all records that happened on a day (0 is the first), whatever the clock says."""
        with self._lock:
            first = self._first_id(day)
            return list(self._between(first, self._first_id(day + 1)))

    def is_over(self, day: int) -> bool:
        """Tell whether the clock is past the day."""
        return self._wall_now() >= self._midnight_ms + (day + 1) * DAY_MS

    def _wall_now(self) -> int:
        return self._now_ms() + self._offset_ms

    def _visible_end(self) -> int:
        """Return the id after the newest visible record."""
        now = self._wall_now()
        day = (now - self._midnight_ms) // DAY_MS
        # Shortly after midnight nothing of the day has arrived, and the last burst of the day
        # before may still be arriving.
        while day >= 0:
            arrived = bisect.bisect_right(self._records(day), now, key=_arrival)
            if arrived:
                return self._first_id(day) + arrived
            day -= 1
        return FIRST_RECORD_ID

    def _between(self, first: int, end: int) -> Iterator[Record]:
        if first >= end:
            return
        self._count_until(first)
        day = bisect.bisect_right(self._first_ids, first) - 1
        while first < end:
            begin = self._first_id(day)
            records = self._records(day)[first - begin : end - begin]
            yield from records
            first += len(records)
            day += 1

    def _count_until(self, record_id: int) -> None:
        while self._first_ids[-1] <= record_id:
            self._first_id(len(self._first_ids))

    def _first_id(self, day: int) -> int:
        while len(self._first_ids) <= day:
            last = len(self._first_ids) - 1
            self._first_ids.append(self._first_ids[last] + len(self._population.events(last)))
        return self._first_ids[day]

    @functools.lru_cache(maxsize=3)  # noqa: B019 - one timeline lives as long as its process
    def _records(self, day: int) -> list[Record]:
        first = self._first_id(day)
        events = self._population.events(day)
        arrivals = _arrivals(events, random.Random(f"{self._seed}/{day}"))
        return [
            Record(
                record_id=first + index,
                occurred_wall_ms=event.wall_ms,
                arrived_wall_ms=arrival,
                user=str(event.user),
                activity=event.activity,
                url=event.url,
                method=event.method,
                level=event.level,
                message=f"{event.method} {event.activity}",
            )
            for index, (event, arrival) in enumerate(zip(events, arrivals, strict=True))
        ]


def _arrival(record: Record) -> int:
    return record.arrived_wall_ms


def _arrivals(events: list[Event], rng: random.Random) -> Iterator[int]:
    begin = 0
    while begin < len(events):
        burst = events[begin].wall_ms // BURST_MS
        end = bisect.bisect_left(events, (burst + 1) * BURST_MS, lo=begin, key=_wall)
        flushed = (burst + 1) * BURST_MS + rng.randrange(900)
        spacing = min(_SPACING_MS, _LONGEST_BURST_MS / (end - begin))
        yield from (flushed + int(position * spacing) for position in range(end - begin))
        begin = end


def _wall(event: Event) -> int:
    return event.wall_ms


def _fixed_offset_ms(zone: ZoneInfo, start: date) -> int:
    """Return the zone's offset; a wall clock that is turned back would take records back."""
    noon = datetime(start.year, start.month, start.day, 12, tzinfo=UTC)
    offsets = {(noon + timedelta(days=30 * n)).astimezone(zone).utcoffset() for n in range(13)}
    if len(offsets) > 1:
        raise SimulatorError(
            f"The time zone {zone.key} has daylight saving time, which the generated population "
            "does not know; choose one without, such as Asia/Seoul."
        )
    (offset,) = offsets
    assert offset is not None  # a ZoneInfo always has one
    return int(offset.total_seconds() * 1000)


def wall_clock() -> int:
    """Return the real time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
