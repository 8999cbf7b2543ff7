"""Every id that was taken, however many holes are between them: what a header says, and the rest.

A header holds the highest ranges of ids. Where a source numbers with holes there are as many as
records, and a header that held all of them would grow with each batch. So the lowest ones are
sealed, many at a time, into objects that are named by their hash and never changed; the header
keeps the span and the hash of each. They are read only where an id falls into such a span.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import astuple, dataclass
from typing import Any

from ingestion.errors import ContractError
from ingestion.ledger import IdRanges, runs

KEPT_RANGES = 2_000
"""The highest ranges stay in the header; more than LATE_HORIZON_IDS need, so that a cursor is
found there."""

SEALED_RANGES = 10_000
"""Ranges per object: 200 kB, and a hundred bytes in the header."""


@dataclass(frozen=True, slots=True, order=True)
class Seal:
    """Ids between ``low`` and ``high``, ``count`` of them, in the object of this hash."""

    low: int
    high: int
    count: int
    sha256: str


Read = Callable[[str], bytes]
"""Returns the object of a hash."""


def _unread(sha256: str) -> bytes:
    raise ContractError(f"The sealed ids {sha256} are needed and cannot be read. This is a bug.")


class Settled:
    """A set of ids like ``IdRanges``, of which a part may lie elsewhere.

    The seals' spans do not overlap. An id that comes late may lie in one and be open all the same;
    no id is in both.
    """

    def __init__(
        self,
        ranges: Iterable[Sequence[int]] = (),
        seals: Iterable[Sequence[Any]] = (),
        read: Read = _unread,
    ) -> None:
        self._open = IdRanges(ranges)
        self._seals = sorted(Seal(*seal) for seal in seals)
        self._read = read
        self.objects: dict[str, bytes] = {}
        """What ``union`` sealed: to be there before any header names it."""

    def ranges(self) -> list[list[int]]:
        """Return what is not sealed."""
        return [[low, high] for low, high in self._open]

    def seals(self) -> list[list[Any]]:
        """Return what is, as JSON holds it."""
        return [list(astuple(seal)) for seal in self._seals]

    def __bool__(self) -> bool:
        return bool(self._open) or bool(self._seals)

    def __contains__(self, record_id: int) -> bool:
        return record_id in self._open or any(
            seal.low <= record_id <= seal.high and record_id in self._ranges_of(seal)
            for seal in self._seals
        )

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(IdRanges([*self._open, *self._of(self._seals)]))

    def known(self, ids: Set[int]) -> Set[int]:
        """Return which of ``ids`` are among these."""
        found = self._open.known(ids)
        if not ids or not self._seals or min(ids) > self._seals[-1].high:
            return found
        for seal in self._seals:
            if some := {i for i in ids if seal.low <= i <= seal.high}:
                found |= self._ranges_of(seal).known(some)
        return found

    def union(self, ids: Iterable[int]) -> "Settled":
        """Return these ids and ``ids``, none of which are among them, together."""
        made = Settled(self._open, read=self._read)
        made._seals, made.objects = list(self._seals), dict(self.objects)
        made._open = self._open.union(ids)
        if (pieces := (len(made._open) - KEPT_RANGES) // SEALED_RANGES) > 0:
            made._seal(pieces * SEALED_RANGES)
        return made

    def _seal(self, count: int) -> None:
        ranges = list(self._open)
        ranges, self._open = ranges[:count], IdRanges(ranges[count:])
        low, high = ranges[0][0], ranges[-1][1]
        touched = [seal for seal in self._seals if seal.low <= high and low <= seal.high]
        merged = list(IdRanges([*ranges, *self._of(touched)]))
        self._seals = [seal for seal in self._seals if seal not in touched]
        for begin in range(0, len(merged), SEALED_RANGES):
            part = merged[begin : begin + SEALED_RANGES]
            body = json.dumps(part, separators=(",", ":")).encode()
            sha256 = hashlib.sha256(body).hexdigest()
            self.objects[sha256] = body
            self._seals.append(Seal(part[0][0], part[-1][1], IdRanges(part).count(), sha256))
        self._seals.sort()

    def span(self) -> tuple[int, int] | None:
        """Return the lowest and the highest id."""
        ends = [(seal.low, seal.high) for seal in (*self._seals[:1], *self._seals[-1:])]
        if self._open:
            ends.append(self._open.span())
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def count(self) -> int:
        """Return how many ids these are."""
        return self._open.count() + sum(seal.count for seal in self._seals)

    def count_within(self, low: int, high: int) -> int:
        """Return how many of them lie between two ids, both included."""
        whole = [seal for seal in self._seals if low <= seal.low and seal.high <= high]
        partly = [s for s in self._seals if s not in whole and s.low <= high and low <= s.high]
        clipped = [
            max(0, min(high, end) - max(low, begin) + 1)
            for begin, end in (*self._open, *self._of(partly))
        ]
        return sum((seal.count for seal in whole), sum(clipped))

    def missing(self) -> int:
        """Return how many ids between the lowest and the highest are not among these."""
        span = self.span()
        return span[1] - span[0] + 1 - self.count() if span else 0

    def gaps(self) -> list[tuple[int, int]]:
        """Return the ranges between the ranges: ids that a later one overtook."""
        return IdRanges(self).gaps()

    def overtaken(self, ids: Iterable[int]) -> list[tuple[int, int]]:
        """Return the gaps that ``ids`` leave outside the span of these."""
        span = self.span()
        return IdRanges([*([span] if span else []), *runs(ids)]).gaps()

    def cursor(self, late_horizon: int) -> int | None:
        """Return the id after which a cursor source is read; see ``IdRanges.cursor``."""
        cursor = self._open.cursor(late_horizon)
        if not self._seals or (cursor is not None and cursor > self._seals[-1].high):
            return cursor
        return IdRanges(self).cursor(late_horizon)

    def _of(self, seals: Iterable[Seal]) -> Iterator[tuple[int, int]]:
        return (each for seal in seals for each in self._ranges_of(seal))

    def _ranges_of(self, seal: Seal) -> IdRanges:
        body = self.objects.get(seal.sha256) or self._read(seal.sha256)
        return IdRanges(json.loads(body))
