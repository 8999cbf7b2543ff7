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
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ingestion import fields
from ingestion.privacy import Pseudonyms

MIN_ROWS = 16
"""Fewer rows of one layout cost less one by one."""

MAX_LAYOUTS = 40
"""Layouts tried on rows of one length. What is left then is judged one by one."""

MAX_SKELETONS = 20_000
"""Skeletons that are remembered: 15 MB."""

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


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a value is, and by what it is replaced."""

    start: int
    stop: int
    stand_in: bytes


class _Kind(NamedTuple):
    """What a skeleton has stand-ins for, beside its time."""

    user: bytes
    has_number: bool


@dataclass(frozen=True, slots=True)
class _Layout:
    kind: _Kind
    user: _Cut
    number: _Cut | None
    time: _Cut
    cuts: tuple[_Cut, ...]
    """All of them, the last one first."""
    signs: tuple[tuple[int, bytes], ...]
    """What has to stand where: not proof, but it spares skeletons that are none."""


class _Taken(NamedTuple):
    """Rows of one layout taken apart: one value per row."""

    places: pa.Array
    users: pa.Array
    texts: pa.Array
    skeletons: pa.Array


class Reader:
    """Reads the parts of a batch; the skeletons of all parts have one numbering."""

    def __init__(self) -> None:
        self.skeletons: list[Skeleton] = []
        self._numbers: dict[Skeleton, int] = {}

    def read(self, rows: pa.BinaryArray, ids: pa.Array, pseudonyms: Pseudonyms) -> list[Read]:
        """Return what is read of padded plaintexts whose envelopes have ``ids``, as texts.

        A row that is in no answer was not understood, for whatever reason.
        """
        taken: defaultdict[_Kind, list[_Taken]] = defaultdict(list)
        places = pa.array(range(len(rows)), pa.int32())
        for _ in range(MAX_LAYOUTS):
            if len(rows) < MIN_ROWS:
                break
            layout = _layout(rows[0].as_py())
            fits = _fitting(layout, rows, ids) if layout else None
            if layout is None or fits is None or not fits[0].as_py():
                rows, ids, places = rows[1:], ids[1:], places[1:]
            elif pc.all(fits).as_py():
                taken[layout.kind].append(_taken(layout, rows, places))
                break
            else:
                some, others = rows.filter(fits), pc.invert(fits)
                taken[layout.kind].append(_taken(layout, some, places.filter(fits)))
                rows, ids, places = rows.filter(others), ids.filter(others), places.filter(others)
        found = [self._read(kind, parts, pseudonyms) for kind, parts in taken.items()]
        return [read for read in found if len(read.rows)]

    def _read(self, kind: _Kind, parts: Sequence[_Taken], pseudonyms: Pseudonyms) -> Read:
        places, users, texts, skeletons = map(joined, zip(*parts, strict=True))
        times, kept = _times(texts)
        if kept is not None:
            places, users = places.filter(kept), users.filter(kept)
            texts, skeletons = texts.filter(kept), skeletons.filter(kept)
        users, skeletons = pc.dictionary_encode(users), pc.dictionary_encode(skeletons)
        names = _names(users.dictionary, kind)
        numbers = [self._number(text, kind) for text in skeletons.dictionary.to_pylist()]
        if None in names or None in numbers:
            good = pc.and_(
                _are_there(names).take(users.indices), _are_there(numbers).take(skeletons.indices)
            )
            users, skeletons = users.filter(good), skeletons.filter(good)
            places, texts, times = places.filter(good), texts.filter(good), times.filter(good)
        values = pa.array(pseudonyms.of_many([name or b"" for name in names]), pa.binary())
        return Read(
            places,
            values.take(users.indices),
            texts.cast(pa.string()),
            times,
            pa.array(numbers, pa.int32()).take(skeletons.indices),
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


def _layout(row: bytes) -> _Layout | None:
    """Return where a row has its values; a guess, which its skeleton has to confirm."""
    spans = {}
    marks = {}
    for name, key in _KEYS.items():
        match = key.search(row)
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
        if stop <= start or stop > len(row) - 2:
            return None
        spans[name], marks[name] = (start, stop), quote
    if marks.get("record_id") or not marks["inDate"]:
        return None
    user = _Cut(*spans["user_id"], _USER if marks["user_id"] else _USER_NUMBER)
    number = _Cut(*spans["record_id"], _NUMBER) if "record_id" in spans else None
    time = _Cut(*spans["inDate"], _TIME)
    cuts = sorted((cut for cut in (user, number, time) if cut), key=lambda cut: -cut.start)
    if any(later.start < cut.stop for later, cut in itertools.pairwise(cuts)):
        return None
    signs = [(time.start - 4, row[time.start - 4 : time.start])]
    if number is None:
        signs.append((user.stop, row[user.stop : user.stop + 2]))
    kind = _Kind(user.stand_in, number is not None)
    return _Layout(kind, user, number, time, tuple(cuts), tuple(signs))


def _fitting(layout: _Layout, rows: pa.Array, ids: pa.Array) -> pa.Array:
    """Return for each row whether its values may be where the layout says."""
    masks = [
        pc.equal(pc.binary_slice(rows, place, place + len(text)), pa.scalar(text, pa.binary()))
        for place, text in layout.signs
    ]
    if layout.number is not None:
        masks.append(pc.equal(pc.binary_slice(rows, layout.number.start, layout.number.stop), ids))
    return functools.reduce(pc.and_, masks)


def _taken(layout: _Layout, rows: pa.Array, places: pa.Array) -> _Taken:
    users = pc.binary_slice(rows, layout.user.start, layout.user.stop)
    texts = pc.binary_slice(rows, layout.time.start, layout.time.stop)
    for cut in layout.cuts:
        rows = pc.binary_replace_slice(rows, cut.start, cut.stop, cut.stand_in)
    return _Taken(places, users, texts, rows)


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
    if kind.user == _USER and not content.translate(None, _PLAIN) and b"" not in names:
        return names
    plain = _INTEGER if kind.user == _USER_NUMBER else _TEXT
    return [name if plain.fullmatch(name) else None for name in names]


def _are_there(values: Sequence[object]) -> pa.Array:
    return pa.array([value is not None for value in values], pa.bool_())


@functools.lru_cache(maxsize=MAX_SKELETONS)
def _skeleton(text: bytes, kind: _Kind) -> Skeleton | None:
    """Return what a padded skeleton says, if each stand-in is the value of its own field."""
    user, has_number = kind
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
    except fields.Refuse:
        return None
