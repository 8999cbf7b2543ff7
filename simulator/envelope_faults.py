"""Faults of the envelope (33-55): ids that are none, ids that attack, ids that are there twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from simulator.record_faults import COMMON, RARE, RecordFault, Verbatim, Victim, element

REUSE_DISTANCE = 5_000
"""A reused id is that of so many records ago: far beyond any overlap between two polls."""


def _single(
    name: str, number: int, does: str, make: Callable[[Victim], Any], rate: float = COMMON
) -> RecordFault:
    return RecordFault(name, (number,), does, lambda victim: [make(victim)], rate)


def _id(
    name: str, number: int, does: str, make: Callable[[int], Any], rate: float = COMMON
) -> RecordFault:
    def hurt(victim: Victim) -> list[Any]:
        return [victim.envelope(recordId=make(victim.record.record_id))]

    return RecordFault(name, (number,), f"recordId is {does}", hurt, rate)


def _twins(name: str, number: int, does: str, hurt: Callable[[Victim], list[Any]]) -> RecordFault:
    return RecordFault(name, (number,), f"the record comes twice: {does}", hurt)


def _without_id(victim: Victim) -> dict[str, Any]:
    return {name: value for name, value in victim.envelope().items() if name != "recordId"}


def _id_in_digits(victim: Victim, digits: str) -> Verbatim:
    # Python refuses to write a number of more than 4,300 digits.
    text = element(victim.envelope(recordId=None))
    return Verbatim(text.replace('"recordId":null', f'"recordId":{digits}', 1))


def _id_key_twice(victim: Victim) -> Verbatim:
    record_id = victim.record.record_id
    return Verbatim(element(victim.envelope()).replace("{", f'{{"recordId":{record_id + 1},', 1))


def _same_token(victim: Victim) -> list[Any]:
    one = victim.envelope()
    return [one, dict(one)]


def _other_plaintext(victim: Victim) -> list[Any]:
    other = victim.write(victim.fields(url="/api/products/another/"))
    return [victim.envelope(), victim.envelope(victim.seal(other))]


def _reused_id(victim: Victim) -> list[Any]:
    long_ago = max(1, victim.record.record_id - REUSE_DISTANCE)
    other = replace(victim, record=victim.record._replace(record_id=long_ago))
    return [victim.envelope(), other.envelope()]


def _text_ids(*texts: str) -> Callable[[Victim], list[Any]]:
    def hurt(victim: Victim) -> list[Any]:
        record_id = victim.record.record_id
        return [victim.envelope(recordId=text.format(record_id)) for text in texts]

    return hurt


FAULTS = (
    _single("id-missing", 33, "recordId is not there", _without_id),
    _id("id-null", 34, "null", lambda _: None),
    _id("id-empty", 35, "an empty text", lambda _: ""),
    _id("id-as-text", 36, "its digits as a text", str),
    _twins(
        "id-as-number-and-text",
        36,
        "once under its id, once under the digits of it as a text",
        lambda victim: [victim.envelope(), victim.envelope(recordId=str(victim.record.record_id))],
    ),
    _id("id-float", 37, "a float of the same value", float),
    _id("id-true", 38, "true", lambda _: True),
    _id("id-2-63", 39, "2^63 or a little more", lambda n: 2**63 + n),
    _id("id-2-64", 39, "2^64 or a little more", lambda n: 2**64 + n),
    _id("id-minus-one", 39, "-1", lambda _: -1),
    _id("id-400-digits", 39, "10^400 or a little more", lambda n: 10**400 + n),
    _single(
        "id-4301-digits",
        39,
        "recordId has 4,301 digits, which Python refuses to read",
        lambda victim: _id_in_digits(victim, str(victim.record.record_id).ljust(4_301, "7")),
    ),
    _id("id-array", 40, "an array", lambda n: [n]),
    _id("id-object", 40, "an object", lambda n: {"id": n}),
    _id("id-path", 41, "a path out of the lake's folder", lambda n: f"../../raw/dt=x/{n}"),
    _id("id-sql", 42, "an injection into a where clause", lambda n: f"{n}' or dt<>'x"),
    _id("id-percent-encoded", 43, "%2e%2e%2f and more", lambda n: f"%2e%2e%2f%2e%2e%2f{n}"),
    _id("id-backslash", 43, "a path with backslashes", lambda n: f"..\\..\\raw\\{n}"),
    _id("id-nul", 43, "a text with a NUL in it", lambda n: f"{n}\x00.parquet"),
    _id("id-newline", 43, "a text with a line feed in it", lambda n: f"{n}\nlanded rows=0"),
    _id("id-header", 43, "a text with CRLF and a header", lambda n: f"{n}\r\nX-Injected: yes"),
    _id("id-10-mb", 44, "a text of 10 MB", lambda n: f"{n}".ljust(10_000_000, "7"), rate=RARE),
    _twins(
        "id-nfc-and-nfd",
        45,
        "under a text and under the same text decomposed",
        _text_ids("caf\u00e9-{}", "cafe\u0301-{}"),
    ),
    _id("id-zero-width", 46, "digits and a zero-width space", lambda n: f"{n}\u200b"),
    _id("id-right-to-left", 46, "digits behind a direction mark", lambda n: f"\u202e{n}"),
    _id("id-homoglyph", 46, "Cyrillic where it looks Latin", lambda n: f"r\u0435\u0441ord-{n}"),
    _id("id-with-spaces", 47, "its digits between spaces", lambda n: f" {n} "),
    _id("id-hive-default", 48, "Hive's null partition", lambda _: "__HIVE_DEFAULT_PARTITION__"),
    _twins("twice-same-token", 49, "with the same token", _same_token),
    _twins(
        "twice-other-token",
        50,
        "encrypted anew",
        lambda victim: [victim.envelope(), victim.envelope()],
    ),
    _twins("twice-other-plaintext", 51, "then with another plaintext", _other_plaintext),
    _twins(
        "id-reused",
        52,
        f"then under the id that another record had {REUSE_DISTANCE:,} records ago",
        _reused_id,
    ),
    _single(
        "id-key-twice", 53, "the key recordId is there twice, with the next id first", _id_key_twice
    ),
    _single(
        "envelope-extra-fields",
        54,
        "the envelope has fields that nobody knows",
        lambda victim: victim.envelope(shard=7, trace={"id": "4bf92f35", "sampled": True}),
    ),
    _single("record-null", 55, "the element is null", lambda _: None),
    _single("record-number", 55, "the element is its id", lambda victim: victim.record.record_id),
    _single(
        "record-list",
        55,
        "the element is a list of the envelope's values",
        lambda victim: list(victim.envelope().values()),
    ),
    _single(
        "record-text",
        55,
        "the element is a text that holds the envelope",
        lambda victim: json.dumps(victim.envelope()),
    ),
)
