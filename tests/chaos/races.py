"""Races of four real runners on one lake: overlapping offers, different rings, some of them killed.

They start at one moment; then one further run has to complete whatever they left.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tests.chaos import proxy
from tests.chaos.audit import Truth, audit
from tests.chaos.harness import Harness, Report, Tally, play, spread
from tests.chaos.overtakes import PAIRS, overtake, polls
from tests.chaos.proxy import Fault
from tests.chaos.runner import BUG, FAILED
from tests.chaos.scenes import (
    BOTH_KEYS,
    CHECKPOINT_EVERY,
    FIRST_KEY,
    dumped,
    job_of,
    serving,
    truth_of,
    undecided,
)
from tests.chaos.world import Outcome, World
from tests.ingestion.envelopes import population

RUNNERS = 4
RACES = 64

_REFUSALS = ("superseded already", "is not published yet", "ends at")
"""What an operator's ``rederive`` may rightly be told while others are at work."""


def race(world: World, number: int, tally: Tally) -> None:
    """Run one race and judge what is left after one further run."""
    dice = random.Random(number)
    items = population(BOTH_KEYS, 60, seed=number % 8)
    bucket = f"race-{number}"
    places = {"LAKE_BUCKET": bucket, "RAW_DATABASE": f"race_{number}"}
    everything = job_of(world, BOTH_KEYS, [["land_dumps", dumped(world, items)]], small=True)
    everything["variables"] |= places
    entrants = []
    sources = []
    for _ in range(RUNNERS):
        ring = dice.choice([BOTH_KEYS, BOTH_KEYS, (FIRST_KEY,)])
        start = dice.randint(0, 30)
        mine = items[start : start + 30]
        dice.shuffle(mine)
        sources.append(serving([mine]))
        entrants.append(_entrant(world, dice, number, ring, mine))
        entrants[-1]["variables"] |= places
        entrants[-1]["constants"]["ingestion.commit.CHECKPOINT_EVERY"] = CHECKPOINT_EVERY
    if number % 4 == 3:  # there is something to replay, and to derive again
        old = dumped(world, items[:25])
        first = job_of(world, [FIRST_KEY], [["land_dumps", old]])
        first["variables"] |= places
        outcome = world.run(first)
        assert outcome.code == 0, outcome.told
    world.offer(*sources)
    faults = [_faults(dice) for _ in entrants]
    outcomes = world.race(list(zip(entrants, faults, strict=True)))
    _score(outcomes, faults, tally)
    for outcome in outcomes:
        told = str(outcome.told.get("error", ""))
        is_refusal = outcome.code == FAILED and any(text in told for text in _REFUSALS)
        if outcome.code in (BUG, FAILED) and not is_refusal:
            tally.complain(f"race {number}", f"a runner ended with {outcome.code}: {told}")
    further = world.run(everything)
    if further.code:
        tally.complain(
            f"race {number}", f"the further run ended with {further.code}: {further.told}"
        )
    objects = world.objects(bucket)
    tally.judge(f"race {number}", audit(objects, _truth(items)))
    again = world.run(everything)
    if again.code or world.keys(bucket).keys() != objects.keys():
        tally.complain(f"race {number}", f"one more run changed something: {again.told}")


def _entrant(
    world: World, dice: random.Random, number: int, ring: Sequence[str], mine: list[Any]
) -> dict[str, Any]:
    steps = ["land_api", "land_dumps", "reconcile"] if number % 4 != 3 else ["land_api", "replay"]
    if number % 8 == 7:
        steps.append("rederive")
    step = dice.choice(steps)
    arguments = {"land_dumps": [dumped(world, mine)], "rederive": [[1]]}.get(step, [])
    job = job_of(world, ring, [[step, *arguments]], small=True)
    job["has_child"] = dice.random() < 0.1
    return job


def _truth(items: Sequence[dict[str, Any]]) -> Truth:
    """Return where records may be, whichever ring was faster, and whether a replay was there."""
    truth = truth_of(items, BOTH_KEYS)
    return Truth(truth.rows, truth.reasons, {}, undecided(items))


def _faults(dice: random.Random) -> list[Fault]:
    chance = dice.random()
    if chance < 0.4:
        return [Fault(dice.choice(proxy.KILLS), dice.randint(1, 60))]
    if chance < 0.6:
        return [Fault(proxy.DROP_REPLY, dice.randint(1, 40))]
    return []


def _score(outcomes: Sequence[Outcome], faults: Sequence[Sequence[Fault]], tally: Tally) -> None:
    requests = [request for outcome in outcomes for request in outcome.watch.requests]
    lost = [request.name.split()[1] for request in requests if request.status == 412]
    tally.lost_cas.update(lost)
    tally.contested += bool(lost)
    happened = [fault for armed in faults for fault in armed if fault.happened]
    tally.kills += sum(outcome.was_killed for outcome in outcomes)
    tally.faults += sum(fault.kind == proxy.DROP_REPLY for fault in happened)
    tally.races += 1


def run(scale: float, report: Report) -> dict[str, int]:
    """Run the races and the overtakings, or a share of them, and return what they came to."""
    count = max(2, round(RACES * scale))

    def take(harness: Harness, case: tuple[Any, int], tally: Tally) -> None:
        make, number = case
        if make is None:
            race(harness.world, number, tally)
        else:
            overtake(harness.world, harness.once(make), number, tally)

    with World(RUNNERS) as world:
        harness = Harness(world)
        overtakings = [
            (make, at)
            for make in PAIRS
            for at in range(1, len(harness.once(make).requests) + 1, 1 if make is polls else 2)
        ]
        races = [(None, number) for number in range(count)]
        tally = play(harness, races + spread(scale, overtakings), take, report)
    if tally.contested * 2 < count:
        tally.complain("races", f"only {tally.contested} of {count} were races: nobody lost a CAS")
    lost = " ".join(f"{name}={number}" for name, number in sorted(tally.lost_cas.items()))
    report(f"races: {tally}; somebody lost a CAS in {tally.contested}: {lost}")
    return tally.as_dict()
