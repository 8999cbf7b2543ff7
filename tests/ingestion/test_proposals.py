from collections import Counter
from collections.abc import Callable

import pytest

import ingestion.headers
from ingestion import Settings, land_api
from ingestion.commit import LandingLog
from ingestion.headers import Header, Recent
from ingestion.status import status
from tests.ingestion.envelopes import STRANGER, envelope, plaintext, seal
from tests.ingestion.lakes import MemoryLake, publish_checked, quarantine_rows, raw_rows
from tests.ingestion.sources import page, serving


@pytest.fixture
def poll(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings]
) -> Callable[..., dict[str, int]]:
    """Let the source show these envelopes once, and land, approve and publish them."""

    def once(*envelopes: dict, **variables: str) -> dict[str, int]:
        with serving(page(list(envelopes))) as (url, _):
            settings = make_settings(SOURCE_URL=url, **variables)
            return publish_checked(settings, land_api(settings))

    return once


def refused(lake: MemoryLake) -> Counter:
    return Counter((row["record_id"], row["reason"]) for row in quarantine_rows(lake))


def test_the_same_record_encrypted_anew_is_a_duplicate(poll: Callable, fernet_key: str):
    sums = poll(envelope(fernet_key, 1), envelope(fernet_key, 1))

    assert (sums["good"], sums["duplicate"], sums["conflict"]) == (1, 1, 0)


def test_another_record_under_an_id_of_the_same_answer_is_a_conflict(
    memory_lake: MemoryLake, poll: Callable, fernet_key: str
):
    other = envelope(fernet_key, 1, plaintext(1, activity="another"))
    sums = poll(envelope(fernet_key, 1), other, envelope(fernet_key, 1))

    assert (sums["offered"], sums["good"], sums["duplicate"], sums["conflict"]) == (3, 1, 1, 1)
    assert refused(memory_lake) == Counter([(1, "ID_CONFLICT")])
    assert [row["activity"] for row in raw_rows(memory_lake)] == ["cart"]  # the first one


def test_another_record_under_an_id_of_an_earlier_poll_is_a_conflict_and_only_once(
    memory_lake: MemoryLake, poll: Callable, fernet_key: str
):
    def shown() -> list[dict]:
        return [envelope(fernet_key, 1, plaintext(1, activity="another")), envelope(fernet_key, 2)]

    poll(envelope(fernet_key, 1))
    first = poll(*shown())
    second = poll(*shown(), envelope(fernet_key, 3))

    assert (first["good"], first["conflict"]) == (1, 1)
    assert (second["good"], second["conflict"], second["duplicate"]) == (1, 0, 2)
    assert refused(memory_lake) == Counter([(1, "ID_CONFLICT")])


def test_a_record_that_nobody_can_read_contradicts_nothing(poll: Callable, fernet_key: str):
    unreadable = envelope(fernet_key, 1, data=seal(STRANGER, plaintext(1, activity="another")))

    poll(envelope(fernet_key, 1))
    sums = poll(unreadable, envelope(fernet_key, 2))

    assert (sums["duplicate"], sums["conflict"]) == (1, 0)


def test_another_pseudonym_key_turns_no_duplicate_into_a_conflict(
    poll: Callable, fernet_key: str, tmp_path
):
    (tmp_path / "other.key").write_text("6b" * 32)

    poll(envelope(fernet_key, 1))
    sums = poll(
        envelope(fernet_key, 1),
        envelope(fernet_key, 2),
        PSEUDONYM_KEY_FILE=str(tmp_path / "other.key"),
    )

    assert (sums["good"], sums["duplicate"], sums["conflict"]) == (1, 1, 0)


def test_an_id_that_left_the_overlap_is_a_plain_duplicate(
    poll: Callable, fernet_key: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ingestion.headers, "RECENT_IDS", 2)

    poll(*(envelope(fernet_key, n) for n in (1, 2, 3)))
    sums = poll(
        envelope(fernet_key, 1, plaintext(1, activity="another")),
        envelope(fernet_key, 3, plaintext(3, activity="another")),
        envelope(fernet_key, 4),
    )

    assert (sums["good"], sums["duplicate"], sums["conflict"]) == (1, 1, 1)


def test_a_window_that_moved_on_leaves_a_hole_that_is_counted_and_named(
    memory_lake: MemoryLake, poll: Callable, fernet_key: str, caplog: pytest.LogCaptureFixture
):
    poll(*(envelope(fernet_key, n) for n in range(10, 20)))
    poll(*(envelope(fernet_key, n) for n in range(25, 30)))
    poll(*(envelope(fernet_key, n) for n in range(26, 31)))

    holes = [LandingLog(memory_lake).header(seq).missing for seq in (1, 2, 3)]
    assert holes == [[], [[20, 24]], []]
    assert "missing seq=2 source=api ids=5 ranges=1 first=20-24" in caplog.text


def test_a_source_that_does_not_number_without_gaps_has_no_holes(
    memory_lake: MemoryLake, poll: Callable, fernet_key: str
):
    poll(envelope(fernet_key, 1), envelope(fernet_key, 9), SOURCE_CONSECUTIVE_IDS="false")

    assert LandingLog(memory_lake).header(1).missing == []


def test_status_says_how_often_a_window_has_to_be_looked_at(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    # The test's envelopes arrive one second apart: 100 of them cover 99 seconds.
    with serving(page([envelope(fernet_key, n) for n in range(100)])) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        publish_checked(settings, land_api(settings))

    assert status(settings)["poll_every_seconds"] == 49


def test_recent_digests_survive_their_spelling():
    digests = {5: b"a" * 8, 6: b"b" * 8, 9: b"c" * 8}
    recent = Recent.from_json(Recent("mark", digests).as_json())

    assert recent.as_json()["ids"] == [[5, 6], [9, 9]]
    assert [recent.contradicts(i, b"b" * 8) for i in (5, 6, 7, 9)] == [True, False, False, True]
    assert not recent.contradicts(5, None)
    assert recent.holds(9, "mark")
    assert not recent.holds(9, "another key")


def test_a_header_of_an_earlier_version_is_read():
    old = (
        b'{"seq":1,"nonce":"n","prev_sha256":"","body":"b","body_sha256":"s","settled":[[1,2]],'
        b'"unidentified":[],"offered":2,"new":2,"duplicate":0,"days":[],"source":"api",'
        b'"run_id":"r","fetched_at":5,"pages":[]}'
    )

    header = Header.from_bytes(old)

    assert (header.conflict, header.replayed, header.supersedes) == (0, 0, [])
    assert header.fetched_times() == [5, 5]
