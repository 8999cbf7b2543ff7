"""A sample of the kill points; ``python -m tests.chaos`` takes all of them."""

import random

import pytest

from tests.chaos import proxy
from tests.chaos.harness import Harness, Tally
from tests.chaos.kills import Case, cases, take
from tests.chaos.proxy import Fault


@pytest.mark.parametrize("scene", ["window", "dump", "half_published", "replay"])
def test_whatever_is_killed_or_fails_one_further_run_completes_and_the_next_changes_nothing(
    harness: Harness, scene: str
):
    tally = Tally()
    found = list(cases(harness, [scene]))
    kills = [case for case in found if case.kind in proxy.KILLS]
    others = [case for case in found if case.kind not in proxy.KILLS]

    dice = random.Random(scene)
    for case in (*dice.sample(kills, 2), dice.choice(others)):
        take(harness, case, tally)

    assert tally.complaints == []
    assert tally.kills >= 2
    assert tally.faults == 1
    assert harness.world.zygote.orphans() == 0


def test_a_key_that_comes_between_a_killed_run_and_the_next_doubles_nothing(harness: Harness):
    tally = Tally()
    names = [request.name for request in harness.requests("skew")]

    for name in ("COPY quarantine", "PUT published if absent"):
        take(harness, Case("skew", proxy.KILL_BEFORE, names.index(name) + 1), tally)

    assert tally.complaints == []
    assert tally.kills == 2


@pytest.mark.parametrize("name", ["PUT log if absent", "PUT plan if absent"])
def test_a_runner_knows_its_own_bytes_when_the_reply_to_a_cas_was_lost(harness: Harness, name: str):
    _, job, _ = harness.scene("window").play(harness.world)
    lost = Fault(proxy.DROP_REPLY, 1, lambda request: request == name)

    outcome = harness.world.run({**job, "has_child": False}, lost)

    tried = [request for request in outcome.watch.requests if request.name == name]
    assert outcome.code == 0
    assert [(request.status, request.fault) for request in tried] == [
        (200, proxy.DROP_REPLY),
        (412, ""),
    ]
    assert outcome.told["land_api"]["batches"] == 1


def test_a_denied_request_ends_the_run_cleanly(harness: Harness):
    tally = Tally()
    names = [request.name for request in harness.requests("window")]

    take(harness, Case("window", proxy.DENY, names.index("COPY raw") + 1), tally)

    assert tally.complaints == []
    assert tally.faults == 1


def test_a_fault_that_did_not_happen_is_told(harness: Harness):
    tally = Tally()

    take(harness, Case("window", proxy.KILL_BEFORE, 999), tally)

    assert tally.kills == 0
    assert "the fault did not happen" in tally.complaints[0]


def test_a_planted_bug_is_noticed_by_a_kill(harness: Harness):
    tally = Tally()
    names = [request.name for request in harness.requests("skew")]
    case = Case("skew", proxy.KILL_AFTER, names.index("COPY raw") + 1)

    take(harness, case, tally, bug="the marker before the copies")

    assert tally.lost


def test_the_real_runner_writes_in_the_order_that_the_model_explores(harness: Harness):
    written = [r.name for r in harness.requests("window") if r.name.startswith(("PUT", "COPY"))]

    assert [name for name in written if name != "PUT staging"] == [
        "PUT landing",
        "PUT log if absent",
        "PUT staging/manifest.json",
        "PUT staging/checked.json",
        "PUT plan if absent",
        "COPY raw",
        "COPY quarantine",
        "PUT published if absent",
    ]
