import json
import random
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import records
from ingestion.errors import ContractError
from ingestion.keys import KeyRing
from ingestion.privacy import Pseudonyms
from ingestion.reasons import Reason
from ingestion.records import (
    Good,
    Refusal,
    Rules,
    arrival_day,
    conflict_key,
    decode,
    derive,
    identity,
    plaintext_digest,
)
from ingestion.times import SourceClock, milliseconds
from tests.ingestion.envelopes import (
    FETCHED_AT,
    PSEUDONYM_KEY,
    STRANGER,
    envelope,
    fingerprint,
    judge,
    plaintext,
    population,
    pseudonym,
    seal,
)

NEW, OLD = Fernet.generate_key().decode(), Fernet.generate_key().decode()
NOW = milliseconds(FETCHED_AT)
RULES = Rules(KeyRing([NEW, OLD]), Pseudonyms(PSEUDONYM_KEY), SourceClock("Asia/Seoul", True))


def outcome(item: object) -> str:
    result = decode(item, RULES, NOW)
    return f"{result.stage} {result.reason}" if isinstance(result, Refusal) else "good"


def of(content: object) -> dict:
    return envelope(NEW, 7, content)


def changed(**changes: object) -> dict:
    return of(str(plaintext(7) | changes))


def landed(row: dict) -> int:
    return milliseconds(row["landed_at"].replace(tzinfo=UTC))


def test_derive_equals_the_oracle_on_a_mixed_population():
    items = population([NEW, OLD], 3_000, seed=11)

    derived = derive(items, RULES, batch_seq=5, landed_at=NOW, fetched_at=NOW)
    found = {row["record_id"]: row for table in derived.raw.values() for row in table.to_pylist()}
    refused = {row["record_id"]: row for row in derived.quarantine.to_pylist()}

    assert len(found) + len(refused) == len(items)
    for item in items:
        reason, row = judge(item, [NEW, OLD])
        if reason:
            assert refused[item["recordId"]]["reason"] == reason
            assert json.loads(refused[item["recordId"]]["envelope"]) == item
            continue
        given = found[item["recordId"]]
        given["extra_fields"] = given["extra_fields"] and json.loads(given["extra_fields"])
        assert row.pop("dt") in derived.raw
        assert given == row | {
            "batch_seq": 5,
            "landed_at": FETCHED_AT.replace(tzinfo=None),
        }


def test_derive_sorts_each_day_by_time_and_id_whatever_the_order_of_arrival():
    items = [envelope(NEW, number) for number in range(1, 200)]
    shuffled = random.Random(3).sample(items, len(items))

    first = derive(items, RULES, batch_seq=1, landed_at=NOW, fetched_at=NOW)
    second = derive(shuffled, RULES, batch_seq=1, landed_at=NOW, fetched_at=NOW)

    assert first.raw == second.raw
    times = first.raw["2026-11-19"].column("occurred_at").to_pylist()
    assert times == sorted(times)


def test_derive_of_nothing_is_nothing():
    derived = derive([], RULES, batch_seq=1, landed_at=NOW, fetched_at=NOW)

    assert derived.raw == {}
    assert derived.quarantine.num_rows == 0


def test_derive_judges_each_record_by_the_time_at_which_it_was_fetched():
    items = [envelope(NEW, number) for number in (1, 2)]
    before_the_event = milliseconds(datetime(2026, 11, 15, tzinfo=UTC))

    derived = derive(
        items, RULES, batch_seq=9, landed_at=NOW + 5, fetched_at=[NOW, before_the_event]
    )

    (good,) = derived.raw["2026-11-19"].to_pylist()
    (refused,) = derived.quarantine.to_pylist()
    assert (good["record_id"], landed(good)) == (1, NOW + 5)
    assert (refused["record_id"], refused["reason"]) == (2, "TIME_OUT_OF_RANGE")
    # A refused record keeps the time that it has to be judged by when it is replayed.
    assert landed(refused) == before_the_event


