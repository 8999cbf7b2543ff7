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

_FORM = (
    rb'(\{"recordId": ?(0|[1-9][0-9]{0,17}), ?"ArrivalTimeStamp": ?([1-9][0-9]{7})[0-9]{2}'
    rb'(?:\.[0-9]{1,9})?, ?"data": ?"[^"]*"\})'
)
_LINES = re.compile(_FORM + rb"\n")
_ELEMENTS = re.compile(_FORM)
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
        """Take apart what ``array`` wrote, or any other JSON array."""
        if body.startswith(_OPENING) and body.endswith(_CLOSING):
            return cls(body[len(_OPENING) : -len(_CLOSING)].split(_BETWEEN))
        return cls.of(json.loads(body))

    def array(self) -> bytes:
        """Return all of them as one JSON array, an element in each line."""
        return b"".join((_OPENING, _BETWEEN.join(self.spelled), _CLOSING)) if self else b"[]"

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
    found = _LINES.findall(block)
    # Matches do not overlap: if they are as long as the block, nothing stands between them.
    is_covered = sum(len(text) for text, _, _ in found) + len(found) == len(block)
    return _plain(found) if found and is_covered and _is_clean(block, len(found)) else None


def plain_array(body: bytes) -> Plain | None:
    """Return a JSON array as envelopes, or None unless each has exactly the source's form."""
    if body[:1] != b"[" or body[-1:] != b"]" or not _is_clean(body, 0):
        return None
    found = _ELEMENTS.findall(body)
    spelled = [text for text, _, _ in found]
    is_covered = any(
        sum(map(len, spelled)) + len(between) * (len(found) - 1) + 2 == len(body)
        and between.join(spelled) == body[1:-1]
        for between in (b",", b", ")
    )
    return _plain(found) if found and is_covered else None


def _plain(found: list[tuple[bytes, bytes, bytes]]) -> Plain:
    spelled, ids, hundreds = map(list, zip(*found, strict=True))
    return Plain(spelled, [int(digits) for digits in ids], hundreds)


def _is_clean(text: bytes, lines: int) -> bool:
    """Tell whether what stands between quotes is certainly a JSON string, and itself.

    That is ASCII without escapes, and with no control character but so many line ends.
    """
    if not text.isascii() or b"\\" in text or text.count(b"\n") != lines:
        return False
    return int(pc.sum(pc.less(_octets(text), _SPACE)).as_py() or 0) == lines


def _octets(text: bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.uint8(), len(text), [None, pa.py_buffer(text)])


_SPACE = _octets(b" ")[0]  # not pa.scalar, at whose first call Arrow loads pandas
