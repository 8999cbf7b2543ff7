"""Is ours the same as Trino's? Types, then values, then the order of rows where it matters."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

from local_aws.conformance.answers import Answer
from local_aws.conformance.corpus import Statement
from local_aws.conformance.trino_values import text_of

EQUAL, REFUSED, WRONG = "equal", "refused", "wrong"

TOLERANCE = 1e-13
"""Relative difference of two doubles that is no difference: sums in another order."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One of the three words, and why."""

    word: str
    why: str = ""


def compare(statement: Statement, trino: Answer, ours: Answer) -> Verdict:
    """Judge our answer. Refusing what Trino answers is not wrong; answering what it refuses is."""
    if trino.error:
        if not ours.error:
            return Verdict(WRONG, f"Trino fails with {trino.error}, ours answers {ours.rows[:2]}")
        if ours.error == "INTERNAL":
            return Verdict(WRONG, f"ours breaks: {ours.message}")
        if ours.error != trino.error:
            return Verdict(REFUSED, f"Trino fails with {trino.error}, ours with {ours.error}")
        return Verdict(EQUAL)
    if ours.error == "INTERNAL":
        return Verdict(WRONG, f"ours breaks: {ours.message}")
    if ours.error:
        return Verdict(REFUSED, f"{ours.error}: {ours.message}")
    return _table(statement, trino, ours)


def _table(statement: Statement, trino: Answer, ours: Answer) -> Verdict:
    if trino.columns != ours.columns:
        return Verdict(WRONG, f"columns: Trino {trino.columns}, ours {ours.columns}")
    kinds = [kind for _, kind in trino.columns]
    expected = [
        [text_of(cell, kind) for cell, kind in zip(row, kinds, strict=True)] for row in trino.rows
    ]
    got = list(ours.rows)
    if len(expected) != len(got):
        return Verdict(WRONG, f"rows: Trino {len(expected)}, ours {len(got)}")
    if not statement.ordered:
        expected, got = _aligned(expected, got)
    for number, (row, other) in enumerate(zip(expected, got, strict=True), 1):
        for cell, mine, (name, kind) in zip(row, other, trino.columns, strict=True):
            if not same(cell, mine, kind):
                return Verdict(WRONG, f"row {number}, {name}: Trino {cell!r}, ours {mine!r}")
    return Verdict(EQUAL)


Table = list[list[str | None]]


def _aligned(expected: Table, got: Table) -> tuple[Table, Table]:
    """Both without the rows they share, sorted, so that what is left stands side by side."""
    shared = Counter(map(tuple, expected)) & Counter(map(tuple, got))
    return _rest(expected, shared.copy()), _rest(got, shared.copy())


def _rest(rows: Table, shared: Counter[tuple[str | None, ...]]) -> Table:
    left = []
    for row in rows:
        if shared[tuple(row)] > 0:
            shared[tuple(row)] -= 1
        else:
            left.append(row)
    return sorted(left, key=lambda row: [(cell is None, _number_first(cell)) for cell in row])


def _number_first(cell: str | None) -> tuple[float, str]:
    try:
        number = float(cell or "")
    except ValueError:
        return math.inf, cell or ""
    return (math.inf if math.isnan(number) else round(number, 6)), cell or ""


_DOUBLE = re.compile(r"-?\d+\.\d+(?:E-?\d+)?")


def same(expected: str | None, got: str | None, kind: str) -> bool:
    """Whether two cells are the same; only floating point has a tolerance, maps have no order."""
    if expected == got:
        return True
    if expected is None or got is None:
        return False
    if kind.startswith("map(") and sorted(expected[1:-1].split(", ")) == sorted(
        got[1:-1].split(", ")
    ):
        return True
    if not re.search(r"\b(double|real)\b", kind):
        return False
    if _DOUBLE.sub("#", expected) != _DOUBLE.sub("#", got):
        return False
    tolerance = 1e-6 if "real" in kind else TOLERANCE
    return all(
        math.isclose(float(a), float(b), rel_tol=tolerance)
        for a, b in zip(_DOUBLE.findall(expected), _DOUBLE.findall(got), strict=True)
    )