def test_derive_does_not_decode_conflicts_and_keeps_them_apart():
    items = [
        envelope(NEW, 1),
        envelope(NEW, 2, recordId=None),
        envelope(OLD, 1, plaintext(1, url="/other")),
        envelope(STRANGER, 1),
    ]

    derived = derive(items, RULES, batch_seq=1, landed_at=NOW, fetched_at=NOW, conflict=2)
    conflicts = [r for r in derived.quarantine.to_pylist() if r["reason"] == "ID_CONFLICT"]

    assert derived.reasons == {"ID_CONFLICT": 2, "ID_MISSING": 1}
    assert derived.quarantined_days == {"2026-11-19": 1}
    assert derived.conflict_days == {"2026-11-19": 2}
    assert derived.good_days == {"2026-11-19": 1}
    assert derived.keys == {fingerprint(NEW): 1, fingerprint(OLD): 1}
    assert {row["record_id"] for row in conflicts} == {1}
    assert {row["stage"] for row in conflicts} == {"envelope"}
    assert {row["key_fingerprint"] for row in conflicts} == {fingerprint(OLD), None}
    keys = {conflict_key(item, RULES) for item in items[2:]}
    assert {row["record_key"] for row in conflicts} == keys
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("fetched_at", "conflict"), [([NOW], 0), ([NOW] * 3, 0), (NOW, 3), (NOW, -1)]
)
def test_derive_refuses_arguments_that_do_not_fit(fetched_at: object, conflict: int):
    items = [envelope(NEW, 1), envelope(NEW, 2)]

    with pytest.raises(ContractError, match="2 records"):
        derive(items, RULES, batch_seq=1, landed_at=NOW, fetched_at=fetched_at, conflict=conflict)


def test_derive_refuses_to_lose_a_row(monkeypatch):
    made = records._table
    monkeypatch.setattr(records, "_table", lambda schema, rows: made(schema, rows[1:]))

    with pytest.raises(ContractError, match="2 records, but 1 rows"):
        derive(
            [envelope(NEW, 1), envelope(NEW, 2)], RULES, batch_seq=1, landed_at=NOW, fetched_at=NOW
        )


def test_plaintext_digest_tells_plaintexts_apart_and_not_tokens():
    first, again, other = envelope(NEW, 1), envelope(OLD, 1), envelope(NEW, 1, plaintext(2))
    assert first["data"] != again["data"]

    digest = plaintext_digest(first, RULES)

    assert digest == pseudonym(str(plaintext(1)))[:8]
    assert digest == plaintext_digest(again, RULES)
    assert digest != plaintext_digest(other, RULES)
    for unreadable in (None, [], {}, envelope(STRANGER, 1), envelope(NEW, 1, data=7)):
        assert plaintext_digest(unreadable, RULES) is None


def test_conflict_key_is_made_of_the_id_and_the_plaintext_only():
    first = envelope(NEW, 1)
    same = envelope(OLD, 1, plaintext(1)) | {"ArrivalTimeStamp": 7}

    key = conflict_key(first, RULES)

    assert key == conflict_key(same, RULES)
    assert key != conflict_key(envelope(NEW, 1, plaintext(2)), RULES)
    assert key != conflict_key(envelope(NEW, 2, plaintext(1)), RULES)
    assert re.fullmatch("sha256:[0-9a-f]{64}", key)
    for strange in (None, [], {}, envelope(STRANGER, 1), envelope(NEW, 1, data=[7])):
        assert conflict_key(strange, RULES) == conflict_key(strange, RULES)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (None, "envelope ENVELOPE_SHAPE"),
        ("not json", "envelope ENVELOPE_SHAPE"),
        ([1], "envelope ENVELOPE_SHAPE"),
        ({}, "envelope ID_MISSING"),
        (envelope(NEW, 7, recordId=None), "envelope ID_MISSING"),
        (envelope(NEW, 7, recordId=""), "envelope ID_MISSING"),
        *[
            (envelope(NEW, 7, recordId=value), "envelope ID_TYPE")
            for value in ("7", 7.0, True, -1, 2**63, 2**64, "9" * 4301, [7], {"a": 7}, " 7 ")
        ],
        *[
            (envelope(NEW, 7, recordId=value), "envelope ID_TYPE")
            for value in ("../../raw/dt=x", "x' or dt<>'x", "%2e%2e%2f", "\x00\r\nX: y", "\u202e7")
        ],
        *[
            (envelope(NEW, 7, ArrivalTimeStamp=value), "envelope ENVELOPE_SHAPE")
            for value in (None, "1", True, [], float("nan"), float("inf"), 10**400, -(10**400))
        ],
        (envelope(NEW, 7, ArrivalTimeStamp=0), "envelope TIME_OUT_OF_RANGE"),
        (envelope(NEW, 7, ArrivalTimeStamp=1681996326819), "envelope ENVELOPE_SHAPE"),
        (envelope(NEW, 7, ArrivalTimeStamp=250000000000), "envelope TIME_OUT_OF_RANGE"),
        (envelope(NEW, 7, ArrivalTimeStamp=1764000000), "good"),
    ],
)
def test_decode_judges_envelopes(item: object, expected: str):
    assert outcome(item) == expected


