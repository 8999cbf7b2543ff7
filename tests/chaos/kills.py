"""Kills real runners at every request they make, and lets every kind of reply go wrong once.

After each, one further run has to complete everything, and another one has to change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos import proxy, scenes
from tests.chaos.audit import audit
from tests.chaos.harness import Harness, Report, Tally, play, spread
from tests.chaos.proxy import Fault, Request
from tests.chaos.runner import BUG, FAILED, RETRYABLE
from tests.chaos.world import Outcome, World

_HEALED = (proxy.DROP_REPLY, proxy.SLOW_DOWN, proxy.ERROR_500, proxy.RESET, proxy.ERROR_IN_200)
"""Faults that a retry inside the run cures, so that the run ends well."""


@dataclass(frozen=True, slots=True)
class Case:
    """One scene with one fault, and perhaps a second one in the run that recovers."""

    scene: str
    kind: str
    at: int
    then: tuple[str, int] | None = None
    has_child: bool = False
    """Decode in a child process, as always outside of this harness. A child asks no lake, so
    some cases with one are enough to see that it dies with its parent."""

    def __str__(self) -> str:
        again = f", then {self.then[0]} at {self.then[1]}" if self.then else ""
        return f"{self.scene}: {self.kind} at request {self.at}{again}"


def take(harness: Harness, case: Case, tally: Tally, **more: Any) -> None:
    """Play a case and judge what it leaves; ``more`` goes into every job but the last."""
    world = harness.world
    scene = harness.scene(case.scene)
    more = {"has_child": case.has_child, **more}
    bucket, job, further = scene.play(world)
    fault = Fault(case.kind, case.at)
    outcome = world.run({**job, **more}, fault)
    if not fault.happened:
        tally.complain(case, "the fault did not happen")
    _count(case, case.kind, fault, outcome, tally)
    if case.then is not None:
        second = Fault(*case.then)
        outcome = world.run({**further, **more}, second)
        if second.happened:
            _count(case, second.kind, second, outcome, tally)
    completed = world.run({**further, **more})
    if completed.code:
        tally.complain(case, f"the further run ended with {completed.code}: {completed.told}")
    objects = world.objects(bucket)
    tally.judge(case, audit(objects, scene.truth))
    idle = world.run({**further, "has_child": False})
    if idle.code or world.keys(bucket).keys() != objects.keys():
        tally.complain(case, f"one more run changed something: {idle.told}")
    elif writes := [r for r in idle.watch.requests if _writes(r)]:
        tally.complain(case, f"one more run wrote {sorted({r.name for r in writes})}")


def _count(case: Case, kind: str, fault: Fault, outcome: Outcome, tally: Tally) -> None:
    tally.hit.add(fault.happened)
    if kind in proxy.KILLS:
        tally.kills += outcome.was_killed
        if not outcome.was_killed and fault.happened:
            tally.complain(case, f"the runner did not die, but ended with {outcome.code}")
        return
    tally.faults += bool(fault.happened)
    allowed = {0} if kind in _HEALED else {0, RETRYABLE}
    if kind == proxy.DENY:
        allowed = {FAILED}
    if outcome.code not in allowed:
        tally.complain(case, f"ended with {outcome.code} ({BUG} is a bug): {outcome.told}")


def _writes(request: Request) -> bool:
    return request.name.startswith(("PUT", "COPY", "POST", "DELETE", "Update"))


def cases(harness: Harness, names: Sequence[str]) -> Iterator[Case]:
    """Yield every kill point, before and after, once and again, and faults that fit."""
    for name in names:
        dice = random.Random(name)
        requests = harness.requests(name)
        for at, request in enumerate(requests, 1):
            if name in _LIKE_OTHERS and at % 3:
                continue
            for kind in proxy.KILLS:
                if kind == proxy.KILL_AFTER and not _writes(request) and at % 2:
                    continue  # nothing has happened since the kill before
                then = None
                if dice.random() < 0.4:
                    then = dice.choice(proxy.KILLS), dice.randint(1, max(1, len(requests) // 2))
                yield Case(name, kind, at, then, has_child=dice.random() < 0.2)
            if _writes(request) or at % 8 == 0:
                yield Case(name, proxy.DROP_REPLY, at)
            yield from (Case(name, kind, at) for kind in _failures(at, request))


_LIKE_OTHERS = ("skew", "checkpoint", "rederive", "reconcile")
"""Scenes most of whose requests are those of another one: every third of them is enough."""


def _failures(at: int, request: Request) -> Iterator[str]:
    in_turn = (proxy.SLOW_DOWN, "", proxy.DENY, "", proxy.ERROR_500, "", "", proxy.RESET)
    if kind := in_turn[at % len(in_turn)]:
        yield kind
    if request.name.startswith("COPY"):
        yield proxy.ERROR_IN_200
    if request.name.startswith("GET") and request.status == 200 and at % 2:
        yield proxy.TRUNCATE


def run(scale: float, report: Report, names: Sequence[str] = ()) -> dict[str, int]:
    """Play the cases of all scenes, or a share of them, and return what they came to."""
    names = names or [scene.__name__ for scene in scenes.SCENES]
    with World() as world:
        harness = Harness(world)
        found = spread(scale, list(cases(harness, names)))
        report(f"  {len(found)} cases in {len(names)} scenes")
        tally = play(harness, found, take, report)
    report(f"kills: {tally}; {len(tally.hit)} kinds of request were hit")
    return tally.as_dict()
