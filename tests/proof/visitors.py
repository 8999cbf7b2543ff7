"""People who come, look, buy, fail and return: a log of any length, the same for the same seed.

Whole days are made at once with arrays, because a year of it has to be there within a minute.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

DAY = 86_400_000
"""Times are milliseconds since 1970, UTC, as in the raw tables."""

SEOUL = 9 * 3_600_000
_FIRST_ID = 1_000
_SESSION_GAP = 1_800_000

_VISITS = np.array([0.9, 0.45, 0.12, 0.02])
"""How likely somebody comes on a day: every day, regularly, now and then, hardly again."""
_VISITORS = [0.1, 0.2, 0.4, 0.3]
_WEEKDAYS = np.array([1.0, 1.0, 1.05, 1.0, 1.1, 0.7, 0.6])
_HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 9, 9, 10, 9, 9, 9, 9, 10, 11, 13, 14, 12, 9, 5.0])

_ACTIVITIES = (["view", "cart", "purchase", "wish", None], [0.62, 0.2, 0.12, 0.04, 0.02])
_METHODS = (["GET", "POST", "PUT", None], [0.7, 0.25, 0.04, 0.01])
_LEVELS = (["INFO", "WARNING", "ERROR", "CRITICAL", None], [0.9, 0.05, 0.03, 0.01, 0.01])
_FAILURES = (["ERROR", "CRITICAL"], [0.8, 0.2])
_DELAYS = [2_000, 60_000, 3_700_000, 90_000_000, 8 * DAY, 20 * DAY]
"""Latest arrivals after the event: seconds, a minute, late by an hour, a day, a week, and more."""


@dataclass(frozen=True)
class Recipe:
    """What is made; the same recipe gives the same log, byte for byte."""

    seed: int
    first_day: date
    days: int
    users: int
    events_per_session: float = 3.0
    is_punctual: bool = False
    """Nothing comes late, no id is left out and nothing is odd: for a lake that is only big."""
    quiet_days: tuple[int, ...] = ()
    """Days on which nobody comes, counted from the first."""
    failing_users: int = 2
    """The first so many only ever fail, so they are seen and never active."""


def days(recipe: Recipe) -> Iterator[pa.Table]:
    """Yield the events of one day after the other, without ids, in no order."""
    rng = np.random.default_rng(recipe.seed)
    pools = _Pools(recipe, rng)
    start = _ms(recipe.first_day)
    joined = np.where(
        rng.random(recipe.users) < 0.25, 0, rng.integers(0, recipe.days, recipe.users)
    )
    # With one user or two, the first day must have somebody.
    joined[: max(1, recipe.users // 10)] = 0
    habit = rng.choice(_VISITS, recipe.users, p=_VISITORS)
    for day in range(recipe.days):
        weekday = (recipe.first_day.weekday() + day) % 7
        comes = rng.random(recipe.users) < habit * _WEEKDAYS[weekday]
        users = np.flatnonzero((joined == day) | (comes & (joined <= day)))
        if day in recipe.quiet_days:
            users = users[:0]
        user, at = _sessions(rng, users, start + day * DAY, recipe.events_per_session)
        if not recipe.is_punctual and day % 9 == 4 and len(users):
            user, at = _with_oddities(rng, user, at, users, start + day * DAY)
        yield _table(rng, pools, recipe, user, at)


def arrivals(recipe: Recipe) -> pa.Table:
    """Return the whole log in the order in which it arrives, numbered in that order with holes."""
    rng = np.random.default_rng([recipe.seed, 1])
    table = pa.concat_tables(days(recipe))
    table = table.take(np.argsort(table["arrived_at"].to_numpy().astype("int64"), kind="stable"))
    return numbered(table, _FIRST_ID, 0.0 if recipe.is_punctual else 0.004, rng)


def numbered(
    table: pa.Table, first: int, holes: float = 0.0, rng: np.random.Generator | None = None
) -> pa.Table:
    """Return the table with record ids that go up from ``first``; some numbers are never given."""
    steps = np.ones(table.num_rows, "int64")
    if rng is not None:
        steps += (rng.random(table.num_rows) < holes) * rng.integers(1, 4, table.num_rows)
    ids = first + np.cumsum(steps) - 1
    return table.set_column(0, "record_id", pa.array(ids))


def user_hash(number: int) -> bytes:
    """Return the pseudonym of the user of that number."""
    return hashlib.sha256(f"user {number}".encode()).digest()[:16]


def _ms(day: date) -> int:
    """Return when a day begins in Seoul."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000 - SEOUL


