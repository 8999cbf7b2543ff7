"""Compaction: the same rows in fewer files, whatever is killed, repeated, raced or late."""

import contextlib
import io
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pyathena
import pytest

from ingestion import (
    ContractError,
    LakeUnavailable,
    Settings,
    compact,
    compacting,
    land_dumps,
    publish,
    rederive,
)
from ingestion.lake import Lake
from tests.ingestion.conftest import place_lake
from tests.ingestion.envelopes import envelope, plaintext
from tests.ingestion.lakes import (
    DyingLake,
    Killed,
    MemoryLake,
    markers,
    publish_checked,
    raw_rows,
    write,
)

FIRST = datetime(2026, 11, 17, 1, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 21, 19, 30, tzinfo=UTC)
"""When the nineteenth of November, by the source's clock, is over for good."""

Shipped = Callable[..., None]


def nights(count: int) -> list[datetime]:
    return [NIGHT + timedelta(days=n) for n in range(count)]


def at(now: datetime) -> Callable[[], datetime]:
    return lambda: now


def files(lake: MemoryLake | Lake) -> list[str]:
    return sorted(lake.keys("raw/access_logs/"))


def rows(lake: MemoryLake | Lake) -> list[tuple[Any, ...]]:
    """Return every row of raw in an order of its own."""
    return sorted(tuple(sorted(row.items(), key=str)) for row in raw_rows(lake))


@pytest.fixture
def ship(make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path) -> Shipped:
    """Land and publish one batch per list of (id, day after the first)."""

    def ship(settings: Settings, *batches: list[tuple[int, int]]) -> None:
        for records in batches:
            items = [
                envelope(fernet_key, i, plaintext(i, FIRST + timedelta(days=d, seconds=i)))
                for i, d in records
            ]
            uri = write(tmp_path / f"dump-{records[0][0]}", items)
            publish_checked(settings, land_dumps(settings, uri))

    return ship


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def shipped(memory_lake: MemoryLake, settings: Settings, ship: Shipped) -> MemoryLake:
    """Four batches: two days that three of them touch, and one that a single batch has alone."""
    ship(settings, [(1, 0), (2, 0), (3, 1)], [(4, 0), (5, 1)], [(6, 1), (7, 0)], [(8, 2)])
    return memory_lake


def test_the_rows_stay_and_the_files_become_one_a_day(shipped: MemoryLake, settings: Settings):
    before = rows(shipped)
    names = files(shipped)

    first = compact(settings, at(NIGHT))
    assert files(shipped) == names  # closed: nothing is rewritten yet
    second = compact(settings, at(NIGHT + timedelta(days=1)))

    assert (first["closed"], first["rewritten"], first["waiting"]) == (2, 0, 2)
    assert second == {
        **{"rewritten": 2, "merged": 6, "into": 2, "dropped": 0, "rows": 7},
        **{"closed": 0, "waiting": 0},
    }
    assert rows(shipped) == before
    assert [name.split("/")[2] for name in files(shipped)] == [
        *("dt=2026-11-17", "dt=2026-11-18", "dt=2026-11-19")
    ]
    assert {row["batch_seq"] for row in raw_rows(shipped)} == {1, 2, 3, 4}
    again = dict(shipped.objects)
    assert compact(settings, at(NIGHT + timedelta(days=2)))["rewritten"] == 0
    assert shipped.objects == again


def test_a_merged_file_is_sorted_by_time(shipped: MemoryLake, settings: Settings):
    for night in nights(2):
        compact(settings, at(night))

    body = shipped.get(next(key for key in files(shipped) if "merged=" in key))
    assert body is not None
    table = pq.read_table(io.BytesIO(body))
    assert table["record_id"].to_pylist() == [1, 2, 4, 7]


def test_a_day_that_may_still_change_and_a_batch_that_nobody_sees_are_left_alone(
    shipped: MemoryLake, settings: Settings, ship: Shipped, fernet_key: str, tmp_path: Path
):
    early = FIRST + timedelta(days=2, hours=13)  # 48 hours before, it was the seventeenth
    assert compact(settings, at(early))["closed"] == 0
    uri = write(tmp_path / "later", [envelope(fernet_key, 9, plaintext(9, FIRST))])
    land_dumps(settings, uri)
    shipped.put("raw/access_logs/dt=2026-11-17/seq=000000000005-0.parquet", b"half a batch")

    for night in nights(2):
        compact(settings, at(night))

    assert "raw/access_logs/dt=2026-11-17/seq=000000000005-0.parquet" in files(shipped)
    assert list(shipped.keys("staging/access_logs/000000000005/"))


