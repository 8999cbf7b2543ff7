"""Groups of files, landed at once by several runs: nothing is lost, nothing doubled."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import ingestion.landing
from ingestion import ConfigError, Settings, loading
from ingestion.errors import DamagedDump
from tests.ingestion.envelopes import envelope
from tests.ingestion.lakes import MemoryLake, markers, publish_checked, raw_rows


@pytest.fixture
def folder(tmp_path: Path, fernet_key: str) -> Path:
    """Nine files of 20 records each; neighbours share five."""
    for number in range(9):
        items = [envelope(fernet_key, i) for i in range(number * 15, number * 15 + 20)]
        lines = "".join(json.dumps(item) + "\n" for item in items)
        (tmp_path / f"day-{number}.ndjson").write_text(lines)
    return tmp_path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MIN_GROUP_BYTES", 1)
    monkeypatch.setattr(loading, "MAX_GROUPS", 6)
    monkeypatch.setattr(ingestion.landing, "MAX_BATCH_RECORDS", 12)


def test_small_dumps_are_one_group(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], folder: Path
):
    (group,) = loading.groups(make_settings(), str(folder))

    assert (Path(group["first"]).name, Path(group["last"]).name) == ("day-0.ndjson", "day-8.ndjson")


@pytest.mark.parametrize("most", [2, 3, 6, 10, 100])
def test_groups_are_no_more_than_allowed_and_hold_every_file_once(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
):
    monkeypatch.setattr(loading, "MIN_GROUP_BYTES", 1)
    monkeypatch.setattr(loading, "MAX_GROUPS", most)
    (folder / "day-4.ndjson").write_bytes(b"\n" * 200_000)  # one that is larger than all others

    made = loading.groups(make_settings(), str(folder))

    names = sorted(str(file) for file in folder.iterdir())
    covered = [
        name
        for group in made
        for name in names[names.index(group["first"]) : names.index(group["last"]) + 1]
    ]
    assert covered == names
    assert len(made) <= most


@pytest.mark.usefixtures("small")
def test_groups_that_race_take_every_record_once(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], folder: Path
):
    settings = make_settings()
    made = loading.groups(settings, str(folder))
    begin = threading.Barrier(len(made))
    own: list[list[str]] = []

    def land(group: dict[str, str]) -> None:
        begin.wait(60)
        own.append(loading.land_files(settings, str(folder), **group))

    threads = [threading.Thread(target=land, args=[group]) for group in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    manifests = loading.gather(settings)
    sums = publish_checked(settings, manifests)

    assert len(made) > 3
    assert sorted(row["record_id"] for row in raw_rows(memory_lake)) == list(range(140))
    assert sorted(uri for made in own for uri in made) == sorted(manifests), (
        "each run staged its own batches, once"
    )
    assert (sums["offered"], sums["good"], sums["duplicate"]) == (180, 140, 40)
    assert len(markers(memory_lake)) == len(manifests)


@pytest.mark.usefixtures("small")
def test_a_damaged_file_costs_its_group_only_itself_and_clearing_the_task_mends_it(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], folder: Path
):
    settings, damaged = make_settings(), folder / "day-4.ndjson"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-30])
    made = loading.groups(settings, str(folder))

    (bad,) = (group for group in made if group["first"] <= str(damaged) <= group["last"])
    for group in made:
        if group != bad:
            loading.land_files(settings, str(folder), **group)
    with pytest.raises(DamagedDump, match="day-4"):
        loading.land_files(settings, str(folder), **bad)
    damaged.write_bytes(whole)
    loading.land_files(settings, str(folder), **bad)
    publish_checked(settings, loading.gather(settings))

    assert sorted(row["record_id"] for row in raw_rows(memory_lake)) == list(range(140))


def test_gather_stages_what_a_killed_run_has_committed(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    settings = make_settings()
    (group,) = loading.groups(settings, str(folder))
    with monkeypatch.context() as patch:
        patch.setattr("ingestion.staging.derive", lambda *a, **b: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loading.land_files(settings, str(folder), **group)
    assert not list(memory_lake.keys("staging/"))

    publish_checked(settings, loading.gather(settings))

    assert len(raw_rows(memory_lake)) == 140


def test_files_that_are_gone_are_said_to_be(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], folder: Path
):
    settings = make_settings()
    (group,) = loading.groups(settings, str(folder))
    Path(group["last"]).unlink()

    with pytest.raises(ConfigError, match="is not at"):
        loading.land_files(settings, str(folder), **group)
