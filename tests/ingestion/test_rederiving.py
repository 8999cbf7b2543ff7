from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ingestion import (
    ConfigError,
    ContractError,
    Settings,
    batches,
    land_dumps,
    records,
    rederive,
    replay,
)
from ingestion.commit import LandingLog
from ingestion.records import Good, Refusal
from ingestion.status import status
from tests.ingestion.envelopes import envelope, plaintext, population
from tests.ingestion.lakes import MemoryLake, markers, publish_checked, raw_rows, write
from tests.ingestion.test_replaying import LATE_KEY, add_key, in_quarantine


def counting(lake: MemoryLake) -> list[dict]:
    """Return the raw rows that readers see."""
    superseded = {seq for marker in markers(lake) for seq in marker["supersedes"]}
    return [row for row in raw_rows(lake) if row["batch_seq"] not in superseded]


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable], None]:
    """Put a changed decoder in place of the present one, in this process."""
    original = records.decode

    def change(edit: Callable[[Good | Refusal], Good | Refusal]) -> None:
        monkeypatch.setattr(records, "decode", lambda *a: edit(original(*a)))
        # So that every record takes the road that is edited.
        monkeypatch.setattr(batches, "MIN_ROWS", 10**9)
        monkeypatch.setattr("ingestion.staging.derive", records.derive)

    return change


def shout(result: Good | Refusal) -> Good | Refusal:
    if isinstance(result, Refusal):
        return result
    columns = list(result.columns)
    columns[2] = str(columns[2]).upper()
    return Good(tuple(columns), result.event_day, result.arrival_day)


def test_a_corrected_decoder_replaces_every_row_of_a_batch_at_once(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    decoder: Callable,
):
    settings = make_settings()
    items = population([fernet_key], 200, seed=11)
    publish_checked(settings, land_dumps(settings, write(tmp_path / "dump", items)))
    before = {row["record_id"]: row for row in counting(memory_lake)}
    sums = status(settings)
    decoder(shout)

    manifests = rederive(settings, [1])
    assert {row["batch_seq"] for row in counting(memory_lake)} == {1}  # nobody has checked it yet
    publish_checked(settings, manifests)

    after = counting(memory_lake)
    assert len(after) == len(before) > 100
    for row in after:
        old = before[row["record_id"]]
        assert row["activity"] == str(old["activity"]).upper()
        assert row["landed_at"] == old["landed_at"]
        assert (row["batch_seq"], old["batch_seq"]) == (2, 1)
    same = ("offered", "good", "quarantined_now", "duplicate", "quarantine", "keys")
    again = status(settings)
    assert {name: again[name] for name in same} == {name: sums[name] for name in same}
    assert again["superseded"] == 1


def test_days_that_a_batch_leaves_are_named_by_the_batch_that_replaces_it(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    decoder: Callable,
):
    settings = make_settings()
    publish_checked(
        settings, land_dumps(settings, write(tmp_path / "dump", [envelope(fernet_key, 1)]))
    )
    ((day,),) = ([d["dt"] for d in marker["event_days"]] for marker in markers(memory_lake))

    def a_day_later(result: Good | Refusal) -> Good | Refusal:
        assert isinstance(result, Good)
        columns = list(result.columns)
        columns[8] += 86_400_000
        return Good(tuple(columns), "2026-11-20", result.arrival_day)

    decoder(a_day_later)
    publish_checked(settings, rederive(settings, [1]))

    days = {each["dt"]: each["rows"] for each in markers(memory_lake)[1]["event_days"]}
    assert days == {day: 0, "2026-11-20": 1}


