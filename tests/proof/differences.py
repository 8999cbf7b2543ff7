"""What two warehouses do not share (``EXCEPT ALL``, both ways), and one and the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.proof.world import Warehouse

OF_THE_RUNS = ("fct_metric_history", "metrics_restatement")
"""They tell what was seen when, so two ways to the same numbers leave other rows in them."""

OF_THE_QUERIES = ("stg_query_costs", "metrics_query_cost_daily")
"""They tell what the queries cost, and every run adds some."""

IGNORED_COLUMNS = ("invocation_id",)
SHOWN_ROWS = 2


@dataclass(frozen=True)
class Difference:
    """Rows that one side has and the other has not."""

    table: str
    surplus: int
    lacking: int
    shown: str

    @property
    def count(self) -> int:
        return self.surplus + self.lacking

    def __str__(self) -> str:
        return f"{self.table}: {self.surplus} too many, {self.lacking} missing; {self.shown}"


def except_all(
    left: Warehouse,
    right: Warehouse,
    leaving_out: Iterable[str] = OF_THE_RUNS,
    models: Iterable[str] | None = None,
) -> tuple[int, list[Difference]]:
    """Compare models of two warehouses in SQL; return how many they are, and what differs."""
    models = left.models() if models is None else models
    tables = [name for name in models if name not in {*OF_THE_QUERIES, *leaving_out}]
    found = [_between(left, right, table) for table in tables]
    return len(tables), [difference for difference in found if difference.count]


def _between(left: Warehouse, right: Warehouse, table: str) -> Difference:
    columns = [name for name in left.columns(table) if name not in IGNORED_COLUMNS]
    others = [name for name in right.columns(table) if name not in IGNORED_COLUMNS]
    if columns != others:
        return Difference(table, 1, 1, f"columns {columns} and {others}")
    listed = ", ".join(columns)

    def rest(one: Warehouse, other: Warehouse) -> str:
        return (
            f"select {listed} from {one.schema}.{table}"
            f" except all select {listed} from {other.schema}.{table}"
        )

    def ask(sql: str) -> list[dict[str, Any]]:
        return left.world.query(sql, left.bucket)

    ways = [rest(left, right), rest(right, left)]
    counts = [int(ask(f"select count(*) as n from ({way})")[0]["n"]) for way in ways]
    shown = [
        _short(row)
        for way, count in zip(ways, counts, strict=True)
        if count
        for row in ask(f"select * from ({way}) limit {SHOWN_ROWS}")
    ]
    return Difference(table, counts[0], counts[1], " | ".join(shown))


def from_oracle(
    warehouse: Warehouse, expected: dict[str, list[dict[str, Any]]]
) -> list[Difference]:
    """Compare tables with the oracle's rows, as multisets; return what differs."""
    found = [_against(warehouse, table, rows) for table, rows in expected.items()]
    return [difference for difference in found if difference.count]


def _against(warehouse: Warehouse, table: str, rows: list[dict[str, Any]]) -> Difference:
    built, stated = _as_multiset(warehouse.rows(table)), _as_multiset(rows)
    surplus, lacking = built - stated, stated - built
    return Difference(table, surplus.total(), lacking.total(), _apart(surplus, lacking))


def _as_multiset(rows: Iterable[dict[str, Any]]) -> Counter[tuple[tuple[str, Any], ...]]:
    return Counter(
        tuple(sorted((name, value) for name, value in row.items() if name not in IGNORED_COLUMNS))
        for row in rows
    )


def _apart(surplus: Counter[Any], lacking: Counter[Any]) -> str:
    """Show a row that is too many beside the missing one that is most like it."""
    if not surplus or not lacking:
        return _short(dict(next(iter(surplus or lacking), ())))
    row = dict(next(iter(surplus)))
    near = dict(max(lacking, key=lambda other: len(set(row.items()) & set(other))))
    differing = [name for name in row if row[name] != near.get(name)]
    same = {name: value for name, value in row.items() if name not in differing}
    pairs = ", ".join(f"{name}: {row[name]!r} not {near.get(name)!r}" for name in differing)
    return f"{pairs} where {_short(same, 160)}"


def _short(row: dict[str, Any], length: int = 400) -> str:
    text = ", ".join(f"{name}={value}" for name, value in row.items())
    return text if len(text) <= length else f"{text[:length]}…"
