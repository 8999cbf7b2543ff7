"""Records that the warehouse is built from: random ones, and ones that stand on a boundary."""

import json
import random
from collections.abc import Iterable
from datetime import timedelta
from itertools import count
from typing import Any

from tests.oracle import Row, utc
from tests.publishing import record

START = utc("2024-01-01T00:00:00")
DAYS = 66
EMPTY = range(36, 39)
"""Days without a random record: 6 to 8 February."""

URLS = [
    "/api/products/product/",
    "/api/products/17?page=3",
    "/orders/4/8#top",
    "/u/123e4567-E89B-12d3-a456-426614174000",
    "/c/deadbeef/deadbee/",
    None,
]
EXTRAS = [
    None,
    None,
    '{"status": 200, "latency_ms": 12.5}',
    '{"status": 404, "latency_ms": 0}',
    '{"status": 500, "latency_ms": 3}',
    '{"status": "503", "latency_ms": "7.25"}',
    '{"status": 499, "latency_ms": -1}',
    '{"status": 600, "latency_ms": "slow"}',
    '{"status": 99, "latency_ms": null}',
    '{"status": 500.5, "latency_ms": true}',
    '{"status": {"code": 500}, "latency_ms": [1]}',
    '{"other": "500"}',
]


def population(seed: int, users: Iterable[int] = range(40)) -> list[Row]:
    """Records of users from 1 January to 6 March 2024, a leap year, in order of arrival.

    The first five users only ever fail; midnight in Seoul is hit exactly, sessions have gaps around
    30 minutes, and some records come up to 20 days late.
    """
    rng, users = random.Random(seed), list(users)
    records = []
    for day in range(DAYS):
        if day in EMPTY:
            continue
        for user in rng.sample(users, rng.randint(len(users) // 6, len(users) // 2)):
            second = rng.choice([rng.randrange(86_400), 15 * 3600, 15 * 3600 - 1])
            at = START + timedelta(days=day, seconds=second, milliseconds=rng.randrange(1000))
            for _ in range(rng.choice([1, 1, 2, 3, 6])):
                only_fails = user in users[:5]
                levels = ["ERROR", "CRITICAL"] if only_fails else ["INFO"] * 9 + ["WARNING", None]
                late = timedelta(seconds=rng.choice([1] * 6 + [60, 4000, 90_000, 20 * 86_400]))
                records.append(
                    record(
                        0,
                        user,
                        at,
                        activity=rng.choice(["view", "view", "cart", "purchase", "wish", None]),
                        url=rng.choice(URLS),
                        method=rng.choice(["POST", "GET", None]),
                        level_name=rng.choice([*levels, "ERROR"]),
                        arrived_at=at + late,
                        extra_fields=rng.choice(EXTRAS),
                        key_fingerprint=rng.choice(["00000000000000aa", "00000000000000bb"]),
                    )
                )
                seconds = rng.choice([0, 3, 250, 1799.999, 1800, 1800.001, 1860, 30_000])
                at += timedelta(seconds=seconds)
    return records


NEVER = (1300, 4200)
"""Ids that never come: one of a quiet day, and one of the busiest, which stays 99.9 % complete."""


def numbered(records: Iterable[Row], first_id: int = 1000) -> list[Row]:
    """Number records in order of arrival; two ids never come."""
    ordered = sorted(records, key=lambda row: row["arrived_at"])
    ids = (number for number in count(first_id) if number not in NEVER)
    return [row | {"record_id": number} for number, row in zip(ids, ordered, strict=False)]


def boundaries() -> list[Row]:
    """Records of users 100 and above, each of whom stands on one boundary of a definition."""
    return [*session_boundaries(), *window_boundaries(), *bots(), *funnels(), *traffic()]


def _events(user: int, start: str, seconds: Iterable[float], **changed: Any) -> list[Row]:
    first = utc(start)
    return [record(0, user, first + timedelta(seconds=s), **changed) for s in seconds]


def session_boundaries() -> list[Row]:
    half_hours = [1800 * n for n in range(49)]
    return [
        *_events(100, "2024-01-22T01:00:00", [0, 1800]),  # stays one session
        *_events(101, "2024-01-22T01:00:00", [0, 1800.001]),  # two
        *_events(102, "2024-01-22T01:00:00.500", [0, 1800, 3660]),  # 30 minutes, then 31
        *_events(103, "2024-01-22T14:50:00", [0, 1200]),  # across midnight in Seoul
        *_events(104, "2024-01-23T02:00:00", [1740 * n for n in range(60)]),  # 28.5 hours
        *_events(105, "2024-01-23T02:00:00", half_hours),  # 24 hours exactly: not over the cap
        *_events(106, "2024-01-23T02:00:00", [0, *[s + 0.001 for s in half_hours]]),  # just over
        *_events(107, "2024-01-24T02:00:00", [0, 19.999], activity="cart"),  # not engaged
        *_events(108, "2024-01-24T02:00:00", [0, 20], activity="cart"),  # engaged
        *_events(109, "2024-01-24T02:00:00", [0], activity="purchase"),
        *_events(110, "2024-01-24T02:00:00", [0], activity="purchase", level_name="ERROR"),
        # A chain over 24 hours that ends within half an hour of the second midnight.
        *_events(111, "2024-01-24T14:59:59", [1500 * n for n in range(60)]),
    ]


def window_boundaries() -> list[Row]:
    records = []
    for user, days in {112: 6, 113: 7, 114: 27, 115: 28, 116: 55, 117: 56}.items():
        for day in (0, days):
            at = utc("2024-01-03T03:00:00") + timedelta(days=day)
            records.append(record(0, user, at, activity="purchase" if day else "view"))
    # 14 January 2024 was a Sunday; Monday begins in Seoul at 15 o'clock UTC.
    for user in (118, 119):
        records += _events(user, "2024-01-14T14:59:59.999", [0])
        records += _events(
            user, "2024-01-21T15:00:00" if user == 118 else "2024-01-28T15:00:00", [0]
        )
    records += _events(120, "2024-01-14T15:00:00", [0])
    # Every day for 35 days: all 28 bits; and days that only fail between days that do not.
    records += [r for n in range(35) for r in _events(121, "2024-01-10T05:00:00", [86_400 * n])]
    for n in range(10):
        level = "ERROR" if n % 3 else "INFO"
        records += _events(122, "2024-01-15T05:00:00", [86_400 * n], level_name=level)
    return records


def bots() -> list[Row]:
    minutes = [60 * m + s * 0.9 for m in range(5) for s in range(61)]
    hours = [3600 * n for n in range(19)]
    rush = [10 * n for n in range(501)]
    return [
        *_events(130, "2024-02-12T03:00:00", minutes),  # 61 in five minutes
        *_events(131, "2024-02-12T04:00:00", minutes[:-1]),  # 60 in the fifth
        *_events(132, "2024-02-11T16:00:00", hours, level_name="ERROR"),  # 19 hours
        *_events(133, "2024-02-11T16:00:00", hours[:-1]),  # 18
        *_events(134, "2024-02-19T01:00:00", rush[:476], url="/one"),  # 476 of 501
        *_events(134, "2024-02-19T01:00:00", rush[476:], url="/other"),
        *_events(135, "2024-02-19T05:00:00", rush[:475], url="/one"),  # 475 of 501
        *_events(135, "2024-02-19T05:00:00", rush[475:], url=None),
        *_events(136, "2024-02-20T05:00:00", rush[:500], url="/one"),  # 500 is not over 500
    ]


def funnels() -> list[Row]:
    start, day = "2024-02-01T03:00:00", 86_400
    steps = [
        (140, [("view", 0), ("cart", 0), ("purchase", 0)]),  # at once, in the order of their ids
        (141, [("cart", 0), ("view", 1), ("purchase", 2)]),  # the cart was before the view
        (142, [("view", 0), ("cart", 1860), ("purchase", 1861)]),  # in two sessions of one day
        (143, [("view", 0), ("cart", 3 * day), ("purchase", 6 * day)]),  # within the week
        (144, [("view", 0), ("cart", 3 * day), ("purchase", 7 * day)]),  # a day too late
        (145, [("view", 0), ("purchase", 1), ("cart", 2), ("view", 3), ("purchase", 4.5)]),
        # In each of two sessions; the second is faster.
        (146, [("view", 0), ("cart", 600), ("view", 7200), ("cart", 7205), ("purchase", 7209)]),
    ]
    records = [
        record(0, user, utc(start) + timedelta(seconds=second), activity=activity)
        for user, own in steps
        for activity, second in own
    ]
    # The first cart fails, so the second one counts.
    records += _events(147, start, [0])
    records += _events(147, start, [10], activity="cart", level_name="CRITICAL")
    records += _events(147, start, [20], activity="cart")
    records += _events(147, start, [30], activity="purchase", extra_fields='{"status": 502}')
    # View in the evening, cart after midnight in Seoul: one session, two days.
    records += _events(148, "2024-02-01T14:55:00", [0])
    records += _events(148, "2024-02-01T14:55:00", [600], activity="cart")
    return records


def traffic() -> list[Row]:
    records = []
    for requests, url in ((19, "/nineteen"), (20, "/twenty")):
        for n in range(requests):
            extra = json.dumps({"latency_ms": (7 * n) % 20 + 0.5, "status": 200})
            records += _events(150 + n, "2024-02-02T03:00:00", [7 * n], url=url, extra_fields=extra)
    for n in range(25):  # enough requests, too few that say how long they took
        extra = '{"latency_ms": 1e3, "status": 400}'
        if n < 6:
            extra = '{"latency_ms": "NaN"}' if n % 2 else '{"latency_ms": "Infinity"}'
        records += _events(150, "2024-02-02T03:00:00", [n], url="/silent", extra_fields=extra)
    for n, status in enumerate([400, 499, 500, 599, 399, 100]):
        extra = json.dumps({"status": status})
        at = f"2024-02-02T0{n}:59:59.999"
        records += _events(171, at, [0], level_name="WARNING", extra_fields=extra)
    # History ends on 14 March: seven days before, and six.
    records += _events(172, "2024-03-07T03:00:00", [0], url="/not/new")
    records += _events(172, "2024-03-08T03:00:00", [0], url="/new")
    records += _events(173, "2024-03-14T03:00:00", [0])
    return records