def test_what_a_replay_took_out_stays_with_the_replay(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    items = [envelope(fernet_key, 1), envelope(LATE_KEY, 2), envelope(fernet_key, 3, "junk")]
    publish_checked(settings, land_dumps(settings, write(tmp_path / "dump", items)))
    add_key(settings)
    publish_checked(settings, replay(settings))

    publish_checked(settings, rederive(settings, [1]))
    publish_checked(settings, rederive(settings, [2]))  # the replay itself
    publish_checked(settings, rederive(settings, [3]))  # and the first one, in its new form

    assert sorted(row["record_id"] for row in counting(memory_lake)) == [1, 2]
    assert in_quarantine(memory_lake) == Counter([("3", "PLAINTEXT_SYNTAX")])
    stands = status(settings)
    assert (stands["offered"], stands["good"], stands["quarantined_now"]) == (3, 2, 1)
    assert stands["quarantine"] == {"PLAINTEXT_SYNTAX": 1}
    assert replay(settings) == []


def test_a_record_refused_three_times_and_derived_again_is_never_lost(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    # The shortest trace that the state model found against an earlier version.
    settings = make_settings()
    keys = settings.fernet_keys_file
    assert keys is not None
    items = [envelope(fernet_key, 1), envelope(LATE_KEY, 2)]
    publish_checked(settings, land_dumps(settings, write(tmp_path / "dump", items)))
    old_ring = keys.read_text()
    for _ in range(2):
        add_key(settings)
        replay(settings)
        keys.write_text(old_ring)
        publish_checked(settings, land_dumps(settings, str(tmp_path / "dump")))

    for seq in (1, 2, 3):
        publish_checked(settings, rederive(settings, [seq]))

    assert in_quarantine(memory_lake) == Counter([("2", "TOKEN_UNKNOWN_KEY")])
    assert status(settings)["quarantined_now"] == 1
    add_key(settings)
    publish_checked(settings, replay(settings))
    assert sorted(row["record_id"] for row in counting(memory_lake)) == [1, 2]


def test_what_cannot_be_derived_again_is_refused_with_its_reason(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    publish_checked(
        settings, land_dumps(settings, write(tmp_path / "a", [envelope(fernet_key, 1)]))
    )
    land_dumps(settings, write(tmp_path / "b", [envelope(fernet_key, 2)]))

    with pytest.raises(ConfigError, match="no batch 3"):
        rederive(settings, [3])
    with pytest.raises(ConfigError, match="2 is not published yet"):
        rederive(settings, [2])
    rederive(settings, [1])
    with pytest.raises(ConfigError, match="1 is superseded already"):
        rederive(settings, [1])


def test_a_landing_body_that_is_gone_is_named(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    settings = make_settings()
    publish_checked(
        settings, land_dumps(settings, write(tmp_path / "a", [envelope(fernet_key, 1)]))
    )
    del memory_lake.objects[LandingLog(memory_lake).header(1).body]
    before = dict(memory_lake.objects)

    with pytest.raises(ContractError, match="KEEP_LANDING_DAYS"):
        rederive(settings, [1])

    assert memory_lake.objects == before


def test_conflicts_keep_their_place_when_a_batch_is_derived_again(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    other = Fernet(fernet_key).encrypt(b"{'user_id': 'else', 'inDate': '2026-11-19T10:00:00Z'}")
    items = [envelope(fernet_key, 1), envelope(fernet_key, 1, data=other.decode())]
    settings = make_settings()
    publish_checked(settings, land_dumps(settings, write(tmp_path / "dump", items)))

    publish_checked(settings, rederive(settings, [1]))

    assert len(counting(memory_lake)) == 1
    assert [reason for _, reason in in_quarantine(memory_lake)] == ["ID_CONFLICT"]
    assert (status(settings)["conflict"], status(settings)["quarantined_now"]) == (1, 0)


def test_a_corrected_zone_moves_old_batches_to_their_right_days(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    stamp = datetime(2026, 11, 18, 20, tzinfo=UTC).timestamp()
    written = {"inDate": "2026-11-18T20:00:00.000Z"}
    items = [
        envelope(fernet_key, 1, plaintext(1, **written), ArrivalTimeStamp=stamp),
        envelope(LATE_KEY, 2, plaintext(2, **written), ArrivalTimeStamp=stamp),
        envelope(fernet_key, 1, plaintext(1, **written), ArrivalTimeStamp=stamp),
    ]
    wrong = make_settings()
    publish_checked(wrong, land_dumps(wrong, write(tmp_path / "dump", items)))
    add_key(wrong)
    publish_checked(wrong, replay(wrong))
    right = replace(wrong, source_false_z=False)  # Z meant what it says: five in the morning

    publish_checked(right, rederive(right, [1]))
    with pytest.raises(ConfigError, match="Batch 2 is a replay under another"):
        rederive(right, [2])

    (row,) = (row for row in counting(memory_lake) if row["record_id"] == 1)
    assert (row["dt"], row["occurred_at"].hour) == ("2026-11-19", 20)
    days = {day["arrived_date"]: day for day in markers(memory_lake)[2]["arrival_days"]}
    names = ("offered", "good", "duplicate", "replayed")
    assert [days["2026-11-18"][name] for name in names] == [2, 0, 1, -1]
    assert [days["2026-11-19"][name] for name in names] == [1, 1, 0, 0]
    assert status(right)["good"] == 2
