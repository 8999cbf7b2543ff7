"""Every fault of a record, seen on the wire by a reader who has the right record beside it."""

from __future__ import annotations

import ast
import base64
import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet

from simulator.faults import RECORD, Faults
from simulator.tokens import Sealer
from tests.simulator.wire import FIRST, KEYS, LAST, Address, ask, opened, serving

NOW = time.time()
UNTIL_NOW = 3_600.0
"""How old a fresh token may look: a machine that is busy with tests."""


class Digits(str):
    """A number of more digits than Python reads."""


def _integer(digits: str) -> int | Digits:
    return int(digits) if len(digits) < 4_300 else Digits(digits)


@dataclass(frozen=True)
class Seen:
    """What stands on a page for one hurt record, and what should stand there."""

    text: str
    elements: list[Any]
    right: dict[str, Any]
    right_fields: dict[str, Any]
    stranger: str

    @property
    def one(self) -> Any:
        (element,) = self.elements
        return element

    @property
    def id(self) -> int:
        number: int = self.right["recordId"]
        return number

    @property
    def token(self) -> str:
        data: str = self.one["data"]
        return data

    @property
    def raw(self) -> bytes:
        return base64.urlsafe_b64decode(self.token)

    def opened(self, element: dict[str, Any] | None = None) -> tuple[str, bytes, int]:
        return opened((element or self.one)["data"], self.stranger)

    @property
    def plain(self) -> bytes:
        """The plaintext, of an envelope that is otherwise as it should be."""
        assert {**self.one, "data": ""} == {**self.right, "data": ""}
        key, plain, stamp = self.opened()
        assert key == "primary"
        assert abs(stamp - NOW) < UNTIL_NOW
        return plain

    @property
    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = ast.literal_eval(self.plain.decode())
        return found

    @property
    def differences(self) -> dict[str, Any]:
        """Fields that are not as they should be; None stands for one that is not there."""
        found = self.fields
        names = found.keys() | self.right_fields.keys()
        return {
            name: found.get(name)
            for name in names
            if repr(found.get(name)) != repr(self.right_fields.get(name))
        }

    def has_right_plaintext(self, *elements: dict[str, Any]) -> bool:
        return all(
            ast.literal_eval(self.opened(element)[1].decode()) == self.right_fields
            for element in elements or (self.one,)
        )


Check = Callable[[Seen], bool]


def _id(make: Callable[[int], Any]) -> Check:
    def check(seen: Seen) -> bool:
        expected = make(seen.id)
        return (
            (seen.one["recordId"], type(seen.one["recordId"])) == (expected, type(expected))
            and seen.one.keys() == seen.right.keys()
            and seen.has_right_plaintext()
        )

    return check


def _twins(*ids: Callable[[int], Any], same_token: bool = False) -> Check:
    def check(seen: Seen) -> bool:
        first, second = seen.elements
        return (
            [first["recordId"], second["recordId"]] == [make(seen.id) for make in ids]
            and (first["data"] == second["data"]) is same_token
            and seen.has_right_plaintext(first, second)
        )

    return check


def _itself(number: int) -> int:
    return number


def _is_told_otherwise(seen: Seen) -> bool:
    first, second = seen.elements
    plain = ast.literal_eval(seen.opened(second)[1].decode())
    return (
        first["recordId"] == second["recordId"] == seen.id == plain["record_id"]
        and seen.has_right_plaintext(first)
        and plain != seen.right_fields
    )


def _is_reused(seen: Seen) -> bool:
    first, second = seen.elements
    plain = ast.literal_eval(seen.opened(second)[1].decode())
    return (
        first["recordId"] == seen.id
        and second["recordId"] == plain["record_id"] == seen.id - 5_000
        and seen.has_right_plaintext(first)
    )


def _token(value: Any) -> Check:
    return lambda seen: seen.one == {**seen.right, "data": value}


