"""Bad inputs 33 to 107, one row and more per number: what becomes of them, and of nobody else.

The rows are in bad_records.py; each travels between two good records. Numbers 1 to 32 are in
test_bad_inputs_http.py.
"""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from ingestion import isolation, records
from ingestion.keys import KeyRing
from ingestion.records import Derived, Rules
from ingestion.times import SourceClock
from tests.ingestion.bad_records import (
    AFTER,
    BASE,
    BEFORE,
    CASES,
    NEW,
    NOW,
    OK,
    PAIRS,
    RAW,
    RULES,
    SAME,
    SETTINGS,
    TOKEN,
    changed,
    known,
    spelled,
)
from tests.ingestion.envelopes import STRANGER, envelope, plaintext, seal

ELSEWHERE = {
    52: "test_proposals.py::test_an_id_that_left_the_overlap_is_a_plain_duplicate",
    67: "test_a_token_cut_anywhere_is_refused",
    68: "test_a_token_with_any_bit_flipped_is_refused",
    101: "test_a_type_that_changes_in_the_middle_of_a_batch_costs_only_who_has_it",
    104: "test_a_personal_value_under_a_new_name_stays_in_one_column",
}
"""Numbers that are no row: tests of this file, or of another one, where the log has to decide."""


def derive(*items: object, **settings: Any) -> Derived:
    return records.derive(items, RULES, **SETTINGS, **settings)


def good_rows(derived: Derived) -> dict[int, dict]:
    return {row["record_id"]: row for table in derived.raw.values() for row in table.to_pylist()}


GOOD = good_rows(derive(BEFORE, BASE, AFTER))


def judge(derived: Derived) -> str:
    """Return what became of the record between the two good ones."""
    rows = good_rows(derived)
    assert {number: rows.pop(number) for number in (1, 3)} == {n: GOOD[n] for n in (1, 3)}
    refused = derived.quarantine.to_pylist()
    assert len(rows) + len(refused) == 1
    if rows:
        ((_, row),) = rows.items()
        return SAME if row | {"key_fingerprint": ""} == GOOD[2] | {"key_fingerprint": ""} else OK
    assert re.fullmatch(r"\d+|sha256:[0-9a-f]{64}", refused[0]["record_key"])
    return f"{refused[0]['stage']} {refused[0]['reason']}"


@pytest.mark.parametrize(
    ("item", "expected"),
    [pytest.param(item, expected, id=f"{n}: {name[:40]}") for n, name, item, expected in CASES],
)
def test_a_bad_record_becomes_what_the_list_says_and_its_neighbours_stay(item, expected):
    # In the child, because what hangs there is an outcome and not a test without end.
    derived = isolation.derive([BEFORE, item, AFTER], RULES, **SETTINGS)

    assert judge(derived) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [pytest.param(a, b, expected, id=f"{n}: {name}") for n, name, a, b, expected in PAIRS],
)
def test_two_records_are_one_or_two_or_contradict_each_other(first, second, expected):
    """By what the landing log compares: the id or else the identity, and the plaintext's digest."""
    known_by = [
        key if isinstance(key := records.record_id(item), int) else records.identity(item, RULES)
        for item in (first, second)
    ]
    digests = [records.plaintext_digest(item, RULES) for item in (first, second)]

    found = "TWO"
    if known_by[0] == known_by[1]:
        found = "D" if digests[0] == digests[1] else "CONFLICT"

    assert found == expected
    assert None not in digests
    if expected == "CONFLICT":
        derived = derive(BEFORE, first, AFTER, second, conflict=1)
        assert good_rows(derived) == GOOD
        assert derived.reasons == {"ID_CONFLICT": 1}


def test_every_number_is_accounted_for():
    numbers = {number for number, *_ in CASES} | {number for number, *_ in PAIRS}
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert numbers.isdisjoint(ELSEWHERE)
    assert sorted(numbers | set(ELSEWHERE)) == list(range(33, 108))
    for name in ELSEWHERE.values():
        assert f"def {name.split('::')[-1]}(" in tests


