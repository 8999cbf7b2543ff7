"""The population behaves so that the metrics computed from it mean something."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise

import pytest

from simulator.population import DAY_MS, Event, Population

START = date(2026, 1, 5)
USERS = 2_400
DAYS = 42

Days = list[list[Event]]


@pytest.fixture(scope="module")
def days() -> Days:
    population = Population(7, START, USERS)
    return [population.events(day) for day in range(DAYS)]


@pytest.fixture(scope="module")
def active(days: Days) -> list[set[int]]:
    return [{event.user for event in day} for day in days]


def test_population_is_the_same_for_the_same_arguments_in_any_order_of_days(days: Days) -> None:
    again = Population(7, START, USERS)

    assert [again.events(day) for day in (40, 3, 4, 0)] == [days[day] for day in (40, 3, 4, 0)]


@pytest.mark.parametrize(
    "other",
    [
        Population(8, START, USERS),
        Population(7, date(2026, 1, 6), USERS),
        Population(7, START, USERS + 1),
    ],
    ids=["seed", "start", "users"],
)
def test_population_differs_when_an_argument_differs(other: Population, days: Days) -> None:
    assert other.events(1) != days[1]


def test_population_keeps_every_event_within_its_day_and_in_order(days: Days) -> None:
    epoch_day = date(1970, 1, 1).toordinal()
    for number, day in enumerate(days):
        midnight = (START.toordinal() - epoch_day + number) * DAY_MS

        assert day == sorted(day)
        assert all(midnight <= event.wall_ms < midnight + DAY_MS for event in day)


def test_population_loses_no_visit_that_crosses_midnight(days: Days) -> None:
    population = Population(7, START, USERS)

    begun = [event for day in range(DAYS - 1) for event in population._begun(day)]
    happened = {event for day in days for event in day}

    assert set(begun) <= happened
    assert any(event not in set(days[0]) for event in population._begun(0))


def test_population_has_the_size_that_was_asked_for(days: Days, active: list[set[int]]) -> None:
    records = [len(day) for day in days]

    assert all(2_300 < count < 3_700 for count in records)
    assert 90_000 < sum(records[:35]) < 110_000
    assert all(350 < len(users) < 600 for users in active)
    assert set().union(*active[14:42]).__len__() == pytest.approx(USERS, rel=0.1)


def test_population_doubles_with_its_users(days: Days) -> None:
    large = Population(7, START, 2 * USERS)

    sizes = sum(len(large.events(day)) for day in range(7)), sum(map(len, days[:7]))

    assert sizes[0] / sizes[1] == pytest.approx(2, rel=0.1)


def test_population_views_carts_and_buys_in_the_measured_shares(days: Days) -> None:
    counts = Counter(event.activity for day in days for event in day)

    shares = {activity: count / counts.total() for activity, count in counts.items()}

    assert shares == pytest.approx({"view": 0.77, "cart": 0.13, "purchase": 0.10}, abs=0.01)


def test_population_has_few_warnings_and_very_few_errors(days: Days) -> None:
    counts = Counter(event.level for day in days for event in day)

    shares = {level: count / counts.total() for level, count in counts.items()}

    assert shares == pytest.approx({"INFO": 0.975, "WARNING": 0.02, "ERROR": 0.005}, abs=0.003)


def test_population_mostly_posts_and_sometimes_names_a_product(days: Days) -> None:
    methods = Counter(event.method for day in days for event in day)
    urls = {event.url for day in days for event in day}

    assert methods["POST"] / methods.total() > 0.85
    assert methods.keys() == {"POST", "GET", "DELETE"}
    assert {"/api/products/product/", "/api/products/product/24/"} <= urls


def test_population_retention_decreases_with_age(active: list[set[int]]) -> None:
    seen: set[int] = set(active[0])
    back: dict[int, list[float]] = defaultdict(list)
    # Who appears first after four weeks is almost surely new, not one of the old users.
    for first in range(1, 35):
        cohort = active[first] - seen
        seen |= cohort
        if first >= 28:
            for age in (1, 7):
                back[age].append(len(cohort & active[first + age]) / len(cohort))

    day_1, day_7 = (sum(back[age]) / len(back[age]) for age in (1, 7))
    weeks = [len(active[7] & set().union(*active[begin : begin + 7])) for begin in (8, 15, 22, 29)]

    assert 0.1 < day_7 < day_1 < 0.5
    assert all(later < earlier for earlier, later in pairwise(weeks))


def test_population_is_sticky_but_not_the_same_every_day(active: list[set[int]]) -> None:
    month = set().union(*active[14:42])
    week = set().union(*active[35:42])
    mean_daily = sum(len(users) for users in active[14:42]) / 28

    assert 0.12 < mean_daily / len(month) < 0.3
    assert mean_daily < len(week) < len(month)


def test_population_shops_on_sunday_evening_and_sleeps_at_four(
    days: Days, active: list[set[int]]
) -> None:
    hours = Counter(event.wall_ms % DAY_MS // 3_600_000 for day in days for event in day)
    weekdays = [sum(len(active[day]) for day in range(n, DAYS, 7)) for n in range(7)]

    assert hours[4] * 8 < hours[21]
    assert weekdays.index(max(weekdays)) == 6  # the first day is a Monday


def test_population_visits_have_no_pause_of_half_an_hour_and_carts_follow_views(
    days: Days,
) -> None:
    by_user: dict[int, list[Event]] = defaultdict(list)
    for day in days[:7]:
        for event in day:
            by_user[event.user].append(event)
    inside = 0
    visits = 0
    bought_without_cart = 0
    for events in by_user.values():
        for before, event in pairwise(events):
            gap = event.wall_ms - before.wall_ms
            inside += gap < 1_800_000
            visits += gap >= 1_800_000
        activities = [event.activity for event in events]
        bought_without_cart += activities.count("purchase") > activities.count("cart")

    assert inside > 2 * visits
    # Only a visit that began before the first day, or overlaps another one, could do that.
    assert bought_without_cart == 0
