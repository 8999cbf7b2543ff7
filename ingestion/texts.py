"""Envelopes as JSON texts: carried as they came, and parsed only where somebody looks inside. Pure.

The parent process has to know two things of a record, its id and its day of arrival. Where a
record has exactly the form that the source writes, one regular expression tells both, and its
bytes go on as they are: into the landing body, and from there to the process that decodes them.
"""

import json
import re
from collections.abc import Iterable, Sequence, Set
from itertools import compress
from typing import Self, overload

import pyarrow as pa
import pyarrow.compute as pc

HUNDRED_SECONDS = 100
"""A stamp without its last two digits before the point is a stretch of so many seconds."""

_HEAD = rb'((?:0|[1-9][0-9]{0,17}), ?"ArrivalTimeStamp": ?[1-9][0-9]{7})'
_REST = rb'[0-9]{2}(?:\.[0-9]{1,9})?, ?"data": ?"[^"]*"\}'
# One group, because a tuple for each record would keep the garbage collector busy.
_LINE = re.compile(rb'^\{"recordId": ?' + _HEAD + _REST + rb"$", re.MULTILINE)
_HUNDRED_DIGITS = 8
_OPENING, _BETWEEN, _CLOSING = b"[\n", b",\n", b"\n]"


class Texts(Sequence[object]):
    """Envelopes by their JSON texts, none of which holds a line's end."""

    __slots__ = ("spelled",)

    def __init__(self, spelled: list[bytes]) -> None:
        self.spelled = spelled

    @classmethod
    def of(cls, envelopes: Iterable[object]) -> Self:
        """Spell envelopes that were read from JSON, and are not too deep for it."""
        return cls([spell(envelope) for envelope in envelopes])

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Take apart what ``array`` wrote, or an array in one line, as bodies were before."""
        if body.startswith(_OPENING) and body.endswith(_CLOSING):
            return cls(body[len(_OPENING) : -len(_CLOSING)].split(_BETWEEN))
        return cls.of(json.loads(body))

    def array(self) -> bytes:
        """Return all of them as one JSON array, an element in each line."""
        if not self.spelled:
            return b"[]"
        ends = self.spelled[:]  # joined once: 30 MB in fresh memory are not cheap
        ends[0] = _OPENING + ends[0]
        ends[-1] += _CLOSING
        return _BETWEEN.join(ends)

    def __len__(self) -> int:
        return len(self.spelled)

    @overload
    def __getitem__(self, place: int) -> object: ...

    @overload
    def __getitem__(self, place: slice) -> "Texts": ...

    def __getitem__(self, place: int | slice) -> object:
        if isinstance(place, slice):
            return Texts(self.spelled[place])
        return json.loads(self.spelled[place])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class Plain(Texts):
    """Texts of the source's own form, with what stands in front of their tokens."""

    __slots__ = ("hundreds", "ids")

    def __init__(self, spelled: list[bytes], ids: list[int], hundreds: list[bytes]) -> None:
        super().__init__(spelled)
        self.ids = ids
        self.hundreds = hundreds
        """Arrival stamps without their last two digits before the point."""

    def part(self, begin: int, end: int | None = None) -> "Plain":
        """Return a stretch of them."""
        cut = slice(begin, end)
        return Plain(self.spelled[cut], self.ids[cut], self.hundreds[cut])

    def without(self, known: Set[int]) -> "Plain":
        """Return those whose ids are not among ``known``."""
        kept = [identifier not in known for identifier in self.ids]
        return Plain(
            list(compress(self.spelled, kept)),
            list(compress(self.ids, kept)),
            list(compress(self.hundreds, kept)),
        )

    def outermost(self, seconds: int) -> Texts:
        """Return those that arrived first and last, of those so near the middle one."""
        ordered = sorted(self.hundreds)
        middle, reach = int(ordered[(len(ordered) - 1) // 2]), seconds // HUNDRED_SECONDS
        near = [each for each in ordered if abs(int(each) - middle) <= reach]
        ends = (near[0], near[-1])
        return Texts(
            [t for t, each in zip(self.spelled, self.hundreds, strict=True) if each in ends]
        )


def spell(envelope: object) -> bytes:
    """Return one envelope as JSON."""
    return json.dumps(envelope, separators=(",", ":")).encode()


def plain_lines(block: bytes) -> Plain | None:
    """Return whole lines as envelopes, or None unless each has exactly the source's form."""
    heads = _LINE.findall(block)
    spelled = block.split(b"\n")
    # A match begins and ends with a line. As many as there are lines: each of them is one.
    if spelled.pop() or not heads or len(heads) != len(spelled) or not _is_clean(block):
        return None
    ids = [int(head[: head.index(b",")]) for head in heads]
    return Plain(spelled, ids, [head[-_HUNDRED_DIGITS:] for head in heads])


def plain_array(body: bytes) -> Plain | None:
    """Return a JSON array as envelopes, or None unless each has exactly the source's form."""
    if body[:1] != b"[" or body[-1:] != b"]" or b"\n" in body:
        return None
    # Strings of this form hold no quote, so this is no part of one.
    lines = body[1:-1].replace(b'"},{"', b'"}\n{"').replace(b'"}, {"', b'"}\n{"')
    return plain_lines(lines + b"\n")


def _is_clean(block: bytes) -> bool:
    """Tell whether what stands between quotes is certainly a JSON string, and itself.

    That is ASCII without escapes, and without control characters but the ends of lines.
    """
    if not block.isascii() or b"\\" in block:
        return False
    octets = pa.py_buffer(block.replace(b"\n", b" "))
    lowest = pc.min(pa.Array.from_buffers(pa.uint8(), len(block), [None, octets])).as_py()
    return bool(lowest >= 0x20)
