from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import ingestion.replaying
from ingestion import ConfigError, Settings, land_api, land_dumps, replay
from ingestion.commit import LandingLog
from ingestion.quarantine import refused
from ingestion.reasons import Reason
from ingestion.status import status
from tests.ingestion.envelopes import STRANGER, envelope, plaintext, seal
from tests.ingestion.lakes import MemoryLake, markers, publish_checked, raw_rows, write
from tests.ingestion.sources import page, serving

LATE_KEY = Fernet.generate_key().decode()


def in_quarantine(lake: MemoryLake) -> Counter:
    log = LandingLog(lake)
    return Counter((row.record_key, row.reason) for row in refused(lake, log, log.head()))


def add_key(settings: Settings, key: str = LATE_KEY) -> None:
    path = settings.fernet_keys_file
    assert path is not None
    path.write_text(f"{path.read_text()}{key}\n")


def stage_again(settings: Settings) -> list[str]:
    """Stage what waits, by the ring as it is now."""
    with serving(page([])) as (url, _):
        return land_api(replace(settings, source_url=url))


@pytest.fixture
def locked(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
) -> Settings:
    """Three good records, two under a key that is late, one under a key that never comes."""
    settings = make_settings()
    items = [envelope(fernet_key, n) for n in (1, 2, 3)]
    items += [envelope(LATE_KEY, n) for n in (4, 5)] + [envelope(fernet_key, 6)]
    items[-1]["data"] = seal(STRANGER, "x")
    publish_checked(settings, land_dumps(settings, write(tmp_path / "dump", items)))
    return settings


def test_a_key_that_arrives_moves_its_records_into_raw_and_leaves_the_others(
    memory_lake: MemoryLake, locked: Settings
):
    assert in_quarantine(memory_lake).total() == 3
    add_key(locked)

    sums = publish_checked(locked, replay(locked))

    assert (sums["offered"], sums["good"], sums["replayed"]) == (0, 2, 2)
    assert sorted(row["record_id"] for row in raw_rows(memory_lake)) == [1, 2, 3, 4, 5]
    assert in_quarantine(memory_lake) == Counter([("6", "TOKEN_UNKNOWN_KEY")])


def test_a_replay_that_is_repeated_finds_nothing(memory_lake: MemoryLake, locked: Settings):
    add_key(locked)
    publish_checked(locked, replay(locked))
    before = dict(memory_lake.objects)

    assert replay(locked) == []
    assert memory_lake.objects == before


def test_a_replay_that_is_not_published_yet_is_not_made_twice(
    memory_lake: MemoryLake, locked: Settings
):
    add_key(locked)

    assert replay(locked) == replay(locked)
    publish_checked(locked, replay(locked))

    assert Counter(row["record_id"] for row in raw_rows(memory_lake)).most_common(1)[0][1] == 1


def test_the_sums_close_over_batch_and_replay(memory_lake: MemoryLake, locked: Settings):
    add_key(locked)
    publish_checked(locked, replay(locked))

    stands = status(locked)

    assert (stands["offered"], stands["good"], stands["quarantined_now"]) == (6, 5, 1)
    assert stands["quarantine"] == {"TOKEN_UNKNOWN_KEY": 1}
    days = Counter()
    for marker in markers(memory_lake):
        for day in marker["arrival_days"]:
            days.update({name: day[name] for name in day if name != "arrived_date"})
    assert days["offered"] + days["replayed"] == days["good"] + days["quarantined"]
    assert days["quarantined"] - days["replayed"] == 1


def test_a_replay_committed_with_the_key_and_derived_without_it_stays_countable(
    memory_lake: MemoryLake, locked: Settings, make_settings: Callable[..., Settings]
):
    keys = locked.fernet_keys_file
    assert keys is not None
    old_ring = keys.read_text()
    add_key(locked)
    replay(locked)  # committed, staged, and then its runner dies
    keys.write_text(old_ring)

    publish_checked(locked, stage_again(locked))

    assert in_quarantine(memory_lake) == Counter(
        [(n, "TOKEN_UNKNOWN_KEY") for n in ("4", "5", "6")]
    )
    assert status(locked)["quarantined_now"] == 3
    add_key(locked)
    publish_checked(locked, replay(locked))
    assert sorted(row["record_id"] for row in raw_rows(memory_lake)) == [1, 2, 3, 4, 5]
    assert status(locked)["quarantined_now"] == 1


def test_only_the_reason_that_was_asked_for_is_replayed(memory_lake: MemoryLake, locked: Settings):
    add_key(locked)

    assert replay(locked, Reason.FIELD_TYPE) == []
    assert len(replay(locked, Reason.TOKEN_UNKNOWN_KEY)) == 1
    with pytest.raises(ConfigError, match="no reason 'UNKNOWN_KEY'; there are"):
        replay(locked, "UNKNOWN_KEY")


def test_a_contested_id_is_never_replayed(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    claims = [
        envelope(fernet_key, 7),
        envelope(fernet_key, 7, plaintext(7, activity="another")),
    ]
    with serving(page(claims)) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        publish_checked(settings, land_api(settings))

    assert replay(settings) == []
    ((key, reason),) = in_quarantine(memory_lake)
    assert reason == "ID_CONFLICT"
    assert key.startswith("sha256:")


def test_a_changed_zone_stops_a_replay_before_it_is_committed(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    stamp = datetime(2026, 11, 18, 20, tzinfo=UTC).timestamp()  # eight in the evening in Seoul
    items = [
        envelope(fernet_key, 1, ArrivalTimeStamp=stamp),
        envelope(LATE_KEY, 2, ArrivalTimeStamp=stamp),
    ]
    publish_checked(settings, land_dumps(settings, write(tmp_path / "dump", items)))
    add_key(settings)
    moved = replace(settings, source_false_z=False)  # now the same stamp is five in the morning
    before = dict(memory_lake.objects)

    with pytest.raises(ConfigError, match="SOURCE_TIME_ZONE"):
        replay(moved)

    assert memory_lake.objects == before


def test_many_records_are_replayed_in_several_batches(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ingestion.replaying, "MAX_BATCH_RECORDS", 7)
    monkeypatch.setattr(ingestion.replaying, "_TRIED_AT_ONCE", 5)
    settings = make_settings()
    items = [envelope(fernet_key, 0), *(envelope(LATE_KEY, n) for n in range(1, 21))]
    publish_checked(settings, land_dumps(settings, write(tmp_path / "dump", items)))
    add_key(settings)

    manifests = replay(settings)
    sums = publish_checked(settings, manifests)

    assert (len(manifests), sums["replayed"], sums["good"]) == (3, 20, 20)
    assert sorted(row["record_id"] for row in raw_rows(memory_lake)) == list(range(21))