def test_staging_goes_first_and_the_files_only_an_hour_later(
    shipped: MemoryLake, settings: Settings
):
    compact(settings, at(NIGHT))

    assert [key for key in shipped.objects if key.startswith("staging/")] == [
        key for key in shipped.objects if key.startswith("staging/access_logs/000000000004/")
    ]
    almost = NIGHT + compacting.CLOSED_FOR - timedelta(milliseconds=1)
    assert compact(settings, at(almost))["waiting"] == 2
    assert not [name for name in files(shipped) if "merged=" in name]
    assert compact(settings, at(NIGHT + compacting.CLOSED_FOR))["rewritten"] == 2


def test_a_publisher_that_slept_through_it_copies_nothing_back(
    shipped: MemoryLake, settings: Settings
):
    seen: list[str] = []

    class Sleepy(MemoryLake):
        """Stops before its first copy until the day is compacted."""

        def get(self, key: str) -> bytes | None:
            if key.startswith("published/") and not seen:
                return None  # as it was when this publisher looked
            return super().get(key)

        def copy(self, source: str, target: str, size: int) -> None:
            if not seen:
                seen.append(target)
                with pytest.MonkeyPatch.context() as patch:
                    place_lake(patch, shipped)
                    for night in nights(2):
                        compact(settings, at(night))
            super().copy(source, target, size)

    zombie = Sleepy()
    zombie.bucket, zombie.objects = shipped.bucket, shipped.objects
    manifest = json.loads(shipped.objects["plan/access_logs/000000000001.json"])["manifest"]
    before = rows(shipped)

    with pytest.MonkeyPatch.context() as patch:
        place_lake(patch, zombie)
        with pytest.raises(ContractError, match="gone"):
            publish(settings, [shipped.uri(manifest)])

    assert seen
    assert rows(shipped) == before
    assert len(files(shipped)) == 3


def test_a_late_batch_stays_beside_until_there_are_two(
    shipped: MemoryLake, settings: Settings, ship: Shipped
):
    for night in nights(2):
        compact(settings, at(night))
    merged = [name for name in files(shipped) if "merged=" in name]
    ship(settings, [(20, 0)])
    for night in nights(4)[2:]:
        assert compact(settings, at(night))["closed"] == 0
    ship(settings, [(21, 0)])
    before = rows(shipped)

    for night in nights(6)[4:]:
        compact(settings, at(night))

    assert rows(shipped) == before
    day = [name for name in files(shipped) if "dt=2026-11-17" in name]
    assert len(day) == 2
    assert set(merged) < set(files(shipped))  # what is merged is never touched again


