"""Expiry: what the protocol needs stays, and whatever an operator asks afterwards is answered."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import expectations
import ingestion.quarantine
from expectations import results
from ingestion import (
    ContractError,
    Settings,
    approve,
    compact,
    expire,
    expiring,
    land_dumps,
    publish,
    rederive,
    replay,
)
from ingestion.commit import LandingLog
from ingestion.lake import Lake
from ingestion.publishing import staged_manifests
from ingestion.status import status
from tests.ingestion.conftest import place_lake
from tests.ingestion.envelopes import envelope
from tests.ingestion.lakes import DyingLake, Killed, MemoryLake, publish_checked, raw_rows, write
from tests.ingestion.test_replaying import LATE_KEY, add_key

NOW = datetime(2026, 11, 21, 19, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=400)
EXPIRED = ("landing/", "staging/", "athena-results/")


def now() -> datetime:
    return NOW


def below(lake: MemoryLake, prefix: str) -> set[str]:
    return set(lake.keys(prefix))


def grow_old(lake: MemoryLake, at: datetime = LONG_AGO) -> None:
    lake.written_at.update(dict.fromkeys(lake.objects, at))


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def land(settings: Settings, fernet_key: str, tmp_path: Path) -> Callable[..., list[str]]:
    """Land good records by their ids, and such as no key opens yet."""

    def land(good: list[int], locked: list[int] | None = None) -> list[str]:
        items = [envelope(fernet_key, n) for n in good]
        items += [envelope(LATE_KEY, n) for n in locked or []]
        return land_dumps(settings, write(tmp_path / f"dump-{good[0]}", items))

    return land


@pytest.fixture
def lake(memory_lake: MemoryLake, settings: Settings, land: Callable[..., list[str]]) -> MemoryLake:
    """Two published batches, one fixed by its plan and no further, one staged: all very old."""
    publish_checked(settings, land([1, 2], [3]))
    publish_checked(settings, land([4]))
    (planned,) = land([5])
    approve(settings, planned)
    body = memory_lake.get(memory_lake.key_of(planned))
    assert body is not None
    LandingLog(memory_lake).plan(3, body)
    land([6])
    memory_lake.put("landing/access_logs/000000000002/of-a-loser.json", b"[]")
    memory_lake.put("athena-results/1.csv", b"1")
    grow_old(memory_lake)
    return memory_lake


def test_what_an_unpublished_batch_needs_stays_however_old_it_is(
    lake: MemoryLake, settings: Settings
):
    needed = {key for key in lake.objects if not key.startswith(EXPIRED)}
    needed |= {LandingLog(lake).header(seq).body for seq in (3, 4)}
    needed |= {k for k in lake.objects if k.startswith(("staging/access_logs/00000000000",))}
    needed -= below(lake, "staging/access_logs/000000000001/")
    needed -= below(lake, "staging/access_logs/000000000002/")

    found = expire(settings, now)

    assert set(lake.objects) == needed
    assert found["landing"] == 3  # two of batches, one of a runner that lost
    assert found["query_results"] == 1
    assert set(expire(settings, now).values()) == {0}


def test_age_is_counted_for_each_kind_by_its_own_setting(lake: MemoryLake, settings: Settings):
    for prefix, days in (
        ("athena-results/", settings.keep_query_results_days),
        ("staging/", settings.keep_staging_days),
        ("landing/", settings.keep_landing_days),
    ):
        grow_old(lake, NOW - timedelta(days=days))
        before = below(lake, prefix)
        expire(settings, now)
        assert below(lake, prefix) == before, "not a moment too early"

        grow_old(lake, NOW - timedelta(days=days, seconds=1))
        expire(settings, now)
        assert below(lake, prefix) < before


def test_everything_that_an_operator_may_ask_is_answered_or_refused_clearly(
    lake: MemoryLake, settings: Settings, land: Callable[..., list[str]]
):
    before = raw_rows(lake)
    published = [json.loads(lake.objects[k])["manifest"] for k in below(lake, "plan/")]
    manifests = sorted(lake.uri(key) for key in published)
    expire(settings, now)

    assert status(settings)["unpublished"] == [3, 4]
    assert raw_rows(lake) == before
    # A task of an old run is cleared: what is published is counted, what was checked is gone.
    assert publish(settings, manifests[:2])["good"] == 3
    with pytest.raises(ContractError, match=r"no manifest at .* Land the batch again"):
        approve(settings, manifests[0])
    # Batches of which nothing was lost are published.
    waiting = staged_manifests(settings)
    assert len(waiting) == 2
    assert publish_checked(settings, waiting)["good"] == 2
    # Derived again: not without the records, and nothing is begun.
    head = status(settings)["head"]
    with pytest.raises(ContractError, match="`expire` removes those of published batches"):
        rederive(settings, [1])
    assert status(settings)["head"] == head
    assert publish_checked(settings, rederive(settings, [4]))["good"] == 1
    # Quarantine has its ciphertexts itself.
    log = LandingLog(lake)
    assert [r.record_id for r in ingestion.quarantine.refused(lake, log, log.head())] == [3]
    add_key(settings, LATE_KEY)
    assert publish_checked(settings, replay(settings))["replayed"] == 1
    assert land([1, 2, 4, 5, 6]) == []
    for night in range(2):
        compact(settings, lambda night=night: NOW + timedelta(days=30 + night))
    assert sorted(row["record_id"] for row in raw_rows(lake)) == [1, 2, 3, 4, 5, 6]
    assert status(settings)["unpublished"] == []


def test_a_check_that_is_repeated_for_an_expired_batch_says_so(
    lake: MemoryLake, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(expectations.check, "Lake", lake)
    plan = json.loads(lake.objects["plan/access_logs/000000000001.json"])
    expire(settings, now)

    with pytest.raises(ContractError, match="There is no manifest at"):
        expectations.check_batch(settings, lake.uri(plan["manifest"]))


def test_a_hole_in_the_log_stops_it_before_anything_is_deleted(
    lake: MemoryLake, settings: Settings
):
    lake.delete("log/access_logs/000000000002.json")
    before = dict(lake.objects)

    with pytest.raises(ContractError):
        expire(settings, now)

    assert lake.objects == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_call_and_run_again_it_ends_the_same(
    lake: MemoryLake, settings: Settings, monkeypatch: pytest.MonkeyPatch, when: str
):
    start = dict(lake.objects)
    expire(settings, now)
    expected = dict(lake.objects)
    fatal, happened = 0, True
    while happened:
        fatal += 1
        memory = MemoryLake()
        memory.objects.update(start)
        grow_old(memory)
        dying = DyingLake(memory, fatal, when)
        place_lake(monkeypatch, dying)
        try:
            expire(settings, now)
        except Killed:
            place_lake(monkeypatch, memory)
            expire(settings, now)
        happened = dying.happened
        assert memory.objects == expected, f"call {fatal}"
    assert fatal > 10


def test_a_batch_that_is_committed_while_it_looks_keeps_everything(
    lake: MemoryLake,
    settings: Settings,
    land: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
):
    class Racing(MemoryLake):
        """Lands a batch between the look at the log and the look at the objects."""

        def unchanged_since(self, prefix: str, instant: datetime):
            if not landed:
                place_lake(monkeypatch, lake)
                landed.extend(land([7]))
                # However slow its run was: only the log says that it is needed.
                lake.written_at.update(dict.fromkeys(below(lake, "staging/"), LONG_AGO))
            return super().unchanged_since(prefix, instant)

    landed: list[str] = []
    racing = Racing()
    racing.objects, racing.written_at = lake.objects, lake.written_at
    place_lake(monkeypatch, racing)

    expire(settings, now)

    assert len(landed) == 3
    for manifest in landed:
        approve(settings, manifest)
    assert publish(settings, landed)["good"] == 3


def test_the_newest_result_of_each_suite_stays(memory_lake: MemoryLake):
    def document(suite: str, at: str) -> dict[str, object]:
        return {"suite_name": suite, "meta": {"validation_time": at}, "results": []}

    for suite, at in (
        ("raw", "2026-01-01T00:00:00+00:00"),
        ("raw", "2026-01-02T00:00:00+00:00"),
        ("raw", "2026-11-20T00:00:00+00:00"),
        ("marts", "2026-01-01T00:00:00+00:00"),
    ):
        results.store(memory_lake, document(suite, at))

    assert results.forget(memory_lake, NOW - timedelta(days=90)) == 2
    left = results.latest_of_each_suite(memory_lake)
    assert set(left) == {"raw", "marts"}
    assert len(below(memory_lake, results.PREFIX)) == 2


def test_in_s3_the_age_is_what_s3_says(lake_settings: Settings):
    lake = Lake(lake_settings)
    lake.ensure_bucket()
    lake.put("athena-results/a/1.csv", b"1")
    lake.put("athena-results.csv", b"not below it")
    soon = datetime.now(UTC) + timedelta(days=lake_settings.keep_query_results_days, seconds=5)

    assert expire(lake_settings)["query_results"] == 0
    assert expire(lake_settings, lambda: soon)["query_results"] == 1

    assert list(lake.keys("")) == ["athena-results.csv"]
    assert expiring.QUERY_RESULTS == "athena-results/"
