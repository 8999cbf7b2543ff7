"""Many envelopes at once: columns of what is plainly good, refusals of what is plainly bad.

Pure, and never the judge: what is not plain is named, and ``decoding.decode`` decides about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion import tables, tokens
from ingestion.decoding import (
    DAY,
    FIRST_EVENT,
    MAX_ID,
    MAX_TOKEN_CHARACTERS,
    TOKEN_CLOCK_SLACK_SECONDS,
    Refusal,
    Rules,
)
from ingestion.keys import is_well_formed
from ingestion.pages import Page
from ingestion.plaintexts import Read, Reader, joined
from ingestion.reasons import Reason, Stage
from ingestion.times import QUARTER, SourceClock

MIN_ROWS = 16
"""A smaller batch costs less one by one."""

MAX_ROWS = 16_384
"""Envelopes decoded at once: 20 MB, however long a batch is."""

_NEAR = 512

_STAMPS = (1_000_000_000, 100_000_000_000)
"""Seconds, 2001 to 5138: no stamp out of it is in range, and each in it is exact as a float."""

_SHARED = ("activity", "url", "method", "name", "level", "message")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of the envelopes; each of them is in one of the three."""

    good: pa.Table | None = None
    """The columns of ``access_logs`` up to ``key_fingerprint``, then ``place``, ``event_day`` and
    ``arrival_day``; sorted by event day, time, id and place."""
    refused: list[tuple[int, Refusal]] = field(default_factory=list)
    """With their places."""
    rest: Sequence[int] = ()
    """Places of the envelopes that have to be decoded one by one."""