def test_rows_of_superseded_batches_are_left_out(
    shipped: MemoryLake, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    publish_checked(settings, rederive(settings, [2]))
    replaced = {seq for marker in markers(shipped) for seq in marker["supersedes"]}
    before = [row for row in rows(shipped) if dict(row)["batch_seq"] not in replaced]

    for night in nights(2):
        found = compact(settings, at(night))

    assert replaced == {2}
    assert (found["dropped"], found["into"]) == (2, 2)
    assert rows(shipped) == before
    assert {row["batch_seq"] for row in raw_rows(shipped)} == {1, 3, 4, 5}


def test_a_batch_whose_successor_is_not_published_is_not_left_out(
    shipped: MemoryLake, settings: Settings
):
    rederive(settings, [2])  # nobody has checked it: readers see batch 2
    before = rows(shipped)

    for night in nights(2):
        assert compact(settings, at(night))["dropped"] == 0

    assert rows(shipped) == before


def test_files_are_merged_up_to_a_size_and_no_further(
    shipped: MemoryLake, settings: Settings, ship: Shipped, monkeypatch: pytest.MonkeyPatch
):
    ship(settings, [(9, 0)], [(10, 0)])
    sizes = dict(shipped.list_uris(shipped.uri("raw/access_logs/dt=2026-11-17/")))
    monkeypatch.setattr(compacting, "TARGET_BYTES", sum(list(sizes.values())[:2]))
    before = rows(shipped)

    for night in nights(2):
        compact(settings, at(night))

    day = [name for name in files(shipped) if "dt=2026-11-17" in name]
    assert len(sizes) == 5
    assert len(day) == 3
    assert rows(shipped) == before


@pytest.mark.parametrize("fatal_night", [0, 1])
@pytest.mark.parametrize("when", ["before", "after", "lost reply"])
def test_killed_at_any_call_and_run_again_it_ends_right(
    shipped: MemoryLake,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    fatal_night: int,
    when: str,
):
    publish_checked(settings, rederive(settings, [2]))
    start = dict(shipped.objects)
    superseded = {seq for marker in markers(shipped) for seq in marker["supersedes"]}
    expected = {row for row in rows(shipped) if dict(row)["batch_seq"] not in superseded}
    fatal, happened = 0, True
    while happened:
        fatal += 1
        memory = MemoryLake()
        memory.objects.update(start)
        dying = DyingLake(memory, fatal, when)
        for number, night in enumerate(nights(5)):
            place_lake(monkeypatch, dying if number == fatal_night else memory)
            with contextlib.suppress(Killed, LakeUnavailable):
                compact(settings, at(night))
            found = [row for row in rows(memory) if dict(row)["batch_seq"] not in superseded]
            assert set(found) == expected, f"a reader lost rows after call {fatal}"
        happened = dying.happened
        assert rows(memory) == sorted(expected), f"call {fatal}, {when}"
        assert len(files(memory)) == 3
        assert compact(settings, at(nights(6)[5]))["waiting"] == 0
    assert fatal > 20


@pytest.mark.parametrize("seed", range(8))
def test_racing_runs_end_right(
    shipped: MemoryLake, settings: Settings, seed: int, monkeypatch: pytest.MonkeyPatch
):
    expected = rows(shipped)
    barrier = threading.Barrier(4)
    faults: list[Exception] = []

    def race(night: datetime) -> None:
        barrier.wait()
        try:
            compact(settings, at(night))
        except Exception as error:
            faults.append(error)

    for night in nights(3):
        threads = [threading.Thread(target=race, args=(night,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert not faults
    assert rows(shipped) == expected
    assert len(files(shipped)) == 3


def test_a_second_rewriter_that_wakes_up_late_writes_no_part_of_a_file(
    shipped: MemoryLake, settings: Settings
):
    compact(settings, at(NIGHT))
    before = rows(shipped)
    seen: list[str] = []

    class Sleepy(MemoryLake):
        """Reads the first small file, and the second one when a twin has deleted it."""

        def get(self, key: str) -> bytes | None:
            found = super().get(key)
            if "/seq=" in key and not seen:
                seen.append(key)
                with pytest.MonkeyPatch.context() as patch:
                    place_lake(patch, shipped)
                    compact(settings, at(NIGHT + timedelta(days=1)))
            return found

    late = Sleepy()
    late.bucket, late.objects = shipped.bucket, shipped.objects
    with pytest.MonkeyPatch.context() as patch:
        place_lake(patch, late)
        compact(settings, at(NIGHT + timedelta(days=1)))

    assert seen
    assert rows(shipped) == before


def test_a_small_file_that_somebody_else_deleted_stops_its_day_alone(
    shipped: MemoryLake, settings: Settings
):
    compact(settings, at(NIGHT))
    shipped.delete("raw/access_logs/dt=2026-11-17/seq=000000000002-0.parquet")
    names = [name for name in files(shipped) if "dt=2026-11-17" in name]

    with pytest.raises(ContractError, match=r"seq=000000000002-0\.parquet is gone"):
        compact(settings, at(NIGHT + timedelta(days=1)))

    assert [name for name in files(shipped) if "dt=2026-11-17" in name] == names
    assert len([name for name in files(shipped) if "dt=2026-11-18" in name]) == 1


def test_a_file_that_is_not_ours_stops_the_day(shipped: MemoryLake, settings: Settings):
    compact(settings, at(NIGHT))
    shipped.put("raw/access_logs/dt=2026-11-17/seq=000000000002-0.parquet", b"PAR1 and no more")
    names = [name for name in files(shipped) if "dt=2026-11-17" in name]

    with pytest.raises(ContractError, match="not as ingestion writes it"):
        compact(settings, at(NIGHT + timedelta(days=1)))

    assert [name for name in files(shipped) if "dt=2026-11-17" in name] == names


def test_athena_reads_the_same_rows_before_between_and_after(
    lake_settings: Settings, ship: Shipped, monkeypatch: pytest.MonkeyPatch
):
    ship(lake_settings, [(1, 0), (2, 0), (3, 1)], [(4, 0), (5, 1)], [(6, 1), (7, 0)])
    lake = Lake(lake_settings)
    cursor = pyathena.connect(
        s3_staging_dir=f"s3://{lake.bucket}/athena-results/", poll_interval=0.02
    ).cursor()
    query = f"select * from {lake_settings.raw_database}.access_logs order by record_id"

    def read() -> list[tuple[Any, ...]]:
        return list(cursor.execute(query).fetchall())

    before = read()
    compact(lake_settings, at(NIGHT))
    kept = {}
    delete = Lake.delete
    with monkeypatch.context() as patch:
        # Killed when all is written and nothing deleted: the only time at which rows are doubled.
        patch.setattr(Lake, "delete", lambda self, key: kept.setdefault(key, 1) / 0)
        with pytest.raises(ZeroDivisionError):
            compact(lake_settings, at(NIGHT + timedelta(days=1)))
    assert Lake.delete is delete
    between = read()
    compact(lake_settings, at(NIGHT + timedelta(days=2)))
    after = read()

    assert len(before) == 7
    assert set(between) == set(before)
    assert after == before
    assert len(files(lake)) == 2
