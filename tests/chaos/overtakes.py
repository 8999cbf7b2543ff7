"""One runner sleeps before one of its requests while another does its whole job; at every request.

A zombie, in short: what it read is old when it wakes, and what it writes then must do no harm.
What a run was offered that ended well has to be there, though the source shows it no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.audit import Truth, audit
from tests.chaos.harness import Tally
from tests.chaos.proxy import HOLD, Fault, Request
from tests.chaos.runner import RETRYABLE
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
from tests.chaos.world import World
from tests.ingestion.envelopes import population

RUNNERS = 2


@dataclass(slots=True)
class Pair:
    """Two jobs on one lake, and what has to come out of both."""

    name: str
    slow: dict[str, Any]
    fast: dict[str, Any]
    further: dict[str, Any]
    truth: Truth
    sources: tuple[Callable[[], bytes], Callable[[], bytes]]
    base: dict[str, bytes]
    requests: list[Request] = field(default_factory=list)
    """What the slow job asks for when nobody is in its way."""
    refusals: tuple[str, ...] = ()

    @property
    def bucket(self) -> str:
        return f"overtake-{self.name}"


def polls(world: World) -> Pair:
    """Two polls with overlapping windows and different rings, the slow one with a key less."""
    items = population(BOTH_KEYS, 40, seed=31)
    return _pair(
        world,
        Pair(
            "polls",
            job_of(world, [FIRST_KEY], [["land_api"]]),
            job_of(world, BOTH_KEYS, [["land_api"]]),
            job_of(world, BOTH_KEYS, [["land_api"]]),
            _undecided_truth(items),
            (serving([items[5:28]]), serving([items[15:]])),
            {},
        ),
        items[:10],
    )


def replays(world: World) -> Pair:
    """Two replays of the same records."""
    items = population(BOTH_KEYS, 16, seed=32)
    job = job_of(world, BOTH_KEYS, [["replay"]])
    return _pair(world, _operators("replays", job, job, job, items), items)


def replay_and_rederive(world: World) -> Pair:
    """A replay of records whose batch is derived again in the meantime."""
    items = population(BOTH_KEYS, 16, seed=33)
    replay = job_of(world, BOTH_KEYS, [["replay"]])
    rederive = job_of(world, BOTH_KEYS, [["rederive", [1]]])
    return _pair(world, _operators("replay-and-rederive", replay, rederive, replay, items), items)


def rederive_and_replay(world: World) -> Pair:
    """A re-derivation of a batch from which records are replayed in the meantime."""
    items = population(BOTH_KEYS, 16, seed=34)
    replay = job_of(world, BOTH_KEYS, [["replay"]])
    rederive = job_of(world, BOTH_KEYS, [["rederive", [1]]])
    return _pair(world, _operators("rederive-and-replay", rederive, replay, replay, items), items)


def rederivations(world: World) -> Pair:
    """Two re-derivations of one batch: the later one has to be told that it comes too late."""
    items = population(BOTH_KEYS, 16, seed=35)
    job = job_of(world, BOTH_KEYS, [["rederive", [1]]])
    replay = job_of(world, BOTH_KEYS, [["replay"]])
    pair = _operators("rederivations", job, job, replay, items)
    pair.refusals = ("superseded already",)
    return _pair(world, pair, items)


PAIRS = (polls, replays, replay_and_rederive, rederive_and_replay, rederivations)


def _operators(
    name: str, slow: dict[str, Any], fast: dict[str, Any], further: dict[str, Any], items: list[Any]
) -> Pair:
    nothing = serving([[]])
    return Pair(name, slow, fast, further, _undecided_truth(items), (nothing, nothing), {})


def _undecided_truth(items: list[Any]) -> Truth:
    """Accept a refusal for want of the second key: who was first decides, and nobody replays."""
    truth = truth_of(items, BOTH_KEYS)
    return Truth(truth.rows, truth.reasons, {}, undecided(items))


def _pair(world: World, pair: Pair, earlier: list[Any]) -> Pair:
    """Give both jobs a lake in which one batch is published, read with the first key only."""
    for job in (pair.slow, pair.fast, pair.further):
        job["variables"] = {
            **job["variables"],
            "LAKE_BUCKET": pair.bucket,
            "RAW_DATABASE": pair.bucket.replace("-", "_"),
        }
        job["constants"] = {"ingestion.commit.CHECKPOINT_EVERY": CHECKPOINT_EVERY}
        job["has_child"] = False
    first = job_of(world, [FIRST_KEY], [["land_dumps", dumped(world, earlier)]])
    outcome = world.run(
        {**pair.slow, **first, "variables": pair.slow["variables"] | first["variables"]}
    )
    assert outcome.code == 0, outcome.told
    pair.base = world.objects(pair.bucket)
    world.offer(*pair.sources)
    pair.requests = world.run(pair.slow).watch.requests
    return pair


def overtake(world: World, pair: Pair, at: int, tally: Tally, **more: Any) -> None:
    """Let the slow runner sleep at one request, and judge what is left."""
    what = f"{pair.name}: overtaken at request {at}"
    world.restore(pair.bucket, pair.base)
    world.offer(*pair.sources)
    hold = Fault(HOLD, at)
    outcomes = world.overtake({**pair.slow, **more}, hold, {**pair.fast, **more})
    requests = outcomes[0].watch.requests
    tally.lost_cas.update(r.name.split()[1] for r in requests if r.status == 412)
    if not hold.happened:
        tally.complain(what, "the runner was not held back")
    for outcome in outcomes:
        error = str(outcome.told.get("error", ""))
        is_refused = any(text in error for text in pair.refusals)
        if outcome.code not in (0, RETRYABLE) and not is_refused:
            tally.complain(what, f"a runner ended with {outcome.code}: {error}")
    world.offer(lambda: b"[]")
    further = world.run({**pair.further, **more})
    if further.code:
        tally.complain(what, f"the further run ended with {further.code}: {further.told}")
    tally.judge(what, audit(world.objects(pair.bucket), pair.truth))
    tally.overtaken += 1
