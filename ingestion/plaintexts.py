"""Many plaintexts at once: columns of fields, or nothing said. Pure; parses no text of its own.

Records of one source differ in few places: who, which record, when. These three values are cut
out and replaced by stand-ins. What is left, the skeleton, is the same for many records; the parser
of ``fields`` reads each skeleton once, and has to find each stand-in as the value of its field.
Then the fields of a record are those of its skeleton with its own values in place of the stand-ins,
because a parser treats all plain signs inside a string alike, and so all digits of an integer. So
order, spaces, language and fields that nobody expected are the parser's matter, and are exact.
"""

import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion import fields
from ingestion.privacy import Pseudonyms
from ingestion.tokens import JUNK, MAX_CHARACTERS, numbered

MIN_ROWS = 16
"""Fewer rows of one layout cost less one by one."""

MAX_LAYOUTS = 40
"""Layouts tried on rows of one length. What is left then is judged one by one."""

MAX_SKELETONS = 10_000
"""Skeletons that are remembered: 8 MB, as long as they are of ordinary length."""

_SPARSE = 3
"""Rows are copied together when so few of them are left: one of three."""

_MAX_CONSTANT = 24
"""Characters between two values that are taken to be the same in all rows of a layout."""

_END = MAX_CHARACTERS
"""Behind every row; said, because Arrow fails on slices without an end that begin near one."""

_SIGN = 4
_TIME_CHARACTERS = 23
_USER = b"f0e1d2c3b4a5968778695a4b3c2d1e0f"
_NUMBER = b"8070605040302010"
_TIME = b"9876-54-32T10:98:76.543"
_USER_NUMBER = b"9080706050403020"
_WRITTEN = (_TIME.decode(), f"{_TIME.decode()}Z")
_PADDINGS = [bytes([size]) * size for size in range(17)]

_KEYS = {
    name: re.compile(rb"""['"]%s['"][ \t]*:[ \t]*(['"]?)""" % name.encode())
    for name in ("user_id", "record_id", "inDate")
}
_PLAIN = bytes(sign for sign in range(32, 127) if sign not in b"\"'\\")
_TEXT = re.compile(b"[%s]+" % re.escape(_PLAIN))
_INTEGER = re.compile(rb"0|[1-9][0-9]{0,17}")
_INSTANT = r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:%s)[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}$"
_INSTANTS = (_INSTANT % r"0[1-9]|[12]\d|3[01]", _INSTANT % r"0[1-9]|1\d|2[0-8]")
"""What looks like a time, and what is one for sure: not every month has a 29th."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The fields that rows share."""

    activity: str | None
    url: str | None
    method: str | None
    name: str | None
    level: str | None
    message: str | None
    extra: str | None
    mark: str
    """What stands behind the milliseconds of the time."""


@dataclass(frozen=True, slots=True)
class Read:
    """Rows of one layout; every array has one value per row."""

    rows: pa.Array
    """Positions among the rows that were offered."""
    users: pa.Array
    """Pseudonyms."""
    texts: pa.Array
    """Times as they are written, without their mark."""
    times: pa.Array
    """The same in milliseconds."""
    skeletons: pa.Array
    """Numbers of skeletons in ``Reader.skeletons``."""


_Span = tuple[int, int]
_Kind = tuple[bytes | None, ...]
"""What rows are made of: constant texts and stand-ins, and None for a stretch that differs."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where rows have what; a guess made of one row, which the skeletons have to confirm."""

    kind: _Kind
    user: _Span
    number: _Span | None
    time: _Span
    stretches: tuple[_Span, ...]
    """Those that may differ."""
    signs: tuple[tuple[int, bytes], ...]
    """What has to stand where: the constants, and something before each value."""


