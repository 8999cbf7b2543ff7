"""What a checkpoint promises, and that nothing before it is listed or read again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ingestion.commit
from ingestion import ContractError, Settings, land_dumps, rederive
from ingestion.commit import LandingLog
from ingestion.status import keys, status
from tests.ingestion.envelopes import envelope
from tests.ingestion.lakes import MemoryLake, publish_checked, raw_rows, write


@pytest.fixture
def settings(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, memory_lake: MemoryLake
) -> Settings:
    monkeypatch.setattr(ingestion.commit, "CHECKPOINT_EVERY", 3)
    return make_settings()


@pytest.fixture
def land(settings: Settings, fernet_key: str, tmp_path: Path) -> Callable[..., list[str]]:
    def one_batch_each(*ids: int) -> list[str]:
        manifests: list[str] = []
        for number in ids:
            path = write(tmp_path / str(number), [envelope(fernet_key, number)])
            manifests = land_dumps(settings, path)
        return manifests

    return one_batch_each


def test_a_checkpoint_is_written_after_enough_published_batches(
    memory_lake: MemoryLake, settings: Settings, land: Callable
):
    publish_checked(settings, land(1, 2))
    assert LandingLog(memory_lake).checkpoint.seq == 0

    publish_checked(settings, land(3, 4, 5, 6, 7))

    assert list(memory_lake.keys("checkpoint/")) == [
        "checkpoint/access_logs/000000000003.json",
        "checkpoint/access_logs/000000000006.json",
    ]


def test_a_checkpoint_never_passes_an_unpublished_batch(
    memory_lake: MemoryLake, settings: Settings, land: Callable
):
    manifests = land(1, 2, 3, 4)
    publish_checked(settings, manifests[:2])
    publish_checked(settings, manifests[3:])  # waits for the third

    assert LandingLog(memory_lake).checkpoint.seq == 0
    publish_checked(settings, manifests)
    assert LandingLog(memory_lake).checkpoint.seq == 3


def test_nothing_up_to_the_checkpoint_is_listed_and_a_run_goes_on_behind_it(
    memory_lake: MemoryLake, settings: Settings, land: Callable, monkeypatch: pytest.MonkeyPatch
):
    publish_checked(settings, land(1, 2, 3))
    listed: list[str] = []
    keys_of = MemoryLake.keys

    def spied(self: MemoryLake, prefix: str, after: str = "") -> Iterator[str]:
        found = list(keys_of(self, prefix, after))
        listed.extend(found)
        return iter(found)

    monkeypatch.setattr(MemoryLake, "keys", spied)
    sums = publish_checked(settings, land(3, 4))

    assert (sums["batches"], sums["good"]) == (1, 1)
    assert LandingLog(memory_lake).head().settled.count() == 4
    assert not [key for key in listed if key.startswith(("log/", "published/")) and "03." in key]


def test_the_sums_of_status_are_the_same_with_and_without_checkpoints(
    memory_lake: MemoryLake, settings: Settings, land: Callable
):
    publish_checked(settings, land(1, 2, 3, 4))
    publish_checked(settings, rederive(settings, [2]))
    with_checkpoints = status(settings)
    used = keys(settings)

    for key in list(memory_lake.keys("checkpoint/")):
        del memory_lake.objects[key]
    without = status(settings)

    assert with_checkpoints["checkpoint"] == 3
    assert with_checkpoints | {"checkpoint": 0} == without
    assert (without["offered"], without["good"]) == (4, 4)
    assert keys(settings) == used
    assert [key["records"] for key in used] == [4]


def test_a_broken_link_anywhere_is_noticed_before_a_checkpoint_is_written(
    memory_lake: MemoryLake, settings: Settings, land: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ingestion.commit, "CHECKPOINT_EVERY", 4)
    publish_checked(settings, land(1, 2, 3))
    key = "log/access_logs/000000000001.json"
    memory_lake.objects[key] = memory_lake.objects[key].replace(b'"offered":1', b'"offered":2')
    manifests = land(4)  # a run checks the newest link only

    with pytest.raises(ContractError, match="Entry 2 of the landing log does not continue"):
        publish_checked(settings, manifests)

    assert LandingLog(memory_lake).checkpoint.seq == 0
    with pytest.raises(ContractError, match="Entry 2"):
        status(settings)


def test_an_entry_behind_which_the_log_was_cut_off_is_checked_against_the_checkpoint(
    memory_lake: MemoryLake, settings: Settings, land: Callable
):
    publish_checked(settings, land(1, 2, 3))
    key = "log/access_logs/000000000003.json"
    memory_lake.objects[key] = memory_lake.objects[key].replace(b'"offered":1', b'"offered":2')

    with pytest.raises(ContractError, match="Entry 3"):
        land(4)


def test_two_writers_of_a_checkpoint_write_the_same_bytes(
    memory_lake: MemoryLake, settings: Settings, land: Callable
):
    publish_checked(settings, land(1, 2, 3))
    key = "checkpoint/access_logs/000000000003.json"
    written = memory_lake.objects.pop(key)

    LandingLog(memory_lake).advance_checkpoint(3)

    assert memory_lake.objects[key] == written
    assert json.loads(written)["sums"]["offered"] == 3
    assert len(raw_rows(memory_lake)) == 3
