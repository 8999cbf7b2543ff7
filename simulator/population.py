"""Who visits the shop, when, and what they do there: a pure function of a seed, a first day and
a size.

Every day has a cohort of new users. A user comes back less and less often and stops for good one
day; how fast depends on the kind of user. Weekdays and hours have a shape. A visit is a chain of
views that sometimes leads to a cart and from there to a purchase.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

DAY_MS = 86_400_000

_EPOCH_DAY = date(1970, 1, 1).toordinal()

_MAX_AGE_DAYS = 180
"""Nobody stays longer: it bounds the work of a day. Cohorts begin this long before the first day,
so that the first day has old users like any other."""

_USERS_PER_ARRIVAL = 66.0
"""Measured: with one newcomer a day, so many users are seen in 28 days."""

_WEEKDAY = (1.04, 1.0, 0.99, 0.97, 0.9, 0.92, 1.14)
"""Monday to Sunday; Sunday evening is when people shop."""

_HOUR = (
    *(30, 18, 10, 6, 5, 7, 14, 26, 40, 50, 56, 62),
    *(70, 60, 54, 52, 52, 54, 58, 66, 80, 92, 84, 56),
)
"""Seoul's wall clock: quiet at four, a lunch break, and the sofa at nine."""


class Kind(NamedTuple):
    """A kind of user; the shares of all kinds add up to one."""

    share: float
    daily_chance: float
    """Of coming on the day after the first one; it decays from there."""
    mean_days: float
    """How long the user stays at all, exponentially distributed."""
    cart_chance: float
    """That a view is followed by a cart."""


KINDS = (
    Kind(share=0.58, daily_chance=0.14, mean_days=25.0, cart_chance=0.145),
    Kind(share=0.28, daily_chance=0.36, mean_days=60.0, cart_chance=0.17),
    Kind(share=0.14, daily_chance=0.75, mean_days=120.0, cart_chance=0.182),
)

_PURCHASE_CHANCE = 0.77
"""That a cart is followed by a purchase: 13 % carts and 10 % purchases, as the source has them."""

_ANOTHER_STEP = 0.72
_ANOTHER_VISIT = 0.28

_MAX_GAP_S = 1_700
"""A visit never pauses for 30 minutes, so it is one session by anyone's definition."""


class Member(NamedTuple):
    """One user: who, of which kind, and for how many days."""

    number: int
    kind: Kind
    days: int


class Event(NamedTuple):
    """Something a user did; ``wall_ms`` is the shop's wall clock read as UTC."""

    wall_ms: int
    user: int
    activity: str
    url: str
    method: str
    level: str


