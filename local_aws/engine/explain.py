"""EXPLAIN: the logical plan as lines of text, with Trino's names of the steps.

The plan is DuckDB's, made over empty tables: what is read, which filters reach it and in which
order things happen are the same as when the query runs; Trino's fragments and costs are not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from local_aws.engine.duck import Run, translated
from local_aws.engine.pushdown import filters_of

if TYPE_CHECKING:
    from local_aws.engine.compiler import Compiler, Rel, TableUse

Json = dict[str, Any]

_STEPS = {
    "PROJECTION": "Project", "FILTER": "Filter", "AGGREGATE": "Aggregate", "DISTINCT": "Distinct",
    "CROSS_PRODUCT": "CrossJoin", "ORDER_BY": "Sort", "TOP_N": "TopN", "LIMIT": "Limit",
    "UNION": "Union", "EXCEPT": "Except", "INTERSECT": "Intersect", "WINDOW": "Window",
    "UNNEST": "Unnest", "SAMPLE": "Sample", "DUMMY_SCAN": "Values", "EXPRESSION_GET": "Values",
    "COLUMN_DATA_SCAN": "Values", "EMPTY_RESULT": "Values", "DELIM_GET": "CorrelatedScan",
}  # fmt: skip


def plan_lines(
    run: Run, rel: Rel, compiler: Compiler, scanned: Mapping[int, int] | None = None
) -> list[str]:
    """The plan of a query; ``scanned`` are the bytes that each table's scans have read."""
    names = [c.name if c.name is not None else f"_col{i}" for i, c in enumerate(rel.columns)]
    lines = [f"Output[columnNames = [{', '.join(names)}]]"]
    layout = ", ".join(f"{n}:{c.type}" for n, c in zip(names, rel.columns, strict=True))
    lines.append(f"│   Layout: [{layout}]")
    with translated():
        plan, owners = run.planner.explained(compiler.settled(rel.sql), compiler.tables)
    for node in plan:
        lines += _node(node, owners, compiler.tables, scanned, "", last=True)
    return lines


def _node(
    node: Json, owners: Mapping[str, int], tables: Mapping[int, TableUse],
    scanned: Mapping[int, int] | None, indent: str, *, last: bool,
) -> list[str]:  # fmt: skip
    while node["name"] == "PROJECTION" and len(node["children"]) == 1:
        node = node["children"][0]  # most only give names
    inner = indent + ("   " if last else "│  ")
    lines = [f"{indent}{'└─' if last else '├─'} "]
    if node["name"] == "SEQ_SCAN":
        number = owners[str(node["extra_info"]["Table"]).rsplit(".", 1)[-1]]
        title, *rest = _scan(tables[number], node)
        if scanned is not None:
            rest.append(f"Physical input: {scanned.get(number, 0)}B")
        return [lines[0] + title, *(f"{inner}    {line}" for line in rest)]
    children = node["children"]
    lines[0] += _title(node)
    for i, child in enumerate(children):
        lines += _node(child, owners, tables, scanned, inner, last=i == len(children) - 1)
    return lines


def _title(node: Json) -> str:
    name, info = node["name"], node["extra_info"]
    if name in ("COMPARISON_JOIN", "ANY_JOIN", "DELIM_JOIN"):
        kind = str(info.get("Join Type", "INNER")).title()
        return f"{'Correlated' if name == 'DELIM_JOIN' else ''}{kind}Join[]"
    if name == "AGGREGATE":
        groups = info.get("Groups")
        count = 0 if not groups else 1 if isinstance(groups, str) else len(groups)
        return f"Aggregate[keys = {count}]"
    return f"{_STEPS.get(name, name.title().replace('_', ''))}[]"


def _scan(use: TableUse, node: Json) -> list[str]:
    columns = use.source.readable

    def named(match: re.Match[str]) -> str:
        number = int(match[1])
        return columns[number][0] if number < len(columns) else match[0]

    filters = [re.sub(r"\bc(\d+)\b", named, text) for text in filters_of(node)]
    title = f"TableScan[table = {use.name}]"
    if filters:
        title = f"ScanFilter[table = {use.name}, filterPredicate = {' AND '.join(filters)}]"
    kinds = ("HIDDEN", "PARTITION_KEY", "REGULAR")
    lines = []
    for i in sorted(use.used):
        name, kind = columns[i]
        at = 0 if i >= len(use.source.columns) else 1 if i in use.source.partitions else 2
        lines.append(f"{name} := {name}:{kind}:{kinds[at]}")
    return [title, *lines]
