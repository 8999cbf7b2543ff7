"""A sample of the races; ``python -m tests.chaos`` runs all of them."""

import pytest

from tests.chaos.harness import Harness, Tally
from tests.chaos.overtakes import overtake, polls, rederive_and_replay, replays
from tests.chaos.races import race


@pytest.mark.parametrize("number", [100, 103])
def test_four_runners_at_once_lose_and_double_nothing(harness: Harness, number: int):
    tally = Tally()

    race(harness.world, number, tally)

    assert tally.complaints == []
    assert tally.races == 1


@pytest.mark.parametrize("make", [polls, replays, rederive_and_replay])
def test_a_runner_that_slept_before_a_cas_does_no_harm_when_it_wakes(harness: Harness, make):
    tally = Tally()
    pair = harness.once(make)
    places = [at for at, r in enumerate(pair.requests, 1) if r.name.endswith("if absent")]

    overtake(harness.world, pair, places[0], tally)

    assert tally.complaints == []
    assert tally.lost_cas["log"] >= 1, "it was not overtaken: it won"


def test_a_planted_bug_is_noticed_by_a_runner_that_slept(harness: Harness):
    tally = Tally()
    pair = harness.once(polls)
    (at,) = [at for at, r in enumerate(pair.requests, 1) if r.name == "PUT log if absent"]

    overtake(harness.world, pair, at, tally, bug="create without If-None-Match")

    assert tally.lost