class Population:
    """All users of one simulated shop, and their events day by day."""

    def __init__(self, seed: int, start: date, users: int) -> None:
        self.name = f"{seed}/{users}"
        self._start = start
        self._arrivals = users / _USERS_PER_ARRIVAL
        self._cohorts: list[tuple[Member, ...]] = []
        self._members = 0

    def events(self, day: int) -> list[Event]:
        """Return what happened on a day (0 is the first), in order of time.

        Days may be asked for in any order and again; neighbours are cheapest in ascending order,
        because a visit that crosses midnight belongs to both.
        """
        midnight = (self._start.toordinal() - _EPOCH_DAY + day) * DAY_MS
        begun = [event for event in self._begun(day) if event.wall_ms < midnight + DAY_MS]
        if day:
            begun += [event for event in self._begun(day - 1) if event.wall_ms >= midnight]
        return sorted(begun)

    @functools.lru_cache(maxsize=3)  # noqa: B019 - one population lives as long as its process
    def _begun(self, day: int) -> list[Event]:
        rng = random.Random(f"{self.name}/day/{day}")
        today = self._start + timedelta(days=day)
        midnight = (today.toordinal() - _EPOCH_DAY) * DAY_MS
        return [
            event for member in self._visitors(day, rng) for event in _visits(member, midnight, rng)
        ]

    def _visitors(self, day: int, rng: random.Random) -> Iterator[Member]:
        factor = _WEEKDAY[(self._start.weekday() + day) % 7]
        for age in range(_MAX_AGE_DAYS + 1):
            # Nobody's first day passes without a visit: a cohort is defined by it.
            chance = math.inf if age == 0 else factor * age**-0.12
            for member in self._cohort(day - age):
                if member.days < age:
                    break  # the cohort is sorted by it
                if rng.random() < chance * member.kind.daily_chance:
                    yield member

    def _cohort(self, day: int) -> tuple[Member, ...]:
        index = day + _MAX_AGE_DAYS
        while len(self._cohorts) <= index:
            self._cohorts.append(self._recruit(len(self._cohorts) - _MAX_AGE_DAYS))
        return self._cohorts[index]

    def _recruit(self, day: int) -> tuple[Member, ...]:
        rng = random.Random(f"{self.name}/cohort/{day}")
        expected = self._arrivals * _WEEKDAY[(self._start.weekday() + day) % 7]
        size = int(expected * (0.85 + 0.3 * rng.random()) + rng.random())
        cohort = []
        for _ in range(size):
            self._members += 1
            kind = _pick_kind(rng.random())
            days = int(-kind.mean_days * math.log(1.0 - rng.random()))
            cohort.append(Member(self._members, kind, min(days, _MAX_AGE_DAYS)))
        return tuple(sorted(cohort, key=lambda member: -member.days))


def _pick_kind(chance: float) -> Kind:
    for kind in KINDS[:-1]:
        if chance < kind.share:
            return kind
        chance -= kind.share
    return KINDS[-1]


def _visits(member: Member, midnight: int, rng: random.Random) -> Iterator[Event]:
    another = 1.0
    while rng.random() < another:
        (hour,) = rng.choices(range(24), _HOUR)
        yield from _visit(member, midnight + int((hour + rng.random()) * 3_600_000), rng)
        another = _ANOTHER_VISIT


def _visit(member: Member, wall_ms: int, rng: random.Random) -> Iterator[Event]:
    """Walk view → (cart → (purchase)) until the user has had enough."""
    chance = rng.random
    while True:
        yield _event(wall_ms, member.number, "view", rng)
        wall_ms += _gap_ms(chance())
        if chance() < member.kind.cart_chance:
            yield _event(wall_ms, member.number, "cart", rng)
            wall_ms += _gap_ms(chance())
            if chance() < _PURCHASE_CHANCE:
                yield _event(wall_ms, member.number, "purchase", rng)
                wall_ms += _gap_ms(chance())
        if chance() >= _ANOTHER_STEP:
            return


def _gap_ms(chance: float) -> int:
    return int(min(4.0 - 75.0 * math.log(1.0 - chance), _MAX_GAP_S) * 1000)


def _event(wall_ms: int, user: int, activity: str, rng: random.Random) -> Event:
    method, url = _request(activity, rng.random(), rng.random())
    trouble = rng.random()
    errors = 0.009 if activity == "purchase" else 0.0045
    level = "ERROR" if trouble < errors else "WARNING" if trouble < errors + 0.02 else "INFO"
    return Event(wall_ms, user, activity, url, method, level)


def _request(activity: str, chance: float, which: float) -> tuple[str, str]:
    """Choose an endpoint; ids are skewed, as a few products make most of the traffic."""
    product = 1 + int(240 * which**2.5)
    if activity == "view":
        if chance < 0.62:
            return "POST", "/api/products/product/"
        if chance < 0.88:
            return "POST", f"/api/products/product/{product}/"
        if chance < 0.95:
            return "GET", f"/api/products/?page={1 + int(9 * which**2)}"
        return "GET", f"/api/categories/category/{1 + int(12 * which)}/"
    if activity == "cart":
        return (
            ("POST", "/api/carts/item/")
            if chance < 0.9
            else ("DELETE", f"/api/carts/item/{product}/")
        )
    return ("POST", "/api/orders/order/") if chance < 0.97 else ("GET", "/api/orders/order/")
