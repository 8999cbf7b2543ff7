"""Ids with holes: whatever is sealed, the answers are those of a plain set."""

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

import ingestion.landing
from ingestion import ContractError, Settings, land_dumps, settled
from ingestion.commit import LandingLog
from ingestion.headers import Header
from ingestion.ledger import IdRanges
from ingestion.settled import Settled
from ingestion.status import status
from tests.ingestion.envelopes import envelope
from tests.ingestion.lakes import MemoryLake, publish_checked, raw_rows, write


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled, "KEPT_RANGES", 20)
    monkeypatch.setattr(settled, "SEALED_RANGES", 30)


def stored(made: Settled, objects: dict[str, bytes]) -> Settled:
    """Return what a header and the objects say, as another process reads it."""
    objects.update(made.objects)
    ranges, seals = json.loads(json.dumps([made.ranges(), made.seals()]))
    return Settled(ranges, seals, objects.__getitem__)


def in_order(dice: random.Random) -> list[int]:
    return sorted(dice.sample(range(5_000), 2_500))


def every_other(dice: random.Random) -> list[int]:
    return list(range(0, 6_000, 2))


def in_two_places(dice: random.Random) -> list[int]:
    low, high = range(0, 2_400, 2), range(10_000, 12_400, 2)
    return [each for pair in zip(low, high, strict=True) for each in pair]


def late_ones(dice: random.Random) -> list[int]:
    return [*range(0, 3_000, 3), *range(1, 3_000, 3), *range(6_000, 7_000)]


def backwards(dice: random.Random) -> list[int]:
    return list(range(4_000, 0, -2))


def at_random(dice: random.Random) -> list[int]:
    return dice.sample(range(4_000), 2_500)


@pytest.mark.parametrize(
    "order", [in_order, every_other, in_two_places, late_ones, backwards, at_random]
)
@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_sealed_the_answers_are_those_of_a_set(
    order: Callable[[random.Random], list[int]], seed: int
):
    dice = random.Random(seed)
    coming, taken = order(dice), set()
    ids, objects = Settled(), {}
    while coming:
        size = dice.randrange(1, 200)
        new, coming = coming[:size], coming[size:]
        truth = IdRanges((i, i) for i in taken)
        grown = IdRanges((i, i) for i in [*taken, *new])
        assert ids.overtaken(new) == grown.gaps_beyond(truth)
        taken.update(new)
        ids = stored(ids.union(new), objects)

        low, high = sorted(dice.sample(range(-10, 13_000), 2))
        asked = set(range(low, high)) if dice.random() < 0.5 else set(new)
        assert set(ids.known(asked)) == asked & taken
        assert all((i in ids) == (i in taken) for i in dice.sample(range(13_000), 20))
        assert ids.count() == len(taken)
        assert ids.count_within(low, high) == sum(low <= i <= high for i in taken)
        assert ids.missing() == grown.missing()
        assert ids.cursor(25) == grown.cursor(25)
        assert ids.span() == (min(taken), max(taken))
        assert len(ids.ranges()) < 50
        spans = ids.seals()
        assert all(one[1] < other[0] for one, other in pairwise(spans))
    assert list(ids) == list(IdRanges((i, i) for i in taken))
    assert ids.gaps() == IdRanges((i, i) for i in taken).gaps()


def test_a_header_does_not_grow_with_its_holes():
    ids, objects, sizes = Settled(), {}, []
    for begin in range(0, 60_000, 600):
        ids = stored(ids.union(range(begin, begin + 600, 2)), objects)
        sizes.append(len(json.dumps([ids.ranges(), ids.seals()])))

    # 30,000 ids in as many ranges: a hundred bytes for each thirty, 3,000 in reality 10,000.
    assert sizes[-1] < 100 * 1_000 + 2_000
    assert all(len(json.loads(body)) <= 30 for body in objects.values())


def test_ids_that_are_not_asked_for_are_not_read():
    ids = Settled().union(range(0, 2_000, 2))
    assert ids.seals()

    unread = Settled(ids.ranges(), ids.seals())
    grown = unread.union(range(2_000, 4_000, 2))

    assert grown.known(set(range(5_000, 6_000))) == set()
    assert grown.cursor(25) == 3_972
    assert grown.overtaken([4_001]) == [(3_999, 4_000)]
    with pytest.raises(ContractError, match="sealed"):
        assert 100 in unread


def header(lake: MemoryLake, seq: int) -> Header:
    return LandingLog(lake).header(seq)


@pytest.mark.parametrize("size", [60, 200])
def test_a_source_with_holes_is_landed_once_however_often_it_is_offered(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
):
    monkeypatch.setattr(ingestion.landing, "MAX_BATCH_RECORDS", size)
    settings = make_settings(SOURCE_CONSECUTIVE_IDS="true")
    items = [envelope(fernet_key, number) for number in range(0, 800, 2)]
    first = write(tmp_path / "first", items)
    again = write(tmp_path / "again", [*items, envelope(fernet_key, 31), envelope(fernet_key, 801)])

    publish_checked(settings, land_dumps(settings, first))
    sealed = header(memory_lake, len(LandingLog(memory_lake).seqs("log"))).sealed
    sums = publish_checked(settings, land_dumps(settings, again))

    assert sealed
    assert (sums["offered"], sums["good"], sums["duplicate"]) == (402, 2, 400)
    assert sorted(row["record_id"] for row in raw_rows(memory_lake)) == sorted(
        [*range(0, 800, 2), 31, 801]
    )
    told = status(settings)
    assert (told["lowest_id"], told["highest_id"], told["missing_ids"]) == (0, 801, 400)


def test_a_sealed_object_that_was_changed_or_lost_is_no_empty_set(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
):
    settings = make_settings()
    items = [envelope(fernet_key, number) for number in range(0, 800, 2)]
    uri = write(tmp_path / "dump", items)
    publish_checked(settings, land_dumps(settings, uri))
    key = next(iter(memory_lake.keys("settled/")))
    body = memory_lake.objects.pop(key)

    with pytest.raises(ContractError, match="was there and is gone"):
        land_dumps(settings, uri)
    memory_lake.objects[key] = body.replace(b"[[", b"[[ ")
    with pytest.raises(ContractError, match="was changed"):
        land_dumps(settings, uri)
    memory_lake.objects[key] = body
    assert land_dumps(settings, uri) == []
