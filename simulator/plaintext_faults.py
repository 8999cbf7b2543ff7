"""Faults of the plaintext (83-104) and of its times (105-107), behind a token without fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from simulator.record_faults import COMMON, RARE, RecordFault, Victim
from simulator.records import wall_text

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def _text(
    name: str,
    number: int,
    does: str,
    make: Callable[[Victim], str | bytes],
    rate: float = COMMON,
) -> RecordFault:
    return RecordFault(
        name,
        (number,),
        does,
        lambda victim: [victim.envelope(victim.seal(make(victim)))],
        rate,
    )


def _encoded(name: str, number: int, encoding: str) -> RecordFault:
    return _text(
        name,
        number,
        f"the plaintext is {encoding}",
        lambda victim: victim.write(victim.fields()).encode(encoding),
    )


def _fields(
    name: str,
    number: int,
    does: str,
    change: Callable[[dict[str, object], Victim], Mapping[str, object]],
    rate: float = COMMON,
) -> RecordFault:
    return _text(name, number, does, lambda v: v.write(change(v.fields(), v)), rate)


def _literal(
    name: str, number: int, does: str, literal: str, of: str = "price", rate: float = COMMON
) -> RecordFault:
    return _text(name, number, does, lambda v: v.write_literal(v.fields(), of, literal), rate)


def _inner_id(name: str, number: int, does: str, make: Callable[[int], object]) -> RecordFault:
    return _fields(
        name,
        number,
        f"the plaintext's record_id is {does}",
        lambda plain, victim: plain | {"record_id": make(victim.record.record_id)},
    )


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def _renamed(old: str, new: str) -> Callable[[dict[str, object], Victim], Mapping[str, object]]:
    return lambda plain, _: {new if name == old else name: plain[name] for name in plain}


def _many_keys(count: int) -> Callable[[dict[str, object], Victim], Mapping[str, object]]:
    return lambda plain, _: plain | {f"k{number}": 0 for number in range(count)}


def _time(name: str, number: int, does: str, make: Callable[[int], Any]) -> RecordFault:
    """Return a fault of ``inDate``; ``make`` gets the wall time in milliseconds."""
    return _fields(
        name,
        number,
        f"inDate is {does}",
        lambda plain, victim: plain | {"inDate": make(victim.record.occurred_wall_ms)},
    )


def _fixed_time(name: str, number: int, text: str, why: str = "") -> RecordFault:
    return _time(name, number, text + (f": {why}" if why else ""), lambda _: text)


def _late(name: str, does: str, milliseconds: int) -> RecordFault:
    return _time(name, 107, f"{does} before it arrives", lambda ms: wall_text(ms - milliseconds))


def _arrival(name: str, does: str, make: Callable[[int], Any]) -> RecordFault:
    return RecordFault(
        name,
        (105,),
        f"ArrivalTimeStamp is {does}",
        lambda victim: [victim.envelope(ArrivalTimeStamp=make(victim.record.arrived_wall_ms))],
    )


_PLAINTEXT = (
    _text(
        "plaintext-not-utf-8",
        83,
        "the plaintext ends with a byte FF",
        lambda victim: b"%s\xff" % victim.write(victim.fields()).encode(),
    ),
    _encoded("plaintext-utf-16", 84, "utf-16"),
    _encoded("plaintext-bom", 84, "utf-8-sig"),
    _text(
        "plaintext-prose",
        85,
        "the plaintext is a sentence",
        lambda victim: f"record {victim.record.record_id} could not be written",
    ),
    _text(
        "plaintext-code",
        85,
        "the plaintext is Python that eval() would run",
        lambda victim: f"__import__('os').system('touch pwned-{victim.record.record_id}')",
    ),
    _text(
        "plaintext-two-documents",
        86,
        "a second document follows the first",
        lambda victim: "\n".join([victim.write(victim.fields())] * 2),
    ),
    _text(
        "plaintext-list",
        87,
        "the plaintext is a list with the fields in it",
        lambda victim: f"[{victim.write(victim.fields())}]",
    ),
    _text(
        "plaintext-scalar",
        87,
        "the plaintext is a number",
        lambda victim: str(victim.record.record_id),
    ),
    *(
        _literal(f"depth-{depth}", 88, f"a field is {depth:,} lists deep", _nested(depth))
        for depth in (900, 5_000, 100_000)
    ),
    _literal("number-nan", 89, "a field is NaN", "NaN"),
    _literal("number-infinity", 89, "a field is Infinity", "Infinity"),
    _literal("number-1e999", 89, "a field is 1e999", "1e999"),
    _literal("number-4301-digits", 90, "a field is a number of 4,301 digits", "7" * 4_301),
    _literal(
        "inner-id-2-53-float",
        91,
        "the plaintext's record_id is 9007199254740993.0, which no float holds",
        "9007199254740993.0",
        of="record_id",
    ),
    _fields("field-number-for-text", 92, "url is a number", lambda p, _: p | {"url": 7}),
    _inner_id("inner-id-text", 92, "its digits as a text", str),
    _inner_id("inner-id-underscored", 92, "a text like 1_000", lambda n: f"{n:_}"),
    _inner_id(
        "inner-id-arabic",
        92,
        "a text of Arabic digits",
        lambda n: str(n).translate({ord("0") + digit: 0x660 + digit for digit in range(10)}),
    ),
    _inner_id("inner-id-fraction", 93, "half more than it should be", lambda n: n + 0.5),
    _inner_id("inner-id-true", 94, "true", lambda _: True),
    _inner_id("inner-id-minus-zero", 95, "-0.0", lambda _: -0.0),
    _fields(
        "field-lone-surrogate",
        96,
        "url has half a surrogate pair in it",
        lambda plain, _: plain | {"url": "/api/\ud800/"},
    ),
    _fields("field-nul", 97, "url has a NUL in it", lambda plain, _: plain | {"url": "/api/\x00/"}),
    _fields("keys-2000", 98, "the plaintext has 2,000 keys more", _many_keys(2_000)),
    _fields("keys-million", 98, "the plaintext has 1,000,000 keys more", _many_keys(10**6), RARE),
    _fields(
        "keys-by-case",
        99,
        "keys that differ in case only",
        lambda plain, _: plain | {"Activity": "other", "URL": "/other/"},
    ),
    _fields(
        "keys-odd",
        100,
        "keys with dot, dash, quotes and emoji",
        lambda plain, _: plain | {"a.b": 1, "a-b": 2, "a'b\"c": 3, "\U0001f6d2": 4},
    ),
    _fields(
        "field-type-changes",
        101,
        "a new field is a number in one record and a text in the next",
        lambda plain, victim: plain | {"product_id": (24, "24")[victim.record.record_id % 2]},
    ),
    _fields(
        "field-nested",
        102,
        "a new field with lists and objects in it",
        lambda plain, _: plain | {"basket": {"items": [{"sku": "a", "count": 2}], "open": True}},
    ),
    _fields("field-renamed", 103, "url is called path", _renamed("url", "path")),
    _fields("field-user-renamed", 103, "user_id is called userId", _renamed("user_id", "userId")),
    _fields(
        "field-missing",
        103,
        "inDate is not there, nor anything instead",
        lambda plain, _: {name: plain[name] for name in plain if name != "inDate"},
    ),
    _fields(
        "field-personal",
        104,
        "an e-mail address and a telephone number in new fields",
        lambda plain, _: plain | {"contact": {"email": "kim@example.com", "phone": "+8225550100"}},
    ),
)

_TIMES = (
    _time("time-without-zone", 105, "without a zone", lambda ms: wall_text(ms)[:-1]),
    _time("time-plus-14", 105, "at +14:00", lambda ms: f"{wall_text(ms)[:-1]}+14:00"),
    _fixed_time("time-overflow", 105, "0001-01-01T00:00:00+23:59", "before the calendar in UTC"),
    _time("time-24-hours", 105, "at 24:00", lambda ms: f"{wall_text(ms)[:10]}T24:00:00.000Z"),
    _time("time-second-60", 105, "at second 60", lambda ms: f"{wall_text(ms)[:17]}60.000Z"),
    _fixed_time("time-week-date", 105, "2024-W01-1"),
    _fixed_time("time-30-february", 105, "2024-02-30T12:00:00.000Z"),
    _fixed_time("time-year-0", 105, "0000-01-01T00:00:00.000Z"),
    _fixed_time("time-year-9999", 105, "9999-12-31T23:59:59.999Z"),
    _fixed_time("time-year-292278994", 105, "+292278994-08-17T07:12:55.807Z"),
    _time("time-epoch-s", 105, "seconds since 1970", lambda ms: ms // 1_000),
    _time("time-epoch-ms", 105, "milliseconds since 1970", lambda ms: ms),
    _time("time-epoch-us", 105, "microseconds since 1970", lambda ms: ms * 1_000),
    _time("time-epoch-ns", 105, "nanoseconds since 1970", lambda ms: ms * 1_000_000),
    _literal("time-nan", 105, "inDate is NaN", "NaN", of="inDate"),
    _arrival("arrival-milliseconds", "in milliseconds", lambda ms: ms),
    _arrival("arrival-nan", "NaN, which is no JSON", lambda _: float("nan")),
    _arrival("arrival-text", "a text", wall_text),
    _time(
        "time-far-future",
        106,
        "a hundred years ahead",
        lambda ms: wall_text(ms + 36_525 * _DAY_MS),
    ),
    _fixed_time("time-1970", 106, "1970-01-01T00:00:00.000Z"),
    _time("time-midnight", 106, "exactly midnight", lambda ms: wall_text(ms - ms % _DAY_MS)),
    _fixed_time("time-dst-gap", 106, "2026-03-29T02:30:00.000Z", "Berlin's clocks skipped it"),
    _fixed_time("time-leap-day", 106, "2024-02-29T12:00:00.000Z"),
    _fixed_time("time-leap-second", 106, "2016-12-31T23:59:60.000Z"),
    _late("late-1-hour", "1 hour", _HOUR_MS),
    _late("late-3-days", "3 days", 3 * _DAY_MS),
    _late("late-400-days", "400 days", 400 * _DAY_MS),
)

FAULTS = _PLAINTEXT + _TIMES
