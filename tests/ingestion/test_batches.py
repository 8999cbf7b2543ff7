"""The road for many records at once gives what ``decode`` gives one at a time, row by row.

``oracle`` calls ``decode`` for each envelope and builds plain tuples; nothing of the fast road is
in it.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import batches, kernel, plaintexts, records
from ingestion.keys import KeyRing
from ingestion.pages import Page
from ingestion.privacy import Pseudonyms
from ingestion.records import Derived, Good, Rules, decode
from ingestion.times import SourceClock, milliseconds
from tests.ingestion.bad_records import CASES
from tests.ingestion.bad_records import NEW as BAD_KEY
from tests.ingestion.bad_records import RULES as BAD_RULES
from tests.ingestion.envelopes import FETCHED_AT, PSEUDONYM_KEY, envelope, plaintext

NEW, OLD = Fernet.generate_key().decode(), Fernet.generate_key().decode()
NOW = milliseconds(FETCHED_AT)
RULES = Rules(KeyRing([NEW, OLD]), Pseudonyms(PSEUDONYM_KEY), SourceClock("Asia/Seoul", True))


def oracle(items: Sequence[object], rules: Rules, times: Sequence[int], conflict: int = 0) -> Any:
    """Return what a batch becomes: rows by day, refused rows, and what is counted."""
    raw: dict[str, list[tuple]] = {}
    refused = []
    good_days, refused_days, conflict_days, keys = Counter(), Counter(), Counter(), Counter()
    for place, (item, now) in enumerate(zip(items, times, strict=True)):
        result = decode(item, rules, now)
        number = records.record_id(item)
        number = number if isinstance(number, int) else None
        if place >= len(items) - conflict:
            mark = (opened := records.open_token(item, rules.ring)) and opened.key_fingerprint
            day = records.arrival_day(item, rules.clock, now)
            key = records.conflict_key(item, rules)
            refused.append((number, key, "ID_CONFLICT", "envelope", mark, day, now, item))
            conflict_days[day] += 1
            keys[mark] += 1
        elif isinstance(result, Good):
            raw.setdefault(result.event_day, []).append(result.columns)
            good_days[result.arrival_day] += 1
            keys[result.columns[-1]] += 1
        else:
            key = records.identity(item, rules) if number is None else str(number)
            reason, stage = str(result.reason), str(result.stage)
            mark, day = result.key_fingerprint, result.arrival_day
            refused.append((number, key, reason, stage, mark, day, now, item))
            refused_days[day] += 1
            keys[mark] += 1
    for rows in raw.values():
        rows.sort(key=lambda row: (row[8], row[0]))
    refused.sort(key=lambda row: row[1])
    keys.pop(None, None)
    return raw, refused, (good_days, refused_days, conflict_days, keys)


def plain(derived: Derived) -> Any:
    """Return the same of what was derived, column by column."""
    raw = {}
    for day, table in derived.raw.items():
        assert table.schema == records.tables.ACCESS_LOGS.schema
        table.validate(full=True)
        times = [
            place
            for place, field in enumerate(table.schema)
            if field.name in ("occurred_at", "arrived_at")
        ]
        columns = [column.to_pylist() for column in table.columns[:13]]
        for place in times:
            columns[place] = [milliseconds(t.replace(tzinfo=UTC)) for t in columns[place]]
        raw[day] = list(zip(*columns, strict=True))
    refused = [
        (
            row["record_id"],
            row["record_key"],
            row["reason"],
            row["stage"],
            row["key_fingerprint"],
            row["arrived_date"],
            milliseconds(row["landed_at"].replace(tzinfo=UTC)),
            row["envelope"],
        )
        for row in derived.quarantine.to_pylist()
    ]
    return (
        raw,
        refused,
        tuple(
            Counter(counts)
            for counts in (
                derived.good_days,
                derived.quarantined_days,
                derived.conflict_days,
                derived.keys,
            )
        ),
    )


def assert_equals_the_oracle(
    items: Sequence[object], rules: Rules = RULES, times: int | Sequence[int] = NOW, **more: Any
) -> batches.Decoded:
    """Compare, with the compiled kernel and without; return what the fast road did with it."""
    each = [times] * len(items) if isinstance(times, int) else times
    expected = oracle(items, rules, each, **more)
    with in_python():
        assert_derived(items, expected, rules, times, **more)
    assert kernel.LIBRARY, "make setup builds the kernel."
    assert_derived(items, expected, rules, times, **more)
    return batches.decode_all(items, rules, each)


@contextlib.contextmanager
def in_python() -> Iterator[None]:
    """Do without the compiled kernel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "LIBRARY", None)
        yield