def _opens_with(key: str) -> Check:
    return lambda seen: seen.opened()[0] == key and seen.has_right_plaintext()


def _opens_although(spelling: Callable[[str], bool]) -> Check:
    """Check that a token decrypts, and is not spelled as Fernet spells it."""
    return lambda seen: spelling(seen.token) and _opens_with("primary")(seen)


def _is_canonical(token: str) -> bool:
    return base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode() == token


def _opens_not(seen: Seen) -> bool:
    return seen.opened()[0] == "nobody"


def _has_token_shape(seen: Seen) -> bool:
    raw = seen.raw
    return _is_canonical(seen.token) and raw[0] == 0x80 and len(raw) >= 73 and len(raw) % 16 == 9


def _is_damaged(seen: Seen) -> bool:
    return _opens_not(seen) and _has_token_shape(seen)


def _is_one_bit_off(seen: Seen) -> bool:
    # Which bit: the only one whose repair makes the token open.
    raw = seen.raw
    for bit in range(len(raw) * 8):
        repaired = bytearray(raw)
        repaired[bit // 8] ^= 1 << bit % 8
        if opened(base64.urlsafe_b64encode(repaired).decode(), "")[0] == "primary":
            return _opens_not(seen) and bit >= 8
    return False


def _is_stamped(at: Callable[[], float], slack: float = 0) -> Check:
    return lambda seen: (
        abs(seen.opened()[2] - at()) <= slack
        and seen.opened()[0] == "primary"
        and seen.has_right_plaintext()
    )


def _is_large(size: int) -> Check:
    return lambda seen: (
        abs(len(seen.token) - size) < 1_000
        and Fernet(KEYS["primary"]).decrypt(seen.token).rstrip() == str(seen.right_fields).encode()
    )


def _plain(expected: Callable[[Seen], bytes]) -> Check:
    return lambda seen: seen.plain == expected(seen)


def _literal(literal: str, name: str = "price") -> Check:
    def check(seen: Seen) -> bool:
        expected = {**seen.right_fields, name: "HERE"}
        return seen.plain.decode() == str(expected).replace("'HERE'", literal)

    return check


def _field(**expected: Any) -> Check:
    return lambda seen: repr(seen.differences) == repr(expected)


def _inner_id(make: Callable[[int], Any]) -> Check:
    return lambda seen: repr(seen.differences) == repr({"record_id": make(seen.id)})


def _adds_keys(count: int) -> Check:
    # literal_eval of a million keys takes seconds; every key is one colon and a zero.
    return lambda seen: len(re.findall(rb"'k\d+': 0[,}]", seen.plain)) == count


def _time(pattern: str, shift: timedelta | None = None) -> Check:
    def check(seen: Seen) -> bool:
        text = seen.differences["inDate"]
        if shift is not None:
            right = datetime.fromisoformat(seen.right_fields["inDate"])
            return bool(datetime.fromisoformat(text) == right + shift and text.endswith("Z"))
        return bool(re.fullmatch(pattern, text))

    return check


def _epoch(per_second: int) -> Check:
    def check(seen: Seen) -> bool:
        at = datetime.fromisoformat(seen.right_fields["inDate"]).timestamp()
        found = seen.differences["inDate"]
        return type(found) is int and abs(found / per_second - at) < 1

    return check


def _arrival(is_so: Callable[[Any, float], bool]) -> Check:
    return lambda seen: (
        is_so(seen.one["ArrivalTimeStamp"], seen.right["ArrivalTimeStamp"])
        and seen.one["recordId"] == seen.id
        and seen.has_right_plaintext()
    )


def _days(count: float) -> timedelta:
    return timedelta(days=count)


CHECKS: dict[str, Check] = {
    "id-missing": lambda seen: (
        list(seen.one) == ["ArrivalTimeStamp", "data"] and seen.has_right_plaintext()
    ),
    "id-null": _id(lambda _: None),
    "id-empty": _id(lambda _: ""),
    "id-as-text": _id(str),
    "id-as-number-and-text": _twins(_itself, str),
    "id-float": lambda seen: f'"recordId":{seen.id}.0,' in seen.text and _id(float)(seen),
    "id-true": _id(lambda _: True),
    "id-2-63": _id(lambda n: 2**63 + n),
    "id-2-64": _id(lambda n: 2**64 + n),
    "id-minus-one": _id(lambda _: -1),
    "id-400-digits": _id(lambda n: 10**400 + n),
    "id-4301-digits": lambda seen: (
        len(seen.one["recordId"]) == 4_301 and isinstance(seen.one["recordId"], Digits)
    ),
    "id-array": _id(lambda n: [n]),
    "id-object": _id(lambda n: {"id": n}),
    "id-path": _id(lambda n: f"../../raw/dt=x/{n}"),
    "id-sql": _id(lambda n: f"{n}' or dt<>'x"),
    "id-percent-encoded": _id(lambda n: f"%2e%2e%2f%2e%2e%2f{n}"),
    "id-backslash": _id(lambda n: rf"..\..\raw\{n}"),
    "id-nul": _id(lambda n: f"{n}\0.parquet"),
    "id-newline": _id(lambda n: f"{n}\nlanded rows=0"),
    "id-header": _id(lambda n: f"{n}\r\nX-Injected: yes"),
    "id-10-mb": lambda seen: (
        len(seen.one["recordId"]) == 10_000_000 and seen.one["recordId"].startswith(str(seen.id))
    ),
    "id-nfc-and-nfd": _twins(lambda n: f"café-{n}", lambda n: f"cafe\u0301-{n}"),
    "id-zero-width": _id(lambda n: f"{n}\u200b"),
    "id-right-to-left": _id(lambda n: f"\u202e{n}"),
    "id-homoglyph": lambda seen: (
        not seen.one["recordId"].isascii() and _id(lambda n: f"r\u0435\u0441ord-{n}")(seen)
    ),
    "id-with-spaces": _id(lambda n: f" {n} "),
    "id-hive-default": _id(lambda _: "__HIVE_DEFAULT_PARTITION__"),
    "twice-same-token": _twins(_itself, _itself, same_token=True),
    "twice-other-token": _twins(_itself, _itself),
    "twice-other-plaintext": _is_told_otherwise,
    "id-reused": _is_reused,
    "id-key-twice": lambda seen: (
        re.findall(r'"recordId":(\d+)', seen.text)[:2] == [str(seen.id + 1), str(seen.id)]
        and seen.has_right_plaintext()
    ),
    "envelope-extra-fields": lambda seen: (
        len(seen.one) == 5
        and {name: seen.one[name] for name in seen.right if name != "data"}.items()
        <= seen.one.items()
        and seen.has_right_plaintext()
    ),
    "record-null": lambda seen: seen.one is None,
    "record-number": lambda seen: seen.one == seen.id,
    "record-list": lambda seen: seen.one[:2] == [seen.id, seen.right["ArrivalTimeStamp"]],
    "record-text": lambda seen: seen.has_right_plaintext(json.loads(seen.one)),
    "token-missing": lambda seen: seen.one == {k: v for k, v in seen.right.items() if k != "data"},
    "token-null": _token(None),
    "token-number": _token(20_230_420),
    "token-list": _token(["gAAAAA"]),
    "token-empty": _token(""),
    "token-non-ascii": lambda seen: not seen.token.isascii() and _opens_not(seen),
    "token-lone-surrogate": lambda seen: (
        "\ud800" in seen.token and "\\ud800" in seen.text and _opens_not(seen)
    ),
    "token-newline": _opens_although(lambda token: token.endswith("\n")),
    "token-junk-inside": _opens_although(lambda token: "*\r\n!" in token),
    "token-standard-base64": _opens_although(
        lambda token: "+" in token and "/" in token and not {"-", "_"} & set(token)
    ),
    "token-padding-missing": lambda seen: (
        len(seen.token) % 4 == 2 and opened(seen.token + "==", "")[0] == "primary"
    ),
    "token-padding-extra": lambda seen: (
        seen.token.endswith("====") and opened(seen.token[:-4], "")[0] == "primary"
    ),
    "token-last-character": _opens_although(
        lambda token: token.endswith("==") and not _is_canonical(token)
    ),
    "token-version": lambda seen: seen.raw[0] == 0x81 and _opens_not(seen),
    "token-cut": lambda seen: (
        seen.raw != b"" and not _has_token_shape(seen) and seen.raw[0] == 0x80
    ),
    "token-cut-to-blocks": lambda seen: _is_damaged(seen) and len(seen.raw) < 300,
    "token-bit-flip": _is_one_bit_off,
    "token-other-iv": _is_damaged,
    "old-key": _opens_with("decrypt-only"),
    "unknown-key": _opens_with("stranger"),
    "removed-key": _opens_with("retired"),
    "token-time-zero": _is_stamped(lambda: 0),
    "token-time-tomorrow": _is_stamped(lambda: NOW + 86_400, UNTIL_NOW),
    "token-time-2-63": _is_stamped(lambda: 2**63 - 1),
    "token-time-2-64": _is_stamped(lambda: 2**64 - 1),
    "token-expired": _is_stamped(lambda: NOW - 400 * 86_400, UNTIL_NOW),
    "token-2-mb": _is_large(2_000_000),
    "token-50-mb": _is_large(50_000_000),
    "token-in-token": lambda seen: (
        ast.literal_eval(opened(seen.plain.decode(), "")[1].decode()) == seen.right_fields
    ),
    "tokens-joined": lambda seen: (
        len(re.findall("gAAAAA", seen.token)) == 2
        and opened(seen.token[: len(seen.token) // 2], "")[0] == "primary"
        and opened(seen.token[len(seen.token) // 2 :], "")[0] == "primary"
    ),
    "plaintext-empty": _plain(lambda _: b""),
    "token-quoted": lambda seen: opened(json.loads(seen.token), "")[0] == "primary",
    "token-jwt": lambda seen: seen.token.count(".") == 2 and seen.token.startswith("eyJ"),
    "token-age": lambda seen: seen.token.startswith("-----BEGIN AGE"),
    "token-pgp": lambda seen: seen.token.startswith("-----BEGIN PGP"),
    "plaintext-not-utf-8": _plain(lambda seen: str(seen.right_fields).encode() + b"\xff"),
    "plaintext-utf-16": _plain(lambda seen: str(seen.right_fields).encode("utf-16")),
    "plaintext-bom": _plain(lambda seen: b"\xef\xbb\xbf" + str(seen.right_fields).encode()),
    "plaintext-prose": _plain(lambda seen: f"record {seen.id} could not be written".encode()),
    "plaintext-code": lambda seen: seen.plain.startswith(b"__import__('os').system("),
    "plaintext-two-documents": _plain(
        lambda seen: f"{seen.right_fields}\n{seen.right_fields}".encode()
    ),
    "plaintext-list": _plain(lambda seen: f"[{seen.right_fields}]".encode()),
    "plaintext-scalar": _plain(lambda seen: str(seen.id).encode()),
    "depth-900": _literal("[" * 900 + "]" * 900),
    "depth-5000": _literal("[" * 5_000 + "]" * 5_000),
    "depth-100000": _literal("[" * 100_000 + "]" * 100_000),
    "number-nan": _literal("NaN"),
    "number-infinity": _literal("Infinity"),
    "number-1e999": _literal("1e999"),
    "number-4301-digits": _literal("7" * 4_301),
    "inner-id-2-53-float": _literal("9007199254740993.0", "record_id"),
    "field-number-for-text": _field(url=7),
    "inner-id-text": _inner_id(str),
    "inner-id-underscored": _inner_id(lambda n: f"{n // 1_000}_{n % 1_000:03}"),
    "inner-id-arabic": lambda seen: (
        not seen.fields["record_id"].isascii() and int(seen.fields["record_id"]) == seen.id
    ),
    "inner-id-fraction": _inner_id(lambda n: n + 0.5),
    "inner-id-true": _inner_id(lambda _: True),
    "inner-id-minus-zero": _inner_id(lambda _: -0.0),
    "field-lone-surrogate": _field(url="/api/\ud800/"),
    "field-nul": _field(url="/api/\0/"),
    "keys-2000": _adds_keys(2_000),
    "keys-million": _adds_keys(1_000_000),
    "keys-by-case": lambda seen: seen.differences == {"Activity": "other", "URL": "/other/"},
    "keys-odd": lambda seen: seen.differences == {"a.b": 1, "a-b": 2, "a'b\"c": 3, "🛒": 4},
    "field-type-changes": lambda seen: (
        seen.differences == {"product_id": "24" if seen.id % 2 else 24}
    ),
    "field-nested": lambda seen: seen.differences["basket"]["items"][0] == {"sku": "a", "count": 2},
    "field-renamed": lambda seen: (
        seen.differences == {"url": None, "path": seen.right_fields["url"]}
    ),
    "field-user-renamed": lambda seen: (
        seen.differences == {"user_id": None, "userId": seen.right_fields["user_id"]}
    ),
    "field-missing": _field(inDate=None),
    "field-personal": lambda seen: "@" in seen.differences["contact"]["email"],
    "time-without-zone": _time(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}"),
    "time-plus-14": _time(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+14:00"),
    "time-overflow": _field(inDate="0001-01-01T00:00:00+23:59"),
    "time-24-hours": _time(r"\d{4}-\d\d-\d\dT24:00:00\.000Z"),
    "time-second-60": _time(r"\d{4}-\d\d-\d\dT\d\d:\d\d:60\.000Z"),
    "time-week-date": _field(inDate="2024-W01-1"),
    "time-30-february": _field(inDate="2024-02-30T12:00:00.000Z"),
    "time-year-0": _field(inDate="0000-01-01T00:00:00.000Z"),
    "time-year-9999": _field(inDate="9999-12-31T23:59:59.999Z"),
    "time-year-292278994": _field(inDate="+292278994-08-17T07:12:55.807Z"),
    "time-epoch-s": _epoch(1),
    "time-epoch-ms": _epoch(1_000),
    "time-epoch-us": _epoch(1_000_000),
    "time-epoch-ns": _epoch(1_000_000_000),
    "time-nan": _literal("NaN", "inDate"),
    "arrival-milliseconds": _arrival(lambda found, right: found == round(right * 1_000)),
    "arrival-nan": _arrival(lambda found, _: math.isnan(found)),
    "arrival-text": _arrival(
        lambda found, right: datetime.fromisoformat(found).timestamp() == right
    ),
    "time-far-future": _time("", _days(36_525)),
    "time-1970": _field(inDate="1970-01-01T00:00:00.000Z"),
    "time-midnight": _time(r"\d{4}-\d\d-\d\dT00:00:00\.000Z"),
    "time-dst-gap": _field(inDate="2026-03-29T02:30:00.000Z"),
    "time-leap-day": _field(inDate="2024-02-29T12:00:00.000Z"),
    "time-leap-second": _field(inDate="2016-12-31T23:59:60.000Z"),
    "late-1-hour": _time("", _days(-1 / 24)),
    "late-3-days": _time("", _days(-3)),
    "late-400-days": _time("", _days(-400)),
}


def test_record_faults_all_have_a_check() -> None:
    assert CHECKS.keys() == RECORD.keys()


@pytest.fixture(scope="module")
def right(sealer: Sealer) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
    """What a server without faults sends: the envelope and its fields, by id."""
    with serving(sealer, None) as address:
        envelopes = json.loads(ask(address, "?limit=100").body)
    return {
        envelope["recordId"]: (envelope, ast.literal_eval(opened(envelope["data"], "")[1].decode()))
        for envelope in envelopes
    }


def hurt_and_good_one(name: str) -> tuple[Faults, int]:
    """Return faults by which one record is hurt and the next one is not, and the first's id."""
    faults = Faults({name: 0.5}, seed=len(name))
    for number in range(FIRST, LAST):
        if faults.of(number) == name and faults.of(number + 1) is None:
            return faults, number
    raise AssertionError("half of the records are hurt, and none before a good one")


def page(address: Address, after: int, limit: int) -> tuple[str, list[Any]]:
    answer = ask(address, f"?after={after}&limit={limit}")
    assert answer.status == 200
    return answer.body.decode(), json.loads(answer.body, parse_int=_integer)


@pytest.mark.parametrize("name", RECORD)
def test_record_fault_happens_on_the_wire_and_hurts_nobody_else(
    name: str, sealer: Sealer, right: dict[int, Any]
) -> None:
    faults, number = hurt_and_good_one(name)

    with serving(sealer, faults) as address:
        text, (*elements, neighbour) = page(address, number - 1, 2)
        healthy = ask(address, path="/health")

    assert CHECKS[name](Seen(text, elements, right[number][0], right[number][1], faults.stranger))
    envelope, fields = right[number + 1]
    assert {**neighbour, "data": ""} == {**envelope, "data": ""}
    assert ast.literal_eval(opened(neighbour["data"], "")[1].decode()) == fields
    assert healthy.status == 200


def test_record_faults_checks_are_not_met_by_a_good_record(right: dict[int, Any]) -> None:
    envelope, fields = right[FIRST]
    met = []

    for name, check in CHECKS.items():
        try:
            if check(Seen(json.dumps(envelope), [envelope], envelope, fields, "")):
                met.append(name)
        except (LookupError, AttributeError, TypeError, ValueError, AssertionError, SyntaxError):
            continue

    assert met == []


SAME_EACH_TIME = {"token-null", "token-number", "token-list", "token-empty", "record-null"} | {
    "record-number",
    "token-missing",
    "token-jwt",
    "token-age",
    "token-pgp",
}
"""Nothing in them is encrypted, so there is nothing to encrypt anew."""


def test_record_faults_wound_a_record_alike_each_time_under_another_token(
    sealer: Sealer,
) -> None:
    for name in RECORD.keys() - {"id-10-mb", "token-50-mb", "token-2-mb", "keys-million"}:
        faults, number = hurt_and_good_one(name)
        with serving(sealer, faults) as address:
            (first, _), (second, _) = (page(address, number - 1, 1) for _ in range(2))

        assert (first == second) is (name in SAME_EACH_TIME), name
        assert len(first) == len(second), name


def test_record_faults_write_json_plaintexts_as_well(tmp_path: Any) -> None:
    ring = tmp_path / "ring"
    ring.write_text(KEYS["primary"])
    sealer = Sealer.from_file(ring, "json")
    expected = {
        "number-nan": '"price": NaN}',
        "depth-900": '"price": [[[',
        "field-lone-surrogate": '"/api/\\ud800/"',
        "keys-odd": '"a\'b\\"c": 3',
    }

    for name, part in expected.items():
        with serving(sealer, Faults({name: 1.0})) as address:
            (envelope,) = json.loads(ask(address, "?limit=1").body)
        text = opened(envelope["data"], "")[1].decode()

        assert part in text
        assert isinstance(json.loads(text, parse_int=_integer), dict)


def test_record_faults_cut_tokens_at_many_places(sealer: Sealer) -> None:
    with serving(sealer, Faults({"token-cut": 1.0})) as address:
        envelopes = json.loads(ask(address, "?limit=100").body)

    assert len({len(envelope["data"]) for envelope in envelopes}) > 15
