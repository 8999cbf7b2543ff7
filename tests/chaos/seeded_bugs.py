"""Eight bugs, planted into the real code of a runner: each has to be caught by a short harness.

A harness that finds nothing has only been worth its time if it finds these.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.chaos import proxy
from tests.chaos.harness import Harness, Report, Tally
from tests.chaos.kills import Case, take
from tests.chaos.overtakes import RUNNERS, overtake, polls
from tests.chaos.world import World


def plant(name: str) -> None:
    """Break the real code, in this process only."""
    BUGS[name]()


def _create_overwrites() -> None:
    from ingestion.lake import Lake

    def create(lake: Lake, key: str, body: bytes) -> bool:
        lake.put(key, body, "application/json")
        return True

    Lake.create = create


def _watermark_is_not_carried() -> None:
    from ingestion.settled import Settled

    Settled.union = lambda self, ids: Settled((i, i) for i in ids)


def _no_plan_cas() -> None:
    from ingestion.commit import LandingLog

    LandingLog.planned = lambda log, seq: None

    def plan(log: LandingLog, seq: int, manifest: bytes) -> Any:
        log._lake.put(log.key("plan", seq), manifest)
        return json.loads(manifest)

    LandingLog.plan = plan


def _no_recovery() -> None:
    from ingestion.commit import LandingLog

    LandingLog.unpublished = lambda log: []


def _lost_cas_is_taken_for_won() -> None:
    from ingestion import lake

    class Equal(bytes):
        __hash__ = bytes.__hash__

        def __eq__(self, other: object) -> bool:
            return True

    create = lake.Lake.create
    lake.Lake.create = lambda self, key, body: create(self, key, Equal(body))


def _marker_before_copies() -> None:
    from ingestion import publishing

    publish = publishing._publish

    def marked_first(lake: Any, log: Any, seq: int, key: str) -> Any:
        mark, copies = log.mark, []
        lake_copy = lake.copy
        lake.copy = lambda *arguments: copies.append(arguments)
        log.mark = lambda marker: (mark(marker), [lake_copy(*one) for one in copies])[0]
        try:
            return publish(lake, log, seq, key)
        finally:
            del lake.copy, log.mark

    publishing._publish = marked_first


def _no_duplicate_check() -> None:
    from ingestion.ledger import IdRanges

    IdRanges.__contains__ = lambda self, record_id: False
    IdRanges.known = lambda self, ids: frozenset()


def _copies_are_not_verified() -> None:
    from ingestion.errors import IngestionError
    from ingestion.lake import Lake

    copy = Lake.copy

    def hopeful(lake: Lake, source: str, target: str, size: int) -> None:
        with contextlib.suppress(IngestionError):
            copy(lake, source, target, size)

    Lake.copy = hopeful


BUGS: dict[str, Callable[[], None]] = {
    "create without If-None-Match": _create_overwrites,
    "the watermark is not carried on": _watermark_is_not_carried,
    "publish without CAS-2": _no_plan_cas,
    "no recovery": _no_recovery,
    "a 412 is success, whoever won": _lost_cas_is_taken_for_won,
    "the marker before the copies": _marker_before_copies,
    "no duplicate check": _no_duplicate_check,
    "copies are not verified": _copies_are_not_verified,
}


def run(report: Report) -> dict[str, int]:
    """Plant each bug in turn, and return how many were noticed."""
    caught = 0
    with World(RUNNERS) as world:
        harness = Harness(world)
        trials = list(short_harness(harness))
        for name in BUGS:
            finding = _noticed(trials, name)
            caught += bool(finding)
            report(f"  {'caught' if finding else 'MISSED'} {name}: {finding}")
    report(f"seeded bugs: {caught} of {len(BUGS)} caught")
    return {"bugs": len(BUGS), "caught": caught}


Trial = Callable[..., None]


def short_harness(harness: Harness) -> Iterator[Trial]:
    """Yield trials that take a tally and a bug: runners that are overtaken, killed, failed."""
    pair = polls(harness.world)
    for at, request in enumerate(pair.requests, 1):
        if request.name.endswith("if absent"):
            yield _sleep(harness, pair, at)
    for name in ("skew", "window"):
        for at, request in enumerate(harness.requests(name), 1):
            kinds: list[str] = []
            if request.name.startswith(("PUT log", "PUT published")):
                kinds = [proxy.KILL_BEFORE, proxy.KILL_AFTER]
            elif request.name.startswith("COPY"):
                kinds = [proxy.KILL_AFTER, proxy.DENY]
            yield from (_kill(harness, Case(name, kind, at)) for kind in kinds)


def _kill(harness: Harness, case: Case) -> Trial:
    return lambda tally, **more: take(harness, case, tally, **more)


def _sleep(harness: Harness, pair: Any, at: int) -> Trial:
    return lambda tally, **more: overtake(harness.world, pair, at, tally, **more)


def _noticed(trials: list[Trial], bug: str) -> str:
    """Return the first trial in which something was lost or doubled, or a runner gave up.

    The latter is how a second line of defence answers; without a bug, no runner does.
    """
    for number, trial in enumerate(trials, 1):
        tally = Tally()
        trial(tally, bug=bug)
        telling = [
            said
            for said in tally.complaints
            if any(words in said for words in ("lost: ", "doubled: ", "a runner ended with"))
        ]
        if telling:
            return f"trial {number} of {len(trials)}: {telling[0][:200]}"
    return ""