def assert_derived(
    items: Sequence[object], expected: Any, rules: Rules, times: int | Sequence[int], **more: Any
) -> None:
    raw, refused, counts = expected
    derived = records.derive(items, rules, batch_seq=3, landed_at=NOW, fetched_at=times, **more)
    found, found_refused, found_counts = plain(derived)

    assert list(found) == sorted(raw)
    for day, rows in raw.items():
        for column, (ours, theirs) in enumerate(
            zip(zip(*found[day], strict=True), zip(*rows, strict=True), strict=True)
        ):
            assert ours == theirs, f"column {column} of {day}"
    assert [row[:-1] for row in found_refused] == [row[:-1] for row in refused]
    for ours, theirs in zip(found_refused, refused, strict=True):
        assert ours[-1] == records.spell(theirs[-1])
    assert found_counts == counts
    assert derived.reasons == Counter(row[2] for row in refused)


# ---------- a population with everything in it


BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
STRANGER = Fernet(Fernet.generate_key())
SEALERS = [Fernet(NEW), Fernet(OLD)]


def hurt_token(token: str, dice: random.Random) -> object:
    """Return a token in another spelling, broken, or replaced."""
    place = dice.randrange(len(token) - 4)
    body = token.rstrip("=")
    kind = dice.randrange(16)
    if kind == 0:
        return token.replace("-", "+").replace("_", "/")
    if kind == 1:
        return token[:place] + dice.choice(" \n\t!.\0") + token[place:]
    if kind == 2:  # another last character: some of them spell the same bytes
        return body[:-1] + dice.choice(BASE64) + "=" * (len(token) - len(body))
    if kind == 3:
        return token[:place] + dice.choice(BASE64) + token[place + 1 :]
    if kind == 4:
        return token[:place]
    if kind == 5:
        return body + "=" * dice.randrange(5)
    if kind == 6:
        return f"{token[:place]}={token[place + 1 :]}"
    if kind == 7:
        return token[:place] + dice.choice("\u00e9\ud800\uff21!\"\\'") + token[place + 1 :]
    if kind == 8:
        return dice.choice(["h", "A", "g"]) + token[1:]
    if kind == 9:
        return token[: place // 4 * 4]
    if kind == 10:
        return token + token
    if kind == 11:
        return dice.choice([None, 7, 1.5, True, [token], {"data": token}, ""])
    if kind == 12:
        return "A" * len(token)
    if kind == 13:
        return f"{token[:20]}{'A' * 22}{token[42:]}"
    if kind == 14:
        return token.swapcase()
    return token + "A" * dice.randrange(1, 9)


def content_of(fields: dict, dice: random.Random) -> object:
    """Return a plaintext that is a little or very different."""
    kind = dice.randrange(30)
    other = {
        0: {"url": "/o'brien"},
        1: {"url": 'say "x"', "activity": "back\\slash"},
        2: {"url": "/caf\u00e9/\uc11c\uc6b8", "name": "\U0001f600"},
        3: {"url": "a\x07b", "name": "\x7f"},
        4: {"user_id": dice.choice([7, 0, -7, 10**20, True, 1.5, None, "", "7", "\ud800"])},
        5: {"user_id": dice.choice(["a b", "x" * 300, "\u00e9", "o'x", 'o"x', "a\\b", "True"])},
        6: {"record_id": dice.choice([fields["record_id"] + 1, str(fields["record_id"]), 7.0])},
        7: {"record_id": dice.choice([True, None, [1], float(fields["record_id"])])},
        8: {"inDate": fields["inDate"][:19] + dice.choice(["", "Z", ".1Z", ".123456Z", "+09:00"])},
        9: {"inDate": fields["inDate"][:23] + dice.choice(["", "+00:00", "-0500", "z", " ", "Z "])},
        10: {"inDate": dice.choice(ODD_TIMES)},
        11: {"inDate": dice.choice([None, 7, True, ["x"], fields["inDate"].replace("T", " ")])},
        12: {"detail": dice.choice([None, "x", {}, {"message": 7}, {"levelname": "x", "a": [1]}])},
        13: {"extra": dice.choice([1, -0.0, 1e300, [1, {"a": None}], "x" * 70_000, "\ud800"])},
        14: {"session": dice.randrange(10**9)},
        15: {"activity": dice.choice([None, 7, True, "True", "null", "a" * dice.randrange(40)])},
        16: {"url": "/api/products/" + str(dice.randrange(10 ** dice.randrange(1, 6)))},
        17: {"detail": {"levelname": "ERROR", "message": "x" * dice.randrange(60)}},
    }.get(kind, {})
    fields = fields | other
    if kind == 18:
        fields = dict(dice.sample(list(fields.items()), len(fields)))
    if kind == 19:
        del fields[dice.choice(list(fields))]
    text = str(fields) if dice.random() < 0.6 else json.dumps(fields, ensure_ascii=kind % 2 == 0)
    if kind == 20:
        return text.replace("'user_id'", "'user_id': 'first', 'user_id'")
    if kind == 21:
        return text.replace("record_id", "user_id", 1)
    if kind == 22:
        return text.replace(": ", dice.choice([":", " : ", ":  "]))
    if kind == 23:
        return text.replace("'record_id': ", f"'record_id': {dice.choice('0+-')}")
    if kind == 24:
        return text + dice.choice([" ", "\n", "x", "{}", "\x01", ",", "\x10" * 3])
    if kind == 25:
        return text.encode() + b"\xff"
    if kind == 26:
        return text[: dice.randrange(len(text))]
    if kind == 27:
        return text.replace(
            "view", dice.choice(["f0e1d2c3b4a5968778695a4b3c2d1e0f", "a\nb", "x\ty"])
        )
    return text


ODD_TIMES = [
    "2016-12-31T23:59:60.000Z",
    "2024-02-30T00:00:00.000Z",
    "2023-02-29T12:00:00.000Z",
    "2024-02-29T12:00:00.000Z",
    "2026-11-19T24:00:00.000Z",
    "0000-01-01T00:00:00.000Z",
    "0001-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
    "2014-12-31T23:59:59.999Z",
    "2015-01-01T00:00:00.000Z",
    "2026-11-21T12:00:00.000Z",
    "2026-11-21T12:00:00.001Z",
    "2026-11-19T10:00:00.00\u0661Z",
    "2026-11-1 T10:00:00.000Z",
    "+026-11-19T10:00:00.000Z",
    "2026-11-19T10:00:00,000Z",
    "2026-11-19t10:00:00.000Z",
    "2026-11-19T1:00:00.0000Z",
]


def everything(count: int, seed: int, share: float = 0.3) -> list[object]:
    """Return envelopes, ``share`` of them different from an ordinary one."""
    dice = random.Random(seed)
    start = dice.choice([1, 95, 2_462_380])
    items: list[Any] = []
    for number in range(start, start + count):
        at = FETCHED_AT.replace(tzinfo=UTC).timestamp() - dice.randrange(
            86_400 * dice.choice([1, 40])
        )
        moment = datetime.fromtimestamp(at, UTC).replace(microsecond=dice.randrange(1000) * 1000)
        fields = plaintext(number, moment)
        is_odd = dice.random() < share
        content = content_of(fields, dice) if is_odd else dice.choice([str, json.dumps])(fields)
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogatepass")
        sealer = STRANGER if is_odd and dice.random() < 0.1 else SEALERS[dice.random() < 0.2]
        stamp = int(at) + (dice.choice([0, 10**6, 10**9]) if is_odd else 0)
        item: Any = {
            "recordId": number,
            "ArrivalTimeStamp": at + 32_400 + dice.choice([0, 0.819, 0.0005, 0.4995]),
            "data": sealer.encrypt_at_time(content, stamp).decode(),
        }
        if is_odd and dice.random() < 0.3:
            item["data"] = hurt_token(item["data"], dice)
        if is_odd and dice.random() < 0.1:
            item |= dice.choice(
                [
                    {"recordId": dice.choice([None, "7", -1, 2**63, 2**64, True, 7.0, 2**63 - 1])},
                    {"ArrivalTimeStamp": dice.choice([None, "1", 0, -5, True, 10**400, 10**12])},
                    {
                        "ArrivalTimeStamp": dice.choice(
                            [float("nan"), float("inf"), 1.7e9, 1795000000]
                        )
                    },
                    {"shard": dice.choice([1, "\ud800", [None]])},
                ]
            )
        if is_odd and dice.random() < 0.05:
            item = dice.choice([None, 7, "x", [], {}, {"recordId": number, "a": 1, "b": 2}, [item]])
        items.append(item)
    return items


@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_thousand_records_equal_the_oracle_column_by_column(seed: int):
    fast = 0
    for part in range(5):
        items = everything(10_000, seed=seed * 10 + part, share=(0, 0.02, 0.1, 0.3, 0.7)[part])

        done = assert_equals_the_oracle(items, conflict=100 if part % 2 else 0)

        fast += done.good.num_rows + len(done.refused)
    assert fast > 30_000, "The fast road takes too little for this test to say anything."


# ---------- what is taken together


def ordinary(count: int, spell: Any = str, **changes: Any) -> list[dict]:
    items = []
    for number in range(101, 101 + count):
        fields = plaintext(number) | changes
        plain = {name: value for name, value in fields.items() if value is not None}
        items.append(envelope(NEW, number, spell(plain)))
    return items


@pytest.mark.parametrize("spell", [str, json.dumps, lambda fields: json.dumps(fields, indent=1)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"user_id": 12},
        {"record_id": None},
        {"url": "/caf\u00e9/'\"\\\n\x07"},
        {"extra": {"a": [1, None]}, "detail": {"message": "m", "trace": 7}},
        {"detail": None, "activity": None, "name": None},
        {"inDate": "2026-11-19T10:00:00.000"},
    ],
)
def test_ordinary_records_are_decoded_together_however_they_are_spelled(spell, changes):
    done = assert_equals_the_oracle(ordinary(60, spell, **changes))

    assert len(done.rest) == 0
    assert done.good.num_rows == 60