def _sessions(
    rng: np.random.Generator, users: np.ndarray, midnight: int, mean: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return who does something when: sessions of a few events, some of them across midnight."""
    visitor = np.repeat(users, 1 + rng.poisson(0.4, len(users)))
    hour = rng.choice(24, len(visitor), p=_HOURS / _HOURS.sum())
    start = midnight + hour * 3_600_000 + rng.integers(0, 3_600_000, len(visitor))
    length = rng.geometric(1 / mean, len(visitor))
    gaps = rng.exponential(240_000, length.sum()).astype("int64")
    # To the millisecond, on both sides of what ends a session.
    edges = rng.integers(-1, 2, len(gaps)) + _SESSION_GAP
    gaps = np.where(rng.random(len(gaps)) < 0.02, edges, gaps)
    first = np.cumsum(length) - length
    gaps[first] = 0
    run = np.cumsum(gaps)
    at = np.repeat(start - run[first], length) + run
    # A few at the very midnight of the metric's day, and a millisecond before.
    exact = rng.random(len(at)) < 0.004
    at[exact] = midnight + DAY - rng.integers(0, 2, exact.sum())
    return np.repeat(visitor, length), at


def _with_oddities(
    rng: np.random.Generator, user: np.ndarray, at: np.ndarray, users: np.ndarray, midnight: int
) -> tuple[np.ndarray, np.ndarray]:
    """Add one who never sleeps, one who hammers, and two events in the same millisecond."""
    sleepless, hammer, twin = rng.choice(users, 3)
    chain = midnight + 7_200_000 + np.arange(70) * 1_500_000  # 29 hours without a pause
    burst = midnight + 36_000_000 + np.arange(6 * 62) * 950  # 63 a minute, for six
    same = np.repeat(midnight + 50_000_000, 2)
    return (
        np.concatenate(
            [user, np.repeat(sleepless, len(chain)), np.repeat(hammer, len(burst)), [twin, twin]]
        ),
        np.concatenate([at, chain, burst, same]),
    )


class _Pools:
    """Texts that records draw from, each kept once."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        self.users = pa.array([user_hash(n) for n in range(recipe.users)], pa.binary())
        self.urls = pa.array(_urls(rng))
        self.extras = pa.array(_extras(rng, recipe.is_punctual))


def _urls(rng: np.random.Generator) -> list[str | None]:
    products = [f"/api/products/{n}?page={n % 7}" for n in rng.integers(1, 9_999, 300)]
    plain = ["/", "/api/cart", "/api/orders", "/api/search?q=lamp", "/health#top"] * 30
    single = [f"/api/{noun}/list" for noun in ("bags", "hats", "maps", "pens", "toys", "cups")] * 12
    odd = [
        "/u/123e4567-E89B-12d3-a456-426614174000/profile",
        "/c/deadbeef/deadbee/",
        "//double//slash",
        "/x?y?z#a#b",
        "/' or ''=''",
        "/\u00fcbung/\u4e0a\u6d77/\U0001f600",
        "",
        None,
    ]
    return [*products, *plain, *single, *odd]


def _extras(rng: np.random.Generator, is_plain: bool) -> list[str | None]:
    """Return what comes beside the known fields: latencies and statuses, and what is neither."""
    statuses = rng.choice(
        [200, 201, 302, 404, 429, 500, 503], 600, p=[0.8, 0.06, 0.05, 0.05, 0.01, 0.02, 0.01]
    )
    latencies = np.round(rng.lognormal(4, 1, 600), 3)
    usual: list[str | None] = [
        json.dumps({"latency_ms": float(latency), "status": int(status)})
        for latency, status in zip(latencies, statuses, strict=True)
    ]
    if is_plain:
        return usual
    odd: Sequence[str | None] = [
        None,
        "{}",
        '{"latency_ms": null, "status": null}',
        '{"latency_ms": -1, "status": 99}',
        '{"latency_ms": 0, "status": 100}',
        '{"latency_ms": "fast", "status": "ok"}',
        '{"latency_ms": true, "status": 600}',
        '{"latency_ms": 12, "status": 599}',
        '{"latency_ms": {"ms": 3}, "status": [500]}',
        '{"status": 404}',
        '{"latency_ms": 7.5}',
    ]
    return [*usual, *odd * 12]


def _table(
    rng: np.random.Generator, pools: _Pools, recipe: Recipe, user: np.ndarray, at: np.ndarray
) -> pa.Table:
    count = len(user)

    def drawn(pool: tuple[list[str | None], list[float]]) -> np.ndarray:
        return rng.choice(len(pool[0]), count, p=pool[1])

    levels = np.where(user < recipe.failing_users, 5 + drawn(_FAILURES), drawn(_LEVELS))
    delays = np.array([2_000, 2_000] if recipe.is_punctual else _DELAYS)
    share = [1.0, 0.0] if recipe.is_punctual else [0.9, 0.05, 0.03, 0.01, 0.006, 0.004]
    longest = rng.choice(delays, count, p=share)
    arrived = at + 1 + (rng.random(count) * longest).astype("int64")
    times = pa.array(at).cast(pa.timestamp("ms"))
    return pa.table(
        {
            "record_id": pa.array(np.zeros(count, "int64")),
            "user_id": pools.users.take(pa.array(user)),
            "activity": _texts(_ACTIVITIES[0], drawn(_ACTIVITIES)),
            "url": pools.urls.take(pa.array(rng.integers(0, len(pools.urls), count))),
            "method": _texts(_METHODS[0], drawn(_METHODS)),
            "log_name": _texts(["json_logger"], np.zeros(count, "int64")),
            "level_name": _texts([*_LEVELS[0], *_FAILURES[0]], levels),
            "message": _texts(["somebody did something"], np.zeros(count, "int64")),
            "occurred_at": times,
            "occurred_at_text": times.cast(pa.string()),
            "arrived_at": pa.array(arrived).cast(pa.timestamp("ms")),
            "extra_fields": pools.extras.take(pa.array(rng.integers(0, len(pools.extras), count))),
            "key_fingerprint": _texts(
                ["00000000000000aa", "00000000000000bb"], (at // (40 * DAY)) % 2
            ),
        }
    )


def _texts(pool: Sequence[Any], places: np.ndarray) -> pa.Array:
    return pa.array(pool, pa.string()).take(pa.array(places))