def test_the_whole_list_in_one_batch_gives_a_row_each_and_kills_no_worker(caplog):
    items = [item for _, _, item, _ in CASES]
    expected = [outcome for _, _, _, outcome in CASES]

    derived = isolation.derive(items, RULES, **SETTINGS)

    reasons = [outcome.split()[-1] for outcome in expected if not outcome.startswith(OK)]
    assert derived.reasons == {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    assert sum(derived.good_days.values()) == len(items) - len(reasons)
    assert "worker died" not in caplog.text


def test_a_token_cut_anywhere_is_refused():
    outcomes = [
        records.decode(known(data=TOKEN[:length]), RULES, NOW) for length in range(len(TOKEN))
    ]

    # Without its padding a token is no base64; some cuts leave one whose signature is wrong.
    assert {str(outcome.reason) for outcome in outcomes} == {"TOKEN_MALFORMED", "TOKEN_UNKNOWN_KEY"}


def test_a_token_with_any_bit_flipped_is_refused():
    for bit in range(len(RAW) * 8):
        flipped = bytearray(RAW)
        flipped[bit // 8] ^= 1 << bit % 8
        item = known(data=base64.urlsafe_b64encode(flipped).decode())

        outcome = records.decode(item, RULES, NOW)

        assert outcome.reason == ("TOKEN_MALFORMED" if bit < 8 else "TOKEN_UNKNOWN_KEY")


def test_a_type_that_changes_in_the_middle_of_a_batch_costs_only_who_has_it():
    items = [
        envelope(NEW, 1, plaintext(1, size=1)),
        envelope(NEW, 2, plaintext(2, size="1")),
        envelope(NEW, 3, plaintext(3, size=[1.5])),
        envelope(NEW, 4, plaintext(4, activity=7)),
        envelope(NEW, 5),
    ]

    derived = derive(*items)

    extra = {number: row["extra_fields"] for number, row in good_rows(derived).items()}
    assert extra == {1: '{"size":1}', 2: '{"size":"1"}', 3: '{"size":[1.5]}', 5: None}
    assert derived.reasons == {"FIELD_TYPE": 1}


def test_a_personal_value_under_a_new_name_stays_in_one_column():
    secret = "canary@example.com"
    items = [
        envelope(NEW, 1, plaintext(1, email=secret)),
        envelope(NEW, 2, plaintext(2, detail={"message": "m", "email": secret})),
        envelope(NEW, 3, plaintext(3, email=secret, inDate="never")),
    ]

    derived = derive(*items)

    for row in good_rows(derived).values():
        assert secret in row.pop("extra_fields")
        assert secret not in repr(row)
    assert secret not in repr(derived.quarantine.to_pylist())


def test_what_is_kept_is_kept_as_it_came():
    changes = {
        "a": 1, "A": 2, "a.b": 3, "c-d": 4, "e'f\"g": 5, "\U0001f600": 6, "": 7,
        "big": 9007199254740993, "less than nothing": -0.0, "nul": "a\0b",
        "deep": {"x": [{"y": (1, None, True)}]},
    }  # fmt: skip

    for item in (changed(**changes), spelled(**changes)):
        (row,) = good_rows(derive(item)).values()
        kept = json.loads(row["extra_fields"])

        assert repr(kept) == repr(json.loads(json.dumps(changes)))


def test_an_unknown_key_keeps_the_ciphertext_and_opens_it_when_the_key_arrives():
    item = known(data=seal(STRANGER, plaintext(2)))
    arrived = Fernet.generate_key().decode()
    sealed = known(data=seal(arrived, plaintext(2)))
    ring = Rules(KeyRing([arrived, NEW]), RULES.pseudonyms, RULES.clock)

    (refused,) = derive(sealed).quarantine.to_pylist()
    again = records.derive([json.loads(refused["envelope"])], ring, **SETTINGS)

    assert refused["key_fingerprint"] is None
    assert json.loads(derive(item).quarantine.to_pylist()[0]["envelope"]) == item
    mark = hashlib.sha256(base64.urlsafe_b64decode(arrived)).hexdigest()[:16]
    assert good_rows(again)[2] == GOOD[2] | {"key_fingerprint": mark}


def test_a_skipped_hour_and_a_doubled_one_have_their_place():
    berlin = Rules(RULES.ring, RULES.pseudonyms, SourceClock("Europe/Berlin", True))
    texts = {
        "2026-03-29T02:30:00.000Z": "2026-03-29 01:30:00",  # is not on any clock there
        "2026-10-25T02:30:00.000Z": "2026-10-25 00:30:00",  # is there twice
        "2026-03-29T00:00:00.000Z": "2026-03-28 23:00:00",
    }

    for text, expected in texts.items():
        (row,) = good_rows(records.derive([changed(inDate=text)], berlin, **SETTINGS)).values()

        assert str(row["occurred_at"]) == expected


def test_late_records_go_to_their_own_day_in_whatever_order_they_come():
    days = ["2026-11-19", "2025-10-15", "2026-11-18", "2024-02-29", "2026-11-16"]
    items = [
        envelope(NEW, number, plaintext(number, inDate=f"{day}T00:00:00.000Z"))
        for number, day in enumerate(days)
    ]

    derived = derive(*items)

    found = {day: table.column("record_id").to_pylist() for day, table in derived.raw.items()}
    assert found == {day: [number] for number, day in enumerate(days)}
    assert derived.good_days == {"2026-11-19": 5}