def test_records_are_judged_one_by_one_if_anything_fails(monkeypatch):
    items = ordinary(60)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "_table", lambda *_: 1 // 0)
        derived = records.derive(items, RULES, batch_seq=3, landed_at=NOW, fetched_at=NOW)

    assert derived == records.derive(items, RULES, batch_seq=3, landed_at=NOW, fetched_at=NOW)
    assert_equals_the_oracle(items)


def test_few_records_are_decoded_one_by_one():
    done = assert_equals_the_oracle(ordinary(batches.MIN_ROWS - 1))

    assert len(done.rest) == batches.MIN_ROWS - 1


def test_a_bad_token_costs_only_itself():
    items = ordinary(2_000)
    dice = random.Random(8)
    bad = dice.sample(range(2_000), 100)
    for place in bad[:50]:
        items[place]["data"] = hurt_token(items[place]["data"], dice)
    for place in bad[50:]:
        items[place]["data"] = STRANGER.encrypt(str(plaintext(place + 101)).encode()).decode()

    done = assert_equals_the_oracle(items)

    assert set(done.rest) <= set(bad[:50])
    assert {place for place, _ in done.refused} >= set(bad[50:])


def test_a_bad_time_and_a_bad_plaintext_cost_only_themselves():
    items = ordinary(2_000, inDate="2026-10-31T10:00:00.000Z")
    for place, text in enumerate(ODD_TIMES):
        fields = plaintext(place * 7 + 101, inDate=text)
        items[place * 7] = envelope(NEW, place * 7 + 101, fields)
    items[5] = envelope(NEW, 106, "no record")

    done = assert_equals_the_oracle(items[:1_999])

    # A day behind the 28th is looked at closely once there is a day that does not exist.
    assert 0 < len(done.rest) < 2_000
    items = [item for place, item in enumerate(items) if place % 7 or place // 7 >= len(ODD_TIMES)]
    items.append(envelope(NEW, 5_000, plaintext(5_000, inDate="yesterday, about nine o")))
    assert len(assert_equals_the_oracle(items).rest) <= 3


def test_the_whole_list_of_bad_inputs_among_good_ones():
    good = [envelope(BAD_KEY, number) for number in range(100, 200)]
    items = [item for _, _, item, _ in CASES if len(records.spell(item)) < 100_000]
    mixed = random.Random(2).sample(good + items, len(good) + len(items))

    done = assert_equals_the_oracle(mixed, BAD_RULES)

    assert done.good.num_rows >= 100


def test_equal_times_and_ids_keep_their_order_of_arrival():
    items = [
        envelope(NEW, 1 + n % 3, plaintext(1 + n % 3, url=f"/{n % 10}", inDate=TIME_OF[n % 2]))
        for n in range(200)
    ]

    done = assert_equals_the_oracle(items)

    assert len(done.rest) == 0


TIME_OF = ("2026-11-19T10:00:00.000Z", "2026-11-18T23:59:59.999Z")


@pytest.mark.parametrize("false_z", [True, False])
@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
def test_zones_with_summer_time_equal_the_oracle(zone: str, false_z: bool):
    rules = Rules(RULES.ring, RULES.pseudonyms, SourceClock(zone, false_z))
    clock = Rules(RULES.ring, RULES.pseudonyms, SourceClock(zone, false_z))
    days = ("2026-03-08", "2026-03-29", "2026-10-25", "2026-11-01", "2026-04-05", "2026-10-04")
    items = []
    for number in range(1, 601):
        day, minute = days[number % 6], number * 7 % 1440
        text = f"{day}T{minute // 60:02d}:{minute % 60:02d}:59.999{'Z' if number % 3 else ''}"
        stamp = datetime.fromisoformat(f"{text[:23]}+00:00").timestamp()
        fields = plaintext(number, inDate=text)
        items.append(envelope(NEW, number, fields, ArrivalTimeStamp=stamp))

    done = assert_equals_the_oracle(items, rules)
    again = oracle(items, clock, [NOW] * len(items))

    assert len(done.rest) == 0
    assert again == oracle(items, rules, [NOW] * len(items))


def test_each_record_is_judged_by_its_own_time():
    items = ordinary(300)
    dice = random.Random(4)
    event = milliseconds(datetime(2026, 11, 19, 1, tzinfo=UTC))
    times = [event + dice.choice([-90_000_000, -86_400_000, 0, 10**9]) for _ in items]

    done = assert_equals_the_oracle(items, times=times)

    assert 0 < len(done.rest) < 300


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_keys_change_within_a_batch(order):
    third = Fernet.generate_key().decode()
    ring = [
        {"key": NEW, "state": "primary", "not_before": "2026-11-20T02:00:00Z"},
        {"key": OLD, "state": "decrypt-only"},
        {"key": third, "state": "retired"},
    ]
    rules = Rules(KeyRing(ring), RULES.pseudonyms, RULES.clock)
    keys = [(NEW, OLD)[n] for n in order]
    items = [envelope(keys[n > 150], n) for n in range(1, 300)]
    items += [envelope((NEW, OLD, third)[n % 3], n) for n in range(300, 600)]

    done = assert_equals_the_oracle(items, rules)

    assert len(done.rest) == 0
    assert len(done.refused) == 100


def test_two_keys_that_sign_alike_are_left_to_the_ring():
    halves = [base64.urlsafe_b64decode(key) for key in (NEW, OLD)]
    twin = base64.urlsafe_b64encode(halves[0][:16] + halves[1][16:]).decode()
    rules = Rules(KeyRing([NEW, twin]), RULES.pseudonyms, RULES.clock)
    items = [envelope((NEW, twin)[n % 2], n) for n in range(1, 60)]

    done = assert_equals_the_oracle(items, rules)

    assert len(done.rest) == len(items)


def sealed(content: bytes, stamped_at: int = NOW // 1_000) -> str:
    """Return content as a token, encrypted as it is: its padding is the caller's matter."""
    secret = base64.urlsafe_b64decode(NEW)
    vector = bytes(range(16))
    encryptor = Cipher(algorithms.AES(secret[16:]), modes.CBC(vector)).encryptor()
    signed = b"\x80" + stamped_at.to_bytes(8, "big") + vector + encryptor.update(content)
    tag = hmac.new(secret[:16], signed, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(signed + tag).decode()


def test_padding_is_checked_byte_by_byte():
    items = ordinary(300)
    number = 1_000
    for size in range(1, 17):
        for wrong in (0, 1, 17, 255, size + 1, size - 1):
            for place in {1, min(2, size), size}:
                # A url of a length that leaves room for just this padding.
                text = str(plaintext(number, url="")).encode()
                url = "u" * (-(len(text) + size) % 16)
                text = str(plaintext(number, url=url)).encode()
                padding = bytearray([size]) * size
                padding[-place] = wrong if wrong < 256 else 0
                items.append(envelope(NEW, number, data=sealed(text + padding)))
                number += 1

    done = assert_equals_the_oracle(items)

    # A 1 at the very end is a padding of its own; what is before it is then a part of the text.
    assert done.good.num_rows >= 300


# ---------- mutations

SIGNS = st.sampled_from("""'"\\{}[](),: 0179-+.eEuTrNfalse\n\t\0\x01\x10\x7f\u00e9\ufeff\ud800""")
EDITS = st.lists(
    st.tuples(st.integers(0, 330), st.sampled_from(["in", "out", "swap"]), SIGNS), max_size=3
)


def edited(text: str, edits: list[tuple[int, str, str]]) -> str:
    for place, kind, sign in edits:
        place %= len(text) + 1
        behind = place if kind == "in" else place + 1
        text = text[:place] + ("" if kind == "out" else sign) + text[behind:]
    return text or " "


@settings(max_examples=150, deadline=None)
@given(st.lists(EDITS, min_size=20, max_size=60), st.sampled_from([str, json.dumps]))
def test_edited_plaintexts_equal_the_oracle(edits: list, spell: Any):
    items = ordinary(20, spell)
    for number, some in enumerate(edits, 1_021):
        text = edited(spell(plaintext(number)), some).encode("utf-8", "surrogatepass")
        items.append(envelope(NEW, number, text))

    assert_equals_the_oracle(items)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 500),
                st.sampled_from(["in", "out", "swap"]),
                st.sampled_from('AaQ09-_+/= \n!.\u00e9\ud800"\\\0'),
            ),
            max_size=3,
        ),
        min_size=20,
        max_size=60,
    )
)
def test_edited_tokens_equal_the_oracle(edits: list):
    items = ordinary(20)
    for number, some in enumerate(edits, 1_021):
        token = envelope(NEW, number)["data"]
        items.append(envelope(NEW, number, data=edited(token, some)))

    assert_equals_the_oracle(items)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["2026-11-19T10:20:30.456", "2024-02-29 23:59:59.999", *ODD_TIMES]),
            st.lists(st.tuples(st.integers(0, 22), st.sampled_from("0123456789-:.TZ +\u0661"))),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_a_time_is_read_as_the_clock_reads_it_or_not_at_all(cases: list):
    clock = SourceClock("UTC", false_z=False)
    texts = []
    for text, edits in cases:
        for place, sign in edits:
            text = text[:place] + sign + text[place + 1 :]
        texts.append(text.encode()[:23])

    times, kept = plaintexts._times(pa.array(texts, pa.binary()))

    kept = [True] * len(texts) if kept is None else kept.to_pylist()
    taken = [text for text, is_kept in zip(texts, kept, strict=True) if is_kept]
    for text, found in zip(taken, times.to_pylist(), strict=True):
        if len(text) == 23 and text[:4] != b"0000":  # a year that is in no range
            assert clock.parse(text.decode()) == found


