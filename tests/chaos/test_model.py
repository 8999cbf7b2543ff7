"""The protocol's model in smaller bounds; ``python -m tests.chaos`` explores the whole ones."""

import pytest

from tests.chaos.broken import BROKEN, DataThenWatermark
from tests.chaos.explorer import IDLE, explore
from tests.chaos.model import LAND, Batch, Lake, LandingLog
from tests.chaos.proof import verdict
from tests.chaos.variants import RIGHT, Case


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_the_protocol_loses_nothing_doubles_nothing_and_always_completes(case: Case):
    found = case.explore(is_quick=True)

    assert verdict(case, found) == "", "\n".join(found.trace)
    assert found.states > 1_000


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_broken_variant_is_refuted_by_a_counterexample(case: Case):
    found = case.explore(is_quick=True)

    assert verdict(case, found) == ""
    assert found.trace


def test_the_counterexample_is_a_shortest_one_and_tells_what_happened():
    protocol = DataThenWatermark()
    protocol.ids = 1

    found = explore(protocol, runners=1)

    assert found.fault == "{0} doubled"
    assert found.trace[:4] == [
        "id 0 appears in the source",
        "runner 0 fetches",
        "runner 0 reads the head: {0} new",
        "runner 0 wins CAS-1 of 1 with {0}",
    ]
    # From here a run, alone, takes id 0 again, because the watermark was not advanced.
    alone = [step for step in found.trace[4:] if "a new run, alone" in step]
    assert alone == found.trace[-len(alone) :]
    assert len(found.trace) - len(alone) <= 5


def test_a_lake_with_a_record_in_two_files_is_wrong():
    published = Batch(LAND, 1, 1, staged=1, plan=0, raw=1, marked=True)

    assert LandingLog().wrong(Lake(1, (published,))) == ""
    assert LandingLog().wrong(Lake(1, (published, published))) == "{0} doubled"
    assert LandingLog().wrong(Lake(1, (published._replace(raw=0),))).startswith("{0} lost")


def test_every_step_leads_to_a_step_that_the_protocol_knows():
    protocol = LandingLog()
    lake, place = Lake(offered=0b111), IDLE

    taken = []
    for _ in range(20):
        _, lake, place = protocol.moves(lake, 1, place)[0]
        taken.append(place[0])
        if place == IDLE:
            break

    assert taken == [
        *("propose", "create", "list", "stage", "plan", "copy_raw", "copy_refused", "mark"),
        *("list", "idle"),
    ]
    assert protocol.unfinished(lake) == ""
