"""Which predicates reach a table through views, CTEs, joins and windows, and which columns.

DuckDB's optimizer knows: the statement is explained over empty tables in the place of the real
ones, each reference to a table having one of its own, and the plan says which filters stand on
each scan. A row that such a filter refuses cannot change the result, whatever the tables hold,
so a file without other rows need not be read. Optimizations that look at data are off.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from local_aws.engine.macros import prepare
from local_aws.engine.predicates import columns_of, weakened

if TYPE_CHECKING:
    from local_aws.engine.compiler import TableUse

Json = dict[str, Any]

INLINE = "\x00inline\x00"
"""Stands before each query of a WITH: a plan is made as if it were written wherever it is named."""

_OFF = (
    "statistics_propagation", "empty_result_pullup", "compressed_materialization",
    "partial_aggregate_pushdown", "row_group_pruner", "sampling_pushdown",  # these look at data
    "join_elimination", "common_subplan", "aggregate_reuse", "window_self_join",  # lose a scan
    "in_clause",  # makes a join of a long list
    "top_n", "late_materialization", "join_filter_pushdown", "top_n_window_elimination",
    "column_lifetime", "build_side_probe_side",  # of no use here
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scan:
    """One reading of a table. What WITH names is read as often as it is mentioned, as on Athena."""

    filters: list[Json]
    """What a row must meet to count, as parsed expressions over ``c0, c1, ...``."""

    partition_filter: str | None = None
    """What they say of partition columns alone, as SQL; None if that is nothing."""

    columns: set[int] | None = None
    """The columns that are read; None if that is not known."""

    def read(self, used: set[int]) -> set[int]:
        """Which of the columns that the statement names matter to its result."""
        return used if self.columns is None else used & self.columns


Scans = tuple[Scan, ...]
"""What the plan says of one reference to a table; without a scan no row counts."""

UNPLANNED: Scans = (Scan([]),)
"""What is known without a plan: one scan, of everything."""


class Planner:
    """Explains statements; shared by all queries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database: Any = None
        self._tables: dict[tuple[tuple[str, ...], int], str] = {}

    def plan(self, sql: str, tables: dict[int, TableUse]) -> dict[int, Scans]:
        """By number of the reference; what cannot be planned is not pruned."""
        marked = {n: use for n, use in tables.items() if f"\x00{n}\x00" in sql}
        if not any(use.source.prunable for use in marked.values()):
            return {}
        if sql.count("SELECT") == 1 and not re.search(" (WHERE|HAVING|JOIN) ", sql):
            return {}
        try:
            return self._plan(sql, marked)
        except (duckdb.InternalException, duckdb.FatalException):
            self.close()  # that instance is of no more use
            return {}
        except duckdb.Error:
            # A constant that cannot be computed, for example; the query itself will tell.
            return {}

    def close(self) -> None:
        """Close DuckDB."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None
            self._tables.clear()

    def explained(
        self, sql: str, tables: Mapping[int, TableUse]
    ) -> tuple[list[Json], dict[str, int]]:
        """The logical plan over empty tables, and the reference that each of those stands for."""
        connection = self._connect()
        sql, names = self._over_empty(connection, sql, tables)
        rows = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()
        return json.loads(dict(rows)["logical_opt"]), names

    def _over_empty(
        self, connection: Any, sql: str, tables: Mapping[int, TableUse]
    ) -> tuple[str, dict[str, int]]:
        names: dict[str, int] = {}
        seen: Counter[tuple[str, ...]] = Counter()
        for number, use in tables.items():
            kinds = tuple(kind.duck for _, kind in use.source.readable)
            name = self._table(connection, kinds, seen[kinds])
            seen[kinds] += 1
            names[name] = number
            sql = sql.replace(f"\x00{number}\x00", f"SELECT * FROM {name}")
        return sql.replace(INLINE, "NOT MATERIALIZED "), names

    def _plan(self, sql: str, marked: dict[int, TableUse]) -> dict[int, Scans]:
        connection = self._connect()
        sql, names = self._over_empty(connection, sql, marked)
        rows = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()
        plans = {kind: json.loads(text) for kind, text in rows}
        found = list(_scans(plans["logical_opt"]))
        parsed = _parsed(connection, {text for _, texts in found for text in texts})
        columns = _columns(plans["physical_plan"])
        scans: dict[int, list[Scan]] = {number: [] for number in marked}
        for node, texts in found:
            number = names[_name(node)]
            given = columns.get(_key(node))
            items = [parsed[text] for text in dict.fromkeys(texts)]
            filters = [item for item in items if item is not None]
            if len(filters) < len(items):
                # A newline in a literal cuts a filter in pieces, of which one may look right.
                scans[number].append(Scan([]))
                continue
            use = marked[number]
            scans[number].append(
                Scan(
                    filters, _partition_filter(connection, filters, use.source.partitions),
                    _needed(given.pop(0), filters, use.used) if given else None,
                )
            )  # fmt: skip
        return {number: tuple(listed) for number, listed in scans.items()}

    def _connect(self) -> Any:
        with self._lock:
            if self._database is None:
                self._database = duckdb.connect(
                    ":memory:", config={"threads": 1, "memory_limit": "200MB"}
                )
                self._database.execute("SET TimeZone = 'UTC'")
                prepare(self._database)
                self._database.execute(f"SET disabled_optimizers = '{','.join(_OFF)}'")
                self._database.execute("SET GLOBAL explain_output = 'all'")
                self._database.execute("SET enable_external_access = false")
            return self._database.cursor()

    def _table(self, connection: Any, kinds: tuple[str, ...], copy: int) -> str:
        with self._lock:
            name = self._tables.get((kinds, copy))
            if name is None:
                name = f"planned_{len(self._tables)}"
                listed = ", ".join(f"c{i} {kind}" for i, kind in enumerate(kinds))
                connection.execute(f"CREATE TABLE {name} ({listed})")
                self._tables[kinds, copy] = name
            return name


def _walk(nodes: list[Json]) -> Iterator[Json]:
    for node in nodes:
        yield node
        yield from _walk(node["children"])


def _scans(plan: list[Json]) -> Iterator[tuple[Json, list[str]]]:
    """Each scan of a table with the filters on it and directly above it."""
    pending: list[tuple[Json, list[str]]] = [(node, []) for node in plan]
    while pending:
        node, above = pending.pop()
        info = node["extra_info"]
        if node["name"] == "SEQ_SCAN":
            yield node, above + _listed(info.get("Filters"))
        elif node["name"] == "FILTER":
            above = above + _listed(info.get("Expressions"))
            pending += [(child, above) for child in node["children"]]
        else:
            pending += [(child, []) for child in node["children"]]


def _listed(value: str | list[str] | None) -> list[str]:
    listed = [value] if isinstance(value, str) else value or []
    return [text.removeprefix("optional: ") for text in listed if text]


def filters_of(scan: Json) -> list[str]:
    """The filters that stand on a scan itself."""
    return _listed(scan["extra_info"].get("Filters"))


def _name(scan: Json) -> str:
    return str(scan["extra_info"]["Table"]).rsplit(".", 1)[-1]


def _parsed(connection: Any, texts: set[str]) -> dict[str, Json | None]:
    """Filters as trees; None for what is no expression."""
    if not texts:
        return {}
    listed = sorted(texts)
    rows = connection.execute(
        "SELECT json_serialize_sql('SELECT ' || t) FROM unnest($1) AS u (t)", [listed]
    ).fetchall()
    return {text: _item(json.loads(reply)) for text, (reply,) in zip(listed, rows, strict=True)}


def _item(statement: Json) -> Json | None:
    if statement["error"] or len(statement["statements"]) != 1:
        return None
    (*rest, item) = statement["statements"][0]["node"]["select_list"]
    return None if rest or item["alias"] else dict(item)


def _key(scan: Json) -> tuple[str, ...]:
    return (_name(scan), *_listed(scan["extra_info"].get("Filters")))


def _columns(plan: list[Json]) -> dict[tuple[str, ...], list[list[str]]]:
    """Names of the columns that scans give, by table and filters: only this plan tells."""
    found: dict[tuple[str, ...], list[list[str]]] = {}
    for node in _walk(plan):
        if node["name"] == "SEQ_SCAN":
            found.setdefault(_key(node), []).append(_listed(node["extra_info"].get("Projections")))
    return found


def _needed(names: list[str], filters: list[Json], used: set[int]) -> set[int]:
    columns = {int(m[1]) for name in names if (m := re.match(r"c(\d+)(\.|$)", name))}
    for item in filters:
        needed = columns_of(item)
        columns |= used if needed is None else needed
    return columns


def _partition_filter(
    connection: Any, filters: list[Json], partitions: frozenset[int]
) -> str | None:
    parts = [part for item in filters if (part := weakened(item, partitions)) is not None]
    return _sql(connection, _all_of("CONJUNCTION_AND", parts)) if parts else None


def _all_of(kind: str, parts: list[Json]) -> Json:
    if len(parts) == 1:
        return parts[0]
    return {"class": "CONJUNCTION", "type": kind, "alias": "", "children": parts}


def _sql(connection: Any, item: Json) -> str:
    node: Json = {
        "type": "SELECT_NODE", "modifiers": [], "cte_map": {"map": []}, "select_list": [item],
        "from_table": {"type": "EMPTY", "alias": "", "sample": None},
        "where_clause": None, "group_expressions": [], "group_sets": [],
        "aggregate_handling": "STANDARD_HANDLING", "having": None, "sample": None, "qualify": None,
    }  # fmt: skip
    text = json.dumps({"error": False, "statements": [{"node": node, "named_param_map": []}]})
    (sql,) = connection.execute("SELECT json_deserialize_sql(CAST($1 AS JSON))", [text]).fetchone()
    return str(sql).removeprefix("SELECT ")