GOOD = seal(NEW, plaintext(7))


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        *[(value, "token TOKEN_TYPE") for value in (None, 7, ["a"], {"a": 1}, True)],
        *[
            (value, "token TOKEN_MALFORMED")
            for value in ("", "a", "gAAAAAB", "\u0661" * 500, "\ud800" * 500, f"{GOOD}\u00e9")
        ],
        (GOOD.rstrip("=")[:-1], "token TOKEN_MALFORMED"),
        (json.dumps(GOOD), "good"),  # quotes are outside the alphabet, as blanks are
        (f"{GOOD}\n", "good"),
        (f"{GOOD[:50]} {GOOD[50:]}", "good"),
        (GOOD.replace("-", "+").replace("_", "/"), "good"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln", "token TOKEN_MALFORMED"),
        ("-----BEGIN PGP MESSAGE-----", "token TOKEN_MALFORMED"),
        ("h" + GOOD[1:], "token TOKEN_MALFORMED"),
        (seal(STRANGER, plaintext(7)), "token TOKEN_UNKNOWN_KEY"),
        (seal(OLD, plaintext(7)), "good"),
        (GOOD[:100] + ("A" if GOOD[100] != "A" else "B") + GOOD[101:], "token TOKEN_UNKNOWN_KEY"),
        (seal(NEW, plaintext(7), FETCHED_AT + timedelta(days=1)), "token TOKEN_FUTURE"),
        (seal(NEW, plaintext(7), FETCHED_AT + timedelta(seconds=300)), "good"),
        (seal(NEW, plaintext(7), FETCHED_AT + timedelta(seconds=301)), "token TOKEN_FUTURE"),
        (seal(NEW, plaintext(7), FETCHED_AT - timedelta(days=9_000)), "good"),
        (Fernet(NEW).encrypt_at_time(b"{}", 2**63 - 1).decode(), "token TOKEN_FUTURE"),
        ("A" * 1_000_001, "token TOKEN_TOO_LARGE"),
        (seal(NEW, GOOD), "plaintext PLAINTEXT_SYNTAX"),
        (GOOD + GOOD, "token TOKEN_MALFORMED"),
    ],
)
def test_decode_judges_tokens(token: object, expected: str):
    assert outcome(envelope(NEW, 7, data=token)) == expected