# ---------- parse

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(JSON, st.booleans())
def test_parse_is_json_loads(value: Any, is_ascii: bool):
    body = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")

    assert_parsed_as_by_json(body)


def assert_parsed_as_by_json(body: bytes) -> None:
    try:
        expected = repr(json.loads(body))
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            records.parse(body)
    else:
        assert repr(parsed(body)) == expected


def parsed(body: bytes) -> Any:
    """Return what ``records.parse`` reads, with a page as the list that it stands for."""
    value = records.parse(body)
    return list(value) if isinstance(value, Page) else value


@settings(max_examples=400, deadline=None)
@given(
    st.from_regex(rb"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
def test_parse_reads_numbers_to_the_last_bit(body: bytes):
    assert repr(parsed(body)) == repr(json.loads(body))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "b": 2, "a": 3}',
        "[NaN, Infinity, -Infinity]",
        "[1e999, -1e999, -0, -0.0]",
        '["\\ud800", "\\udc00\\ud800", "\\ud83d\\ude00"]',
        "[" * 900 + "]" * 900,
        " \n[1]\t",
    ],
)
def test_parse_reads_what_is_strange_as_json_loads(text: str):
    assert repr(parsed(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize("body", [b"", b"[", b"[1,]", b"[01]", b"[1] x", b'["\x01"]', b"\xff"])
def test_parse_refuses_what_json_loads_refuses(body: bytes):
    with pytest.raises(ValueError, match=r"."):
        records.parse(body)


def test_pseudonyms_of_many_are_those_of_each():
    pseudonyms = Pseudonyms(PSEUDONYM_KEY)
    texts = [b"a", b"", b"x" * 1_000, "\u00e9".encode(), b"a"]

    for _ in range(2):
        assert pseudonyms.of_many(texts) == [pseudonyms.of(text.decode()) for text in texts]
    assert all(len(text) < 1_000 for text in pseudonyms._known)


def test_padding_characters_are_no_others():
    items = ordinary(100)
    token = items[0]["data"]
    assert token.endswith("==")
    for number, ending in enumerate(["A=", "=A", "AA", "==", "-=", "=="], 1_000):
        for last in "AQgw":
            changed = envelope(NEW, number)["data"]
            items.append(envelope(NEW, number, data=f"{changed[:-3]}{last}{ending}"))

    assert_equals_the_oracle(items)


def test_a_value_that_looks_like_a_stand_in_is_none():
    user, time, number = (
        plaintexts._USER.decode(),
        plaintexts._TIME.decode(),
        plaintexts._NUMBER.decode(),
    )
    items = ordinary(100)
    for place in range(40):
        decoys = [
            {"x": {"user_id": "a" * 64}} | plaintext(1_000 + place, user_id=user),
            {"user_id": user} | plaintext(1_000 + place, activity=user),
            {"x": {"inDate": "2026-11-19T10:00:00.000Z"}}
            | plaintext(1_000 + place, inDate=f"{time}Z"),
            {"x": {"record_id": 1_000 + place}}
            | plaintext(1_000 + place)
            | {"record_id": int(number)},
            {"x": {"record_id": 1_000 + place}}
            | {"user_id": "a", "inDate": "2026-11-19T10:00:00.000Z"},
        ]
        for fields in decoys:
            items += [
                envelope(NEW, 1_000 + place, text) for text in (str(fields), json.dumps(fields))
            ]

    assert_equals_the_oracle(items)


def test_an_id_that_is_no_plain_integer_is_not_taken_for_one():
    items = ordinary(100)
    for value in (True, 1.0, "101", -1, 2**63):
        items.append(envelope(NEW, 101, recordId=value))

    assert_equals_the_oracle(items)
    for value in (True, 101.0):  # alone, so that nothing else is odd about the batch
        assert_equals_the_oracle([*ordinary(50), envelope(NEW, 101, recordId=value)])


def test_a_day_before_the_first_partition_is_refused():
    items = ordinary(100)
    for number, text in enumerate(
        ("2014-12-31T23:59:59.999Z", "2015-01-01T00:00:00.000Z") * 20, 500
    ):
        items.append(envelope(NEW, number, plaintext(number, inDate=text)))

    done = assert_equals_the_oracle(items)

    assert len(done.rest) == 20


def test_arrival_times_are_rounded_as_python_rounds():
    base = envelope(NEW, 101)["ArrivalTimeStamp"] // 1
    # Sixteenths are exact in binary, and half of them lie between two milliseconds.
    stamps = [base + part / 16 for part in range(16)] * 4 + [int(base)] * 10
    items = [
        envelope(NEW, number, ArrivalTimeStamp=stamp) for number, stamp in enumerate(stamps, 101)
    ]

    done = assert_equals_the_oracle(items)

    assert len(done.rest) == 0


# ---------- pages, which only the compiled kernel reads

ENVELOPE = st.builds(
    '{{"recordId":{0}{1},{0}"ArrivalTimeStamp":{0}{2},{0}"data":{0}"{3}"}}'.format,
    st.sampled_from(["", " "]),
    st.integers(0, 10**18 - 1),
    st.from_regex(r"[1-9][0-9]{9}(\.[0-9]{1,9})?", fullmatch=True),
    st.text(BASE64 + "= !{},:[]", max_size=20),
)
BETWEEN = st.sampled_from([",", ", ", ",\n"])
ODD_BYTES = st.sampled_from([b"", b"\\", b'"', b"\n", b"\xff", b"0", b"-", b".", b"e", b"}", b" "])


def body_of(envelopes: Sequence[str], between: str = ",") -> bytes:
    return f"[{between.join(envelopes)}]".encode()


@settings(max_examples=400, deadline=None)
@given(st.lists(ENVELOPE, min_size=1, max_size=5), BETWEEN)
def test_a_page_is_what_json_loads_reads(envelopes: list[str], between: str):
    body = body_of(envelopes, between)

    page = records.parse(body)

    assert isinstance(page, Page)
    expected = json.loads(body)
    assert repr(list(page)) == repr(expected)
    assert page.columns.ids.to_pylist() == [each["recordId"] for each in expected]
    assert page.columns.milliseconds.to_pylist() == [
        round(each["ArrivalTimeStamp"] * 1000) for each in expected
    ]
    assert list(page.tokens) == [each["data"] for each in expected]
    assert repr(list(page[1:3])) == repr(expected[1:3])


@settings(max_examples=500, deadline=None)
@given(st.lists(ENVELOPE, min_size=1, max_size=3), BETWEEN, st.data())
def test_a_page_that_was_tampered_with_is_still_what_json_loads_reads(envelopes, between, data):
    body = body_of(envelopes, between)
    place = data.draw(st.integers(0, len(body)))
    end = place + data.draw(st.integers(0, 2))
    body = body[:place] + data.draw(ODD_BYTES) + body[end:]

    assert_parsed_as_by_json(body)


@pytest.mark.parametrize(
    "stamp",
    ["1767225600", "1767225600.0005", "1767225600.4995", "1000000000.000000", "9007199254.740993",
     "9007199254.740992", "9999999999.999", "1767225600.123456789", "0767225600.1", "1767225600."],
)  # fmt: skip
def test_arrival_times_are_the_doubles_that_json_reads(stamp: str):
    body = body_of([f'{{"recordId":1,"ArrivalTimeStamp":{stamp},"data":""}}'])
    if stamp.startswith("0") or stamp.endswith("."):
        with pytest.raises(ValueError, match=r"."):
            records.parse(body)
        return

    page = records.parse(body)

    if isinstance(page, Page):
        (found,) = page.columns.milliseconds.to_pylist()
        assert found == round(json.loads(stamp) * 1000)
    assert json.loads(stamp) == page[0]["ArrivalTimeStamp"]


@pytest.mark.parametrize("seed", range(3))
def test_pages_become_the_rows_that_their_envelopes_become(seed: int):
    items = [item for item in everything(8_000, seed=900 + seed, share=0.4) if is_plain(item)]
    body = json.dumps(items).encode()
    page = records.parse(body)
    assert isinstance(page, Page)
    assert len(page) > 5_000

    assert_derived(page, oracle(items, RULES, [NOW] * len(items)), RULES, NOW)
    with_conflicts = oracle(items, RULES, [NOW] * len(items), conflict=200)
    assert_derived(page, with_conflicts, RULES, NOW, conflict=200)


def is_plain(item: object) -> bool:
    return bool(
        isinstance(item, dict)
        and set(item) == {"recordId", "ArrivalTimeStamp", "data"}
        and type(item["recordId"]) is int
        and re.fullmatch(r"0|[1-9][0-9]{0,17}", str(item["recordId"]))
        and type(item["ArrivalTimeStamp"]) in (int, float)
        and re.fullmatch(r"[1-9][0-9]{9}(\.[0-9]{1,9})?", str(item["ArrivalTimeStamp"]))
        and isinstance(item["data"], str)
        and re.fullmatch(r"[ !#-\[\]-~]*", item["data"])
    )