class Reader:
    """Reads the parts of a batch; the skeletons of all parts have one numbering."""

    def __init__(self) -> None:
        self.skeletons: list[Skeleton] = []
        self._numbers: dict[Skeleton, int] = {}

    def read(self, rows: pa.BinaryArray, ids: pa.Array, pseudonyms: Pseudonyms) -> list[Read]:
        """Return what is read of decrypted rows whose envelopes have ``ids``, as texts.

        A row that is in no answer was not understood, for whatever reason.
        """
        taken: defaultdict[_Kind, list[list[pa.Array]]] = defaultdict(list)
        places = numbered(range(len(rows)))
        left = pa.repeat(True, len(rows))
        signs = _Signs(rows, ids)
        for _ in range(MAX_LAYOUTS):
            if left.true_count < MIN_ROWS:
                break
            if left.true_count * _SPARSE < len(rows):
                rows, ids, places = rows.filter(left), ids.filter(left), places.filter(left)
                left = pa.repeat(True, len(rows))
                signs = _Signs(rows, ids)
            first = pc.index(left, True).as_py()
            layout = _layout(rows[first].as_py())
            fits = pc.and_(signs.of(layout), left) if layout else left
            if layout is None or not fits[first].as_py():
                left = pc.and_(left, pc.not_equal(places, places[first]))
            else:
                taken[layout.kind].append(_taken(layout, rows.filter(fits), places.filter(fits)))
                left = pc.and_not(left, fits)
        found = [self._read(kind, parts, pseudonyms) for kind, parts in taken.items()]
        return [read for read in found if len(read.rows)]

    def _read(self, kind: _Kind, parts: Sequence[list[pa.Array]], pseudonyms: Pseudonyms) -> Read:
        columns = list(zip(*parts, strict=True))
        places, texts = joined(columns[0]), joined(columns[1])
        users, *stretches = map(_encoded, columns[2:])
        times, kept = _times(texts)
        if kept is not None:
            places, users, texts = places.filter(kept), users.filter(kept), texts.filter(kept)
            stretches = [stretch.filter(kept) for stretch in stretches]
        names = _names(users.dictionary, kind)
        skeletons, spelled = _skeletons(kind, stretches)
        numbers = [self._number(text, kind) for text in spelled]
        if None in names or None in numbers:
            good = pc.and_(
                _are_there(names).take(users.indices), _are_there(numbers).take(skeletons)
            )
            users, skeletons = users.filter(good), skeletons.filter(good)
            places, texts, times = places.filter(good), texts.filter(good), times.filter(good)
        values = pa.array(pseudonyms.of_many([name or b"" for name in names]), pa.binary())
        return Read(
            places,
            values.take(users.indices),
            texts.cast(pa.string()),
            times,
            pa.array(numbers, pa.int32()).take(skeletons),
        )

    def _number(self, text: bytes, kind: _Kind) -> int | None:
        skeleton = _skeleton(text, kind)
        if skeleton is None:
            return None
        number = self._numbers.setdefault(skeleton, len(self.skeletons))
        if number == len(self.skeletons):
            self.skeletons.append(skeleton)
        return number


def joined(arrays: Sequence[pa.Array]) -> pa.Array:
    """Return arrays as one; one alone is not copied."""
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def _encoded(arrays: Sequence[pa.Array]) -> pa.DictionaryArray:
    """Return arrays as one with a dictionary, without a copy of all of them."""
    chunks = pc.dictionary_encode(pa.chunked_array(arrays)).chunks
    indices = joined([chunk.indices for chunk in chunks])
    return pa.DictionaryArray.from_arrays(indices, chunks[-1].dictionary)


def _layout(row: bytes) -> _Layout | None:
    """Return where a row has its values."""
    spans: dict[bytes, tuple[int, int]] = {}
    for name, key in _KEYS.items():
        match = key.search(row, JUNK)
        if match is None:
            if name == "record_id":
                continue
            return None
        start, quote = match.end(), match[1]
        if name == "inDate":
            stop = start + _TIME_CHARACTERS
        elif quote:
            stop = row.find(quote, start)
        else:
            digits = _INTEGER.match(row, start)
            stop = digits.end() if digits else -1
        if not start < stop < len(row) or (name == "record_id" and quote):
            return None
        stand_in = {"record_id": _NUMBER, "inDate": _TIME}.get(name)
        spans[stand_in or (_USER if quote else _USER_NUMBER)] = start, stop
    begin = JUNK
    kind: list[bytes | None] = []
    stretches: list[_Span] = []
    signs: list[tuple[int, bytes]] = []
    for stand_in, (start, stop) in sorted(spans.items(), key=lambda item: item[1]):
        if start < begin:
            return None
        is_constant = start - begin <= _MAX_CONSTANT
        if not is_constant:
            stretches.append((begin, start))
        sign = begin if is_constant else start - _SIGN
        signs.append((sign, row[sign:start]))
        kind += [row[begin:start] if is_constant else None, stand_in]
        begin = stop
    user = spans.get(_USER) or spans[_USER_NUMBER]
    return _Layout(
        (*kind, None),
        user,
        spans.get(_NUMBER),
        spans[_TIME],
        (*stretches, (begin, _END)),
        tuple(signs),
    )