def test_decode_never_takes_a_token_with_one_byte_changed_or_cut():
    dice = random.Random(5)
    for place in range(0, len(GOOD.rstrip("=")) - 1, 7):
        other = dice.choice([c for c in "ABCDabcd0189" if c != GOOD[place]])

        flipped = outcome(envelope(NEW, 7, data=GOOD[:place] + other + GOOD[place + 1 :]))
        cut = outcome(envelope(NEW, 7, data=GOOD[:place]))

        assert flipped in ("token TOKEN_UNKNOWN_KEY", "token TOKEN_MALFORMED")
        assert cut in ("token TOKEN_UNKNOWN_KEY", "token TOKEN_MALFORMED")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "plaintext PLAINTEXT_SYNTAX"),
        (b"\xff\xfe", "plaintext PLAINTEXT_ENCODING"),
        (b"\xef\xbb\xbf{}", "plaintext PLAINTEXT_ENCODING"),
        (json.dumps(plaintext(7)).encode("utf-16"), "plaintext PLAINTEXT_ENCODING"),
        (json.dumps(plaintext(7)).encode("utf-16-le"), "plaintext PLAINTEXT_SYNTAX"),
        ("hello", "plaintext PLAINTEXT_SYNTAX"),
        ("__import__('os').system('touch pwned')", "plaintext PLAINTEXT_SYNTAX"),
        ("{'user_id': __import__('os').getpid()}", "plaintext PLAINTEXT_SYNTAX"),
        ("{'user_id': 1+1}", "plaintext PLAINTEXT_SYNTAX"),
        (json.dumps(plaintext(7)) + "{}", "plaintext PLAINTEXT_SYNTAX"),
        ("[]", "plaintext PLAINTEXT_SHAPE"),
        ("'text'", "plaintext PLAINTEXT_SHAPE"),
        ("17", "plaintext PLAINTEXT_SHAPE"),
        ("null", "plaintext PLAINTEXT_SHAPE"),
        ("{}", "field FIELD_MISSING"),
        ("[" * 900 + "]" * 900, "plaintext PLAINTEXT_SHAPE"),
        ("[" * 100_000 + "]" * 100_000, "plaintext PLAINTEXT_SHAPE"),
        ("[" * 100_000, "plaintext PLAINTEXT_SHAPE"),
        ("{'a':" * 30_000 + "1" + "}" * 30_000, "plaintext PLAINTEXT_SHAPE"),
        (f"{{'a': {'-' * 100_000}1}}", "plaintext PLAINTEXT_SYNTAX"),
        ('{"user_id": NaN}', "plaintext PLAINTEXT_SYNTAX"),
        ('{"user_id": -Infinity}', "plaintext PLAINTEXT_SYNTAX"),
        ('{"user_id": 1e999}', "plaintext FIELD_RANGE"),
        ("{'user_id': " + "9" * 4_301 + "}", "plaintext FIELD_RANGE"),
        ('{"user_id": ' + "9" * 4_301 + "}", "plaintext FIELD_RANGE"),
        ('{"user_id": "a", "user_id": "b"}', "plaintext PLAINTEXT_SYNTAX"),
        ("{'user_id': 'a', 'user_id': 'b'}", "plaintext PLAINTEXT_SYNTAX"),
        ("{1: 2}", "plaintext PLAINTEXT_SHAPE"),
        ("{'a', 'b'}", "plaintext PLAINTEXT_SYNTAX"),
        ("{'a': true}", "plaintext PLAINTEXT_SYNTAX"),
        (str({f"k{i}": 1 for i in range(1_001)}), "plaintext PLAINTEXT_SHAPE"),
        ("'" + "a" * 300_000 + "'", "plaintext PLAINTEXT_TOO_LARGE"),
    ],
)
def test_decode_judges_plaintexts(content: object, expected: str):
    begun = time.process_time()

    assert outcome(of(content)) == expected
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"user_id": ""}, "field FIELD_RANGE"),
        ({"user_id": None}, "field FIELD_MISSING"),
        ({"user_id": 1.5}, "field FIELD_TYPE"),
        ({"user_id": True}, "field FIELD_TYPE"),
        ({"user_id": ["a"]}, "field FIELD_TYPE"),
        ({"user_id": 7}, "good"),
        ({"record_id": None}, "good"),
        ({"record_id": 8}, "field FIELD_RANGE"),
        ({"record_id": "7"}, "field FIELD_TYPE"),
        ({"record_id": 7.0}, "field FIELD_TYPE"),
        ({"record_id": True}, "field FIELD_TYPE"),
        ({"activity": None}, "good"),
        ({"activity": 12}, "field FIELD_TYPE"),
        ({"url": ["a"]}, "field FIELD_TYPE"),
        ({"url": "a" * 65_537}, "field FIELD_RANGE"),
        ({"url": "\ud800"}, "field FIELD_RANGE"),
        ({"url": "a\x00b"}, "good"),
        ({"detail": None}, "good"),
        ({"detail": "text"}, "field FIELD_TYPE"),
        ({"detail": {"message": 3}}, "field FIELD_TYPE"),
        ({"detail": {"levelname": False}}, "field FIELD_TYPE"),
        ({"new": {"deep": [1, "\ud800"]}}, "field FIELD_RANGE"),
        ({"new": "a" * 65_537}, "plaintext PLAINTEXT_SHAPE"),
        ({"User_ID": "x", "a.b-c 'd'": 1, "\U0001f600": 2}, "good"),
        ({"inDate": None}, "field FIELD_MISSING"),
        ({"inDate": 1681996326819}, "field FIELD_TYPE"),
        *[
            ({"inDate": text}, "time TIME_MALFORMED")
            for text in (
                "",
                "yesterday",
                "2026-11-19",
                "2026-11-19T24:00:00.000Z",
                "2026-11-19T10:00:60.000Z",
                "2026-11-19T10:60:00.000Z",
                "2024-W01-1T00:00:00Z",
                "2024-02-30T00:00:00Z",
                "0000-01-01T00:00:00Z",
                "292278994-01-01T00:00:00Z",
                "2026-11-19T10:00:00.000+24:00",
                "2026-11-19T10:00:00.000 Z",
                "2026-11-19T10:00:00,000Z",
                "\u0662\u0660\u0662\u0664-01-01T00:00:00Z",
            )
        ],
        *[
            ({"inDate": text}, "time TIME_OUT_OF_RANGE")
            for text in (
                "1970-01-01T00:00:00.000Z",
                "2014-12-31T23:59:59.999Z",
                "9999-12-31T23:59:59.999-23:59",
                "0001-01-01T00:00:00+23:59",
                "2026-11-21T12:00:00.001Z",  # Seoul: a millisecond beyond one day from now
            )
        ],
        ({"inDate": "2015-01-01T00:00:00.000Z"}, "good"),
        ({"inDate": "2026-11-21T12:00:00.000Z"}, "good"),
        ({"inDate": "2024-02-29T00:00:00.000Z"}, "good"),
    ],
)
def test_decode_judges_fields_and_times(changes: dict, expected: str):
    assert outcome(changed(**changes)) == expected


