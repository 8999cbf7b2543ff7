import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import ingestion.landing
from ingestion import (
    ConfigError,
    ContractError,
    Settings,
    SourceUnavailable,
    land_api,
    land_dumps,
)
from tests.ingestion.envelopes import STRANGER, envelope, seal
from tests.ingestion.lakes import MemoryLake, publish_checked, quarantine_rows, raw_rows, write
from tests.ingestion.sources import body, cursor, page, serving


def ids(lake: MemoryLake) -> list[int]:
    return sorted(row["record_id"] for row in raw_rows(lake))


def test_land_api_takes_a_window_and_then_only_what_is_new(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    items = [envelope(fernet_key, number) for number in range(100, 160)]

    with serving(page(items[:50]), page(items[10:])) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        first = publish_checked(settings, land_api(settings))
        second = publish_checked(settings, land_api(settings))

    assert (first["good"], first["duplicate"]) == (50, 0)
    assert (second["good"], second["duplicate"]) == (10, 40)
    assert ids(memory_lake) == list(range(100, 160))


def test_land_api_commits_nothing_when_nothing_is_new(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    with serving(page([envelope(fernet_key, 1)])) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        publish_checked(settings, land_api(settings))
        before = dict(memory_lake.objects)

        assert land_api(settings) == []
    assert memory_lake.objects == before


def test_land_api_follows_a_cursor_and_goes_on_behind_what_it_has(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ingestion.landing, "MAX_BATCH_RECORDS", 100)
    monkeypatch.setattr(ingestion.landing, "LATE_HORIZON_IDS", 100)
    items = [envelope(fernet_key, number) for number in range(1, 251)]

    with serving(cursor(items, most=40)) as (url, asked):
        settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
        manifests = land_api(settings)
        publish_checked(settings, manifests)
        items += [envelope(fernet_key, number) for number in range(251, 261)]
        asked.clear()
        publish_checked(settings, land_api(settings))

    assert len(manifests) == 3
    assert ids(memory_lake) == list(range(1, 261))
    assert asked[0]["after"] == "250"


def test_land_api_gets_an_id_that_appears_behind_a_higher_one(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    late = 104
    items = [envelope(fernet_key, number) for number in range(1, 151) if number != late]

    with serving(cursor(items)) as (url, asked):
        settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
        publish_checked(settings, land_api(settings))
        items.append(envelope(fernet_key, late))
        asked.clear()
        publish_checked(settings, land_api(settings))

    assert ids(memory_lake) == list(range(1, 151))
    assert "after" not in asked[0] or int(asked[0]["after"]) < late


def test_land_dumps_gathers_small_files_and_cuts_large_ones(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ingestion.landing, "MAX_BATCH_RECORDS", 50)
    for part in range(6):
        lines = [json.dumps(envelope(fernet_key, part * 20 + n)) for n in range(20)]
        (tmp_path / f"part-{part}.gz").write_bytes(gzip.compress("\n".join(lines).encode()))

    settings = make_settings()
    manifests = land_dumps(settings, str(tmp_path))
    sums = publish_checked(settings, manifests)

    assert sums["good"] == 120
    assert len(manifests) == 3
    assert ids(memory_lake) == list(range(120))


def test_land_dumps_lands_the_other_files_of_a_folder_with_a_corrupt_one(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    lines = [json.dumps(envelope(fernet_key, n)) for n in range(400)]
    whole = gzip.compress("\n".join(lines[:200]).encode())
    (tmp_path / "a.gz").write_bytes(whole)
    (tmp_path / "b.gz").write_bytes(gzip.compress("\n".join(lines[200:300]).encode())[:-900])
    (tmp_path / "c").write_text("\n".join(lines[300:]))
    (tmp_path / "d").write_text("<!doctype html><p>log in first")
    settings = make_settings()

    with pytest.raises(ContractError) as caught:
        land_dumps(settings, str(tmp_path))
    publish_checked(settings, land_dumps(settings, str(tmp_path / "a.gz")))

    assert "b.gz is damaged or cut" in str(caught.value)
    assert "d is no dump" in str(caught.value)
    assert "other 2 of 4 files were landed" in str(caught.value)
    assert ids(memory_lake) == [*range(200), *range(300, 400)]


def test_land_dumps_quarantines_a_bad_line_and_publishes_all_others(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str, tmp_path: Path
):
    lines = [json.dumps(envelope(fernet_key, n)).encode() for n in range(5)]
    lines[1:1] = [b'{"recordId": 9, ', b"\xff\xfe", b"null", b'{"a":' * 90_000]
    (tmp_path / "dump").write_bytes(b"\n".join(lines) + b"\n\n")
    settings = make_settings()

    sums = publish_checked(settings, land_dumps(settings, str(tmp_path / "dump")))

    assert (sums["offered"], sums["good"], sums["quarantined"]) == (9, 5, 4)
    reasons = Counter(row["reason"] for row in quarantine_rows(memory_lake))
    assert reasons == {"ENVELOPE_SHAPE": 4}


def test_a_wrong_key_ring_is_an_error_and_takes_nothing(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    items = [envelope(STRANGER, number) for number in range(20)]

    with serving(page(items)) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        with pytest.raises(ConfigError, match="None of the 20 records offered opens") as caught:
            land_api(settings)
        assert memory_lake.objects == {}

        settings.fernet_keys_file.write_text(
            "c3RyYW5nZXItc3RyYW5nZXItc3RyYW5nZXItc3RyYW4=\n" + fernet_key
        )
        publish_checked(settings, land_api(settings))

    assert fernet_key not in str(caught.value)
    assert ids(memory_lake) == list(range(20))


def test_a_minority_under_an_unknown_key_goes_to_quarantine(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    items = [envelope(STRANGER, number) for number in range(30)] + [envelope(fernet_key, 30)]

    with serving(page(items)) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        sums = publish_checked(settings, land_api(settings))

    assert (sums["good"], sums["quarantined"]) == (1, 30)
    assert {row["reason"] for row in quarantine_rows(memory_lake)} == {"TOKEN_UNKNOWN_KEY"}


def test_a_source_that_serves_no_tokens_at_all_is_an_error(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings]
):
    with (
        serving(page([{"recordId": n, "data": "x"} for n in range(20)])) as (url, _),
        pytest.raises(ContractError, match="holds a Fernet token"),
    ):
        land_api(make_settings(SOURCE_URL=url))

    assert memory_lake.objects == {}


def test_an_answer_in_html_takes_nothing_and_the_next_run_goes_on(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    html = body(b"<!DOCTYPE html><html>log in", Content_Type="text/html")

    with serving(html, page([envelope(fernet_key, 1)])) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        with pytest.raises(SourceUnavailable, match="27 bytes of HTML"):
            land_api(settings)
        assert memory_lake.objects == {}
        publish_checked(settings, land_api(settings))

    assert ids(memory_lake) == [1]


def test_a_plaintext_that_is_code_is_quarantined_and_not_run(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    items = [
        envelope(fernet_key, 1, "__import__('os').system('touch pwned')"),
        envelope(fernet_key, 2),
    ]

    with serving(page(items)) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        publish_checked(settings, land_api(settings))

    assert ids(memory_lake) == [2]
    assert [row["reason"] for row in quarantine_rows(memory_lake)] == ["PLAINTEXT_SYNTAX"]
    assert sorted(tmp_path.iterdir()) == before


def test_one_absurdly_deep_element_does_not_cost_the_page(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    good = json.dumps(envelope(fernet_key, 1))
    deep = '{"recordId": 2, "data": ' + "[" * 50_000 + '"]"' + "]" * 50_000 + "}"

    with serving(body(f"[{deep}, {good}, {deep}]".encode())) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        sums = publish_checked(settings, land_api(settings))

    assert (sums["good"], sums["quarantined"], sums["duplicate"]) == (1, 1, 1)


def test_a_batch_that_cannot_be_derived_does_not_keep_new_records_from_being_taken(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    monkeypatch: pytest.MonkeyPatch,
):
    items = [envelope(fernet_key, number) for number in range(4)]

    with serving(page(items[:2]), page(items)) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        land_api(settings)
        lost = next(iter(memory_lake.keys("landing/")))
        kept = memory_lake.objects.pop(lost)
        for key in list(memory_lake.keys("staging/")):
            del memory_lake.objects[key]
        with pytest.raises(ContractError, match="records of batch 1"):
            land_api(settings)
        memory_lake.objects[lost] = kept
        manifests = land_api(settings)
        sums = publish_checked(settings, manifests)

    assert len(manifests) == 2
    assert (sums["good"], sums["duplicate"]) == (4, 2)


def test_key_rotation_in_the_middle_of_a_page_is_no_event(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    new = Fernet.generate_key().decode()
    items = [envelope(new if number > 15 else fernet_key, number) for number in range(30)]

    with serving(page(items)) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        settings.fernet_keys_file.write_text(f"{new}\n{fernet_key}\n")
        publish_checked(settings, land_api(settings))

    assert len({row["key_fingerprint"] for row in raw_rows(memory_lake)}) == 2


def test_token_and_envelope_reach_quarantine_as_they_came(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    item = {"recordId": 7, "ArrivalTimeStamp": 1763000000.819, "data": seal(STRANGER, "x"), "n": 1}

    with serving(page([item])) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        publish_checked(settings, land_api(settings))

    (row,) = quarantine_rows(memory_lake)
    assert json.loads(row["envelope"]) == item
    assert (row["record_id"], row["record_key"], row["stage"]) == (7, "7", "token")


def test_duplicates_behind_a_full_batch_are_counted_with_it(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(ingestion.landing, "MAX_BATCH_RECORDS", 10)
    items = [envelope(fernet_key, number) for number in range(20)]
    settings = make_settings()

    sums = publish_checked(
        settings, land_dumps(settings, write(tmp_path / "dump", [*items, *items[:7]]))
    )

    assert (sums["batches"], sums["offered"], sums["good"], sums["duplicate"]) == (2, 27, 20, 7)