class _Signs:
    """Which rows have what stands where; layouts have most of it in common."""

    def __init__(self, rows: pa.Array, ids: pa.Array) -> None:
        self._rows, self._ids = rows, ids
        self._known: dict[object, pa.Array] = {}

    def of(self, layout: _Layout) -> pa.Array:
        """Return for each row whether its values may be where the layout says."""
        masks = [self._is(place, place + len(text), text) for place, text in layout.signs]
        if layout.number is not None:
            masks.append(self._is(*layout.number, None))
        return functools.reduce(pc.and_, masks)

    def _is(self, start: int, stop: int, text: bytes | None) -> pa.Array:
        """Return where a stretch is a text, or the id if there is no text."""
        key = start, stop, text
        if key not in self._known:
            expected = self._ids if text is None else pa.scalar(text, pa.binary())
            self._known[key] = pc.equal(pc.binary_slice(self._rows, start, stop), expected)
        return self._known[key]


def _taken(layout: _Layout, rows: pa.Array, places: pa.Array) -> list[pa.Array]:
    """Return the places of rows, their times, their users, and then what may differ."""
    spans = (layout.time, layout.user, *layout.stretches)
    return [places, *(pc.binary_slice(rows, *span) for span in spans)]


def _skeletons(
    kind: _Kind, stretches: Sequence[pa.DictionaryArray]
) -> tuple[pa.Array, list[bytes]]:
    """Return for each row the number of its skeleton, and the skeletons."""
    texts = [stretch.dictionary.to_pylist() for stretch in stretches]
    codes = stretches[0].indices.cast(pa.int64())
    for stretch in stretches[1:]:
        codes = pc.add(pc.multiply(codes, len(stretch.dictionary)), stretch.indices)
    numbers = pc.dictionary_encode(codes)
    spelled = []
    for code in numbers.dictionary.to_pylist():
        found = []
        for some in reversed(texts):
            code, place = divmod(code, len(some))
            found.append(some[place])
        spelled.append(b"".join([found.pop() if part is None else part for part in kind]))
    return numbers.indices, spelled


def _times(texts: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Return milliseconds, and which rows they are of if not of all."""
    try:
        return _milliseconds(texts), None
    except pa.ArrowInvalid:
        kept = pc.match_substring_regex(texts, _INSTANTS[0])
    try:
        return _milliseconds(texts.filter(kept)), kept
    except pa.ArrowInvalid:
        kept = pc.match_substring_regex(texts, _INSTANTS[1])
        return _milliseconds(texts.filter(kept)), kept


def _milliseconds(texts: pa.Array) -> pa.Array:
    return texts.cast(pa.string()).cast(pa.timestamp("ms")).cast(pa.int64())


def _names(users: pa.BinaryArray, kind: _Kind) -> Sequence[bytes | None]:
    """Return the texts of users, in place of what may be none None."""
    _, offsets, data = users.buffers()
    ends = memoryview(offsets).cast("B").cast("i")[: len(users) + 1]
    content = data.to_pybytes()
    names = [content[begin:end] for begin, end in itertools.pairwise(ends)]
    if _USER in kind and not content.translate(None, _PLAIN) and b"" not in names:
        return names
    plain = _INTEGER if _USER_NUMBER in kind else _TEXT
    return [name if plain.fullmatch(name) else None for name in names]


def _are_there(values: Sequence[object]) -> pa.Array:
    return pa.array([value is not None for value in values], pa.bool_())


def _skeleton(text: bytes, kind: _Kind) -> Skeleton | None:
    return _parsed(text, _USER if _USER in kind else _USER_NUMBER, _NUMBER in kind)


@functools.lru_cache(maxsize=MAX_SKELETONS)
def _parsed(text: bytes, user: bytes, has_number: bool) -> Skeleton | None:
    """Return what a padded skeleton says, if each stand-in is the value of its own field."""
    padding = text[-1]
    if not 1 <= padding <= 16 or not text.endswith(_PADDINGS[padding]):
        return None
    numbers = (_NUMBER,) if has_number else ()
    if any(text.count(value) != 1 for value in (user, _TIME, *numbers)):
        return None
    try:
        found = fields.read(text[:-padding])
        detail = fields.members(found, "detail")
        time: Any = found.get("inDate")
        number = found.get("record_id")
        if fields.user(found).encode() != user or time not in _WRITTEN:
            return None
        if has_number and type(number) is not int:
            return None
        if number != (int(_NUMBER) if has_number else None):
            return None
        return Skeleton(
            fields.text(found, "activity"),
            fields.text(found, "url"),
            fields.text(found, "method"),
            fields.text(found, "name"),
            fields.text(detail, "levelname"),
            fields.text(detail, "message"),
            fields.extra(found, detail, {}),
            time[_TIME_CHARACTERS:],
        )
    except Exception:  # refused, or something that is for ``decode`` to judge
        return None