def test_decode_runs_no_plaintext(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    for code in ("__import__('os').system('touch pwned')", "open('pwned', 'w')", "exec('1')"):
        assert outcome(of(code)) == "plaintext PLAINTEXT_SYNTAX"
        assert outcome(changed(activity=code)) == "good"

    assert list(tmp_path.iterdir()) == []


def test_decode_reads_the_false_z_as_wall_time_of_the_source():
    result = decode(changed(inDate="2026-11-19T00:30:00.819Z"), RULES, NOW)

    assert isinstance(result, Good)
    assert result.event_day == "2026-11-19"
    assert result.columns[8] == milliseconds(FETCHED_AT.replace(day=18, hour=15, minute=30)) + 819
    assert result.columns[9] == "2026-11-19T00:30:00.819Z"


def test_decode_stores_a_keyed_pseudonym_and_no_user_id():
    result = decode(changed(user_id="some-user"), RULES, NOW)

    assert isinstance(result, Good)
    assert result.columns[1] == pseudonym("some-user")
    assert "some-user" not in repr(result)


def test_decode_keeps_unknown_fields_of_record_detail_and_envelope():
    item = changed(product_id=3, detail={"message": "m", "code": [1, (2, 3)]}) | {"shard": "b"}

    result = decode(item, RULES, NOW)

    assert isinstance(result, Good)
    assert json.loads(result.columns[11]) == {
        "product_id": 3,
        "detail": {"code": [1, [2, 3]]},
        "$envelope": {"shard": "b"},
    }


def test_identity_of_a_record_without_an_id_survives_encryption():
    fields = {"user_id": "a", "inDate": "2026-11-19T00:00:00Z"}
    first = {"ArrivalTimeStamp": 1.5, "data": seal(NEW, fields)}
    again = {"data": seal(OLD, fields), "ArrivalTimeStamp": 1.5}
    other = {"ArrivalTimeStamp": 1.5, "data": seal(NEW, fields | {"user_id": "b"})}

    assert first["data"] != again["data"]
    assert identity(first, RULES) == identity(again, RULES)
    assert identity(first, RULES) != identity(other, RULES)


def test_arrival_day_is_the_day_in_the_source_zone_or_the_landing_day():
    wall = FETCHED_AT.replace(day=18, hour=23, minute=59).timestamp()  # stamped as if it were UTC

    days = [
        arrival_day({"ArrivalTimeStamp": stamp}, RULES.clock, NOW)
        for stamp in (wall, wall + 60, None, float("nan"), "x", 10**30)
    ]

    assert days == ["2026-11-18", "2026-11-19", *["2026-11-20"] * 4]


def test_no_refusal_or_error_carries_a_plaintext(caplog):
    secret = "canary-4711"
    contents = (secret, f"{{'user_id': {secret}}}", f'{{"a": "{secret}', f"['{secret}'")

    for content in contents:
        result = decode(of(content), RULES, NOW)
        table = derive([of(content)], RULES, batch_seq=1, landed_at=NOW, fetched_at=NOW).quarantine

        assert secret not in repr(result)
        assert secret not in repr(table.to_pylist())
    assert secret not in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.sampled_from(["a", 7, "2026-11-19T00:00:00.000Z"])
        for name in (*plaintext(7), "extra")
    },
)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        JSON,
        st.fixed_dictionaries(
            {},
            optional={
                "recordId": JSON | st.just(7),
                "ArrivalTimeStamp": JSON | st.just(1.7e9),
                "data": JSON | st.text("gAB=-_ ", max_size=200) | st.just(GOOD),
                "more": JSON,
            },
        ),
        FIELDS.map(lambda fields: of(str(fields))),
        FIELDS.map(lambda fields: of(json.dumps(fields))),
        st.binary(max_size=80).map(of),
        st.text("{}[]()'\",:\\ unTrueFalse0129.eE+-x\n", max_size=60).map(of),
    )
)
def test_decode_is_total(item: object):
    derived = derive([item], RULES, batch_seq=1, landed_at=NOW, fetched_at=NOW)

    assert sum(t.num_rows for t in derived.raw.values()) + derived.quarantine.num_rows == 1
    assert Reason.RESOURCE_LIMIT not in derived.reasons