@dataclass(frozen=True, slots=True)
class _Offered:
    """Members of the envelopes that are plain."""

    places: Sequence[int]
    ids: pa.Array
    spelled_ids: pa.Array
    arrivals: pa.Array
    """Milliseconds by the source's clock, whatever that means."""
    tokens: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows that were read: one value per row, and their places among what was offered."""

    rows: pa.Array
    read: Read
    key_fingerprint: pa.Array


def decode_all(envelopes: Sequence[object], rules: Rules, fetched_at: Sequence[int]) -> Decoded:
    """Decode what is plain of a batch; ``fetched_at`` has a time for each envelope."""
    offered = _offered(envelopes) if len(envelopes) >= MIN_ROWS else None
    if offered is None or len(offered.places) < MIN_ROWS:
        return Decoded(rest=range(len(envelopes)))
    times = fetched_at
    if len(offered.places) < len(envelopes):
        times = [fetched_at[place] for place in offered.places]
    # Most batches were fetched at one time, which need not be looked at again for each row.
    is_one = len(set(times)) == 1
    now = (
        pa.repeat(pa.scalar(times[0], pa.int64()), len(times))
        if is_one
        else pa.array(times, pa.int64())
    )
    arrived_at = offered.arrivals
    if rules.clock.false_z:
        arrived_at = _from_wall(arrived_at, rules.clock)
    arrival_days, usable = _days(arrived_at, now, rules.clock)
    rows: Sequence[int] = range(len(times))
    if not pc.all(usable).as_py():
        rows = pc.indices_nonzero(usable).to_pylist()
    reader = Reader()
    latest = pc.add(pc.divide(now, 1_000), TOKEN_CLOCK_SLACK_SECONDS).cast(pa.uint64())
    parts: list[_Part] = []
    bad: list[tuple[int, Reason]] = []
    size = -(-len(rows) // -(-len(rows) // MAX_ROWS)) if rows else 1  # no small one at the end
    for begin in range(0, len(rows), size):
        some = rows[begin : begin + size]
        parts += _read(offered, some, rules, latest, reader, bad)
    days = arrival_days.take(pa.array([row for row, _ in bad], pa.int32())).to_pylist()
    refused = [
        (offered.places[row], Refusal(reason, Stage.TOKEN, None, day))
        for (row, reason), day in zip(bad, days, strict=True)
    ]
    good = _table(offered, parts, reader, rules.clock, now, arrived_at, arrival_days)
    taken = (0 if good is None else good.num_rows) + len(refused)
    if taken == len(envelopes):
        return Decoded(good, refused)
    done = pa.array([place for place, _ in refused], pa.int32())
    if good is not None:
        done = pa.concat_arrays([done, *good.column("place").chunks])
    every = tokens.numbered(range(len(envelopes)))
    rest = every.filter(pc.invert(pc.is_in(every, done)))
    return Decoded(good, refused, rest.to_pylist())


# ---------- envelopes


def _offered(envelopes: Sequence[Any]) -> _Offered | None:
    if isinstance(envelopes, Page):
        columns = envelopes.columns
        spelled = columns.ids.cast(pa.string()).cast(pa.binary())
        every = range(len(envelopes))
        return _Offered(every, columns.ids, spelled, columns.milliseconds, envelopes.tokens)
    found = _members(range(len(envelopes)), envelopes)
    if found is None:
        places = [place for place, envelope in enumerate(envelopes) if _is_plain(envelope)]
        found = _members(places, [envelopes[place] for place in places])
    return found


def _members(places: Sequence[int], envelopes: Sequence[dict[str, Any]]) -> _Offered | None:
    """Return the members of envelopes; None if one of these is not plain."""
    numbers: list[Any] = []
    stamps: list[Any] = []
    data: list[Any] = []
    try:
        # In stretches that a processor's cache holds: each envelope is looked at five times.
        for begin in range(0, len(envelopes), _NEAR):
            some = envelopes[begin : begin + _NEAR]
            if set(map(type, some)) != {dict} or set(map(len, some)) != {3}:
                return None
            columns = [
                [envelope["recordId"] for envelope in some],
                [envelope["ArrivalTimeStamp"] for envelope in some],
                [envelope["data"] for envelope in some],
            ]
            kinds = [set(map(type, column)) for column in columns]
            if kinds[0] != {int} or not kinds[1] <= {int, float} or kinds[2] != {str}:
                return None
            numbers += columns[0]
            stamps += columns[1]
            data += columns[2]
        ids = pa.array(numbers, pa.int64())
        seconds = pa.array(stamps, pa.float64())
    except (KeyError, OverflowError, pa.ArrowInvalid):
        return None
    if not pc.all(pc.greater_equal(ids, 0)).as_py():
        return None
    inside = pc.and_(pc.greater_equal(seconds, _STAMPS[0]), pc.less_equal(seconds, _STAMPS[1]))
    # To the nearest millisecond, halves to the even one: as Python rounds. Null is in no range.
    seconds = pc.if_else(inside, seconds, None)
    arrivals = pc.round(pc.multiply(seconds, 1_000.0), round_mode="half_to_even")
    spelled = ids.cast(pa.string()).cast(pa.binary())
    return _Offered(places, ids, spelled, arrivals.cast(pa.int64()), data)


def _is_plain(envelope: object) -> bool:
    if type(envelope) is not dict or len(envelope) != 3:
        return False
    identifier: Any = envelope.get("recordId")
    stamp: Any = envelope.get("ArrivalTimeStamp")
    return (
        type(identifier) is int
        and 0 <= identifier <= MAX_ID
        and type(stamp) in (int, float)
        and _STAMPS[0] <= stamp <= _STAMPS[1]
        and type(envelope.get("data")) is str
    )


# ---------- tokens and plaintexts


def _read(
    offered: _Offered,
    rows: Sequence[int],
    rules: Rules,
    latest: pa.UInt64Array,
    reader: Reader,
    bad: list[tuple[int, Reason]],
) -> list[_Part]:
    opened = tokens.open_all(offered.tokens, rows, rules.ring, latest)
    bad += [(row, Reason.TOKEN_UNKNOWN_KEY) for row in opened.unknown]
    # What is no token in shape is none under any key, whatever its padding looks like.
    bad += [
        (row, Reason.TOKEN_MALFORMED)
        for row in opened.rest
        if len(offered.tokens[row]) <= MAX_TOKEN_CHARACTERS
        and not is_well_formed(offered.tokens[row])
    ]
    if not opened.plain:
        return []
    places = joined([plain.places for plain in opened.plain])
    texts = joined([plain.rows for plain in opened.plain])
    fingerprints = joined([plain.key_fingerprints for plain in opened.plain])
    found = reader.read(texts, offered.spelled_ids.take(places), rules.pseudonyms)
    return [_Part(places.take(read.rows), read, fingerprints.take(read.rows)) for read in found]


# ---------- columns


def _table(
    offered: _Offered,
    parts: Sequence[_Part],
    reader: Reader,
    clock: SourceClock,
    now: pa.Array,
    arrived_at: pa.Array,
    arrival_days: pa.DictionaryArray,
) -> pa.Table | None:
    """Return the rows that are good, in their order; None if there are none."""
    if not parts:
        return None
    rows = joined([part.rows for part in parts])
    numbers = joined([part.read.skeletons for part in parts])
    skeletons = reader.skeletons
    now = now.take(rows)
    times = joined([part.read.times for part in parts])
    # Far from any offset: a time at the end of the calendar has none.
    near = _between(times, FIRST_EVENT - 4 * DAY, pc.add(now, 4 * DAY))
    times = pc.if_else(near, times, None)
    is_wall = pa.array([clock.false_z or not skeleton.mark for skeleton in skeletons], pa.bool_())
    occurred_at = pc.if_else(is_wall.take(numbers), _from_wall(times, clock), times)
    days, usable = _days(occurred_at, now, clock)
    names = days.dictionary.to_pylist()
    first = sum(name < tables.FIRST_EVENT_DAY for name in names)
    usable = pc.and_(usable, pc.fill_null(pc.greater_equal(days.indices, first), False))
    keys = {
        "day": days.indices,
        "occurred_at": occurred_at,
        "record_id": offered.ids.take(rows),
        "row": rows,
    }
    sortable = pa.table(keys)
    order = pc.sort_indices(sortable, [(name, "ascending") for name in keys])
    if not pc.all(usable).as_py():
        order = order.filter(usable.take(order))
    rows, numbers = rows.take(order), numbers.take(order)
    marks = pa.array([skeleton.mark for skeleton in skeletons], pa.string())
    texts = joined([part.read.texts for part in parts]).take(order)
    users = joined([part.read.users for part in parts])
    shared = [
        pa.array([getattr(skeleton, name) for skeleton in skeletons], pa.string()).take(numbers)
        for name in (*_SHARED, "extra")
    ]
    moment = tables.ACCESS_LOGS.schema.field("occurred_at").type
    columns = [
        offered.ids.take(rows),
        users.take(order),
        *shared[:-1],
        occurred_at.take(order).cast(moment),
        pc.binary_join_element_wise(texts, marks.take(numbers), ""),
        arrived_at.take(rows).cast(moment),
        shared[-1],
        joined([part.key_fingerprint for part in parts]).take(order),
    ]
    return pa.table(
        {
            **dict(zip(tables.ACCESS_LOGS.schema.names[: len(columns)], columns, strict=True)),
            "place": tokens.numbered(offered.places).take(rows),
            "event_day": days.take(order),
            "arrival_day": arrival_days.take(rows),
        }
    )


# ---------- time


def _from_wall(walls: pa.Array, clock: SourceClock) -> pa.Array:
    """Return UTC of wall times of the source, all in milliseconds."""
    quarters = pc.dictionary_encode(pc.divide(walls, QUARTER))
    offsets = [clock.offset(quarter * QUARTER) for quarter in quarters.dictionary.to_pylist()]
    if len(offsets) == 1 and not walls.null_count:
        return pc.subtract(walls, offsets[0])
    return pc.subtract(walls, pa.array(offsets, pa.int64()).take(quarters.indices))


def _between(times: pa.Array, first: int, last: pa.Array) -> pa.Array:
    inside = pc.and_(pc.greater_equal(times, first), pc.less_equal(times, last))
    return pc.fill_null(inside, False)


def _days(utc: pa.Array, now: pa.Array, clock: SourceClock) -> tuple[pa.DictionaryArray, pa.Array]:
    """Return the source's days, ascending in the dictionary, and which instants are in range."""
    in_range = _between(utc, FIRST_EVENT - DAY, pc.add(now, DAY))
    if not pc.all(in_range).as_py():
        utc = pc.if_else(in_range, utc, None)
    quarters = pc.dictionary_encode(pc.divide(utc, QUARTER))
    found = [clock.day_of_quarter(quarter) for quarter in quarters.dictionary.to_pylist()]
    names = sorted({day for day in found if day})
    number = {name: place for place, name in enumerate(names)}
    codes = pa.array([number.get(day or "") for day in found], pa.int32()).take(quarters.indices)
    days = pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.string()))
    return days, pc.is_valid(codes)
