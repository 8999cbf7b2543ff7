"""The sums: which ids were taken, and that every offered record is accounted for. No I/O."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from ingestion.errors import ContractError


class IdRanges:
    """A set of record ids, kept as sorted ranges that never touch: small while ids are dense."""

    def __init__(self, ranges: Iterable[Sequence[int]] = ()) -> None:
        """Take closed ranges ``[low, high]`` in any order."""
        self._lows: list[int] = []
        self._highs: list[int] = []
        for low, high in sorted((low, high) for low, high in ranges):
            if self._highs and low <= self._highs[-1] + 1:
                self._highs[-1] = max(self._highs[-1], high)
            else:
                self._lows.append(low)
                self._highs.append(high)

    def __contains__(self, record_id: int) -> bool:
        place = bisect_right(self._lows, record_id) - 1
        return place >= 0 and record_id <= self._highs[place]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._lows, self._highs, strict=True))

    def __bool__(self) -> bool:
        return bool(self._lows)

    def __len__(self) -> int:
        """Return how many ranges they are."""
        return len(self._lows)

    def span(self) -> tuple[int, int]:
        """Return the lowest and the highest id; there has to be one."""
        return self._lows[0], self._highs[-1]

    def known(self, ids: Set[int]) -> Set[int]:
        """Return which of ``ids`` are among these."""
        if not ids or not self or min(ids) > self._highs[-1] or max(ids) < self._lows[0]:
            return frozenset()
        return {i for i in ids if i in self}

    def union(self, ids: Iterable[int]) -> "IdRanges":
        """Return these ids and ``ids`` together."""
        return IdRanges([*self, *runs(ids)])

    def gaps(self) -> list[tuple[int, int]]:
        """Return the ranges between the ranges: ids that a later one overtook."""
        return [(high + 1, low - 1) for high, low in zip(self._highs, self._lows[1:], strict=False)]

    def count(self) -> int:
        """Return how many ids these are."""
        return sum(high - low + 1 for low, high in self)

    def missing(self) -> int:
        """Return how many ids the gaps hold."""
        return sum(high - low + 1 for low, high in self.gaps())

    def gaps_beyond(self, earlier: "IdRanges") -> list[tuple[int, int]]:
        """Return the gaps that lie outside the span of ``earlier``: those that it did not have.

        ``self`` holds every id of ``earlier``, so no gap straddles an end of that span.
        """
        if not earlier:
            return self.gaps()
        low, high = earlier._lows[0], earlier._highs[-1]
        return [gap for gap in self.gaps() if gap[0] > high or gap[1] < low]

    def cursor(self, late_horizon: int) -> int | None:
        """Return the id after which a cursor source is read; None for its very beginning.

        An id may appear after a higher one did. So reading starts at the end of the range that
        holds ``highest id - late_horizon``, or, where that id is in a gap, at the end of the
        range before the gap: every gap above the horizon is offered again, and what was taken
        already is a duplicate by its id. A gap below the horizon is given up by this way in; a
        dump still fills it.
        """
        if not self._highs:
            return None
        place = bisect_right(self._lows, self._highs[-1] - late_horizon) - 1
        return self._highs[place] if place >= 0 else None


def runs(ids: Iterable[int]) -> list[tuple[int, int]]:
    """Return ids, in any order, as closed ranges."""
    ordered = sorted(ids)
    if ordered and ordered[-1] - ordered[0] < len(ordered) == len(set(ordered)):
        return [(ordered[0], ordered[-1])]  # nearly always: a source numbers without gaps
    found: list[tuple[int, int]] = []
    for identifier in ordered:
        if found and identifier <= found[-1][1] + 1:
            found[-1] = (found[-1][0], identifier)
        else:
            found.append((identifier, identifier))
    return found


COUNTS = ("offered", "good", "quarantined", "duplicate", "conflict", "replayed")
"""What every batch and every arrival day is counted by; see ``check`` for the law."""


def balance(
    header_days: Sequence[Mapping[str, Any]],
    good_days: Mapping[str, int],
    quarantined_days: Mapping[str, int],
    conflict_days: Mapping[str, int],
    seq: int,
) -> list[dict[str, Any]]:
    """Return one row per arrival day, in which the law of ``check`` holds.

    Raises:
        ContractError: if a day does not come out.
    """
    header = {day["arrived_date"]: day for day in header_days}
    rows = []
    for day in sorted({*header, *good_days, *quarantined_days, *conflict_days}):
        stated = header.get(day, {})
        row = {
            "arrived_date": day,
            "offered": int(stated.get("offered", 0)),
            "good": good_days.get(day, 0),
            "quarantined": quarantined_days.get(day, 0),
            "duplicate": int(stated.get("duplicate", 0)),
            "conflict": conflict_days.get(day, 0),
            "replayed": int(stated.get("replayed", 0)),
        }
        check(row, f"batch {seq}, arrival day {day}")
        rows.append(row)
    return rows


def check(row: Mapping[str, Any], place: str) -> None:
    """Assert conservation: offered + replayed = good + quarantined + duplicate + conflict.

    Raises:
        ContractError: naming the place and the six numbers.
    """
    ends = row["good"] + row["quarantined"] + row["duplicate"] + row["conflict"]
    if row["offered"] + row["replayed"] != ends:
        numbers = ", ".join(f"{name} {row[name]}" for name in COUNTS)
        raise ContractError(
            f"The sum is off in {place}: {numbers}. If SOURCE_TIME_ZONE or SOURCE_FALSE_Z "
            "changed since the batch was landed, set them back and run again; otherwise this is "
            "a bug, and nothing was published."
        )


def total(markers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the sums over published batches, with how many they are."""
    sums: Counter[str] = Counter()
    for marker in markers:
        sums["batches"] += 1
        for name in COUNTS:
            sums[name] += int(marker.get(name, 0))
    return {name: sums[name] for name in ("batches", *COUNTS)}


def tally(markers: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Return every count that published batches can be summed by.

    ``batches`` and the names of COUNTS; ``reason.<REASON>``: refused for it and not replayed;
    ``key.<fingerprint>``: records that the key opened.
    """
    sums: Counter[str] = Counter()
    for marker in markers:
        sums.update(total([marker]))
        for row in marker.get("reasons") or ():
            sums[f"reason.{row['reason']}"] += int(row["quarantined"]) - int(row["replayed"])
        for row in marker.get("keys") or ():
            sums[f"key.{row['fingerprint']}"] += int(row["records"])
    return sums
