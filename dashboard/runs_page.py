"""Lineage → when each task ran last, how long it waited and worked, what it read, what it feeds.

Pure.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from statistics import median
from typing import Any
from urllib.parse import quote

from dashboard.athena import Row
from dashboard.lineage import took_seconds, waited_seconds
from dashboard.page import (
    day,
    empty,
    escape,
    folded,
    number,
    page,
    seconds,
    section,
    size,
    table,
    tile,
    tiles,
)

_SHOWN = 15
_NAMES = 4
"""Tables in a cell; the rest is a number, with all names in its tooltip."""

_PUBLISHED = ("access_logs", "published_batches", "quarantined_records")
"""The raw tables behind the DAGs' asset (dags/_assets.py): `publish` writes all three."""

_COSTS = ("query_costs", "collect_query_costs")
"""The raw table that a task writes for which nobody waits."""

_SLOW = 2
"""So many times its own median, and a second more, is worth a mark."""

_EMPTY = (
    "No event has been seen. Airflow writes them when the package "
    "apache-airflow-providers-openlineage is installed and [openlineage] transport names a file."
)


def render(document: dict[str, Any], runs: list[Row], raw_database: str) -> str:
    """Return the page as HTML; ``runs`` has the bytes of each model's newest run."""
    scanned = {row["node_id"].rsplit(".", 1)[-1]: row["scanned_bytes"] for row in runs}
    newest: dict[str, str] = {}
    for task in sorted(document["tasks"].values(), key=lambda task: str(task["started_at"])):
        newest[task["dag_id"]] = task["started_at"]
    dags = sorted(newest, key=lambda dag_id: newest[dag_id], reverse=True)
    parts = [_dag(document, dag_id, scanned) for dag_id in dags]
    content = f"""<h1>Runs</h1>
<p class="lead">The newest run of each DAG, task by task, from Airflow's and dbt's OpenLineage
events: how long it waited after what it needs was there, and how long it worked.</p>
{"".join(parts) or section("Tasks", "", empty(_EMPTY))}
{_lineage(document, raw_database)}"""
    return page("Runs · Daylight", content, "runs.html")


def _dag(document: dict[str, Any], dag_id: str, scanned: Mapping[str, int]) -> str:
    tasks = [task for task in document["tasks"].values() if task["dag_id"] == dag_id]
    tasks.sort(key=lambda task: str(task["started_at"]))
    # A run that has just begun has no task yet: then the one before is shown.
    tasks = [task for task in tasks if task["run"] == tasks[-1]["run"]]
    run = document["runs"].get(dag_id, {})
    is_newest = run.get("run") == tasks[-1]["run"]
    first = _at(run["started_at"] if is_newest else tasks[0]["started_at"])
    ends = [_at(task["ended_at"]) for task in tasks if task["ended_at"]]
    whole = max([(end - first).total_seconds() for end in ends], default=0.0)
    waits = [waited_seconds(document, task) for task in tasks]
    has_bytes = any(_model(task) in scanned for task in tasks)
    rows = []
    for task, waited in zip(tasks, waits, strict=True):
        took, usual = took_seconds(task), _usual(task)
        is_slow = took is not None and usual is not None and took > _SLOW * usual + 1
        name = task["task_id"].removeprefix("warehouse.")
        rows.append(
            [
                f'<span class="name">{escape(name)}</span>',
                _state(task),
                _span((_at(task["started_at"]) - first).total_seconds(), waited, took, whole),
                seconds(waited),
                f'<td class="some">{seconds(took)}' if is_slow else seconds(took),
                seconds(usual),
                *([size(scanned.get(_model(task)))] if has_bytes else []),
            ]
        )
    names = ["Task", "State", "", "Waited", "Worked", "Usually"] + ["Read"] * has_bytes

    def drawn(part: list[list[str]]) -> str:
        return (
            table(names, part, text_columns=2)
            .replace('<td><span class="track">', '<td class="drawn"><span class="track">')
            .replace('<td><td class="some">', '<td class="some">')
        )

    listed = drawn(rows[:_SHOWN])
    if len(rows) > _SHOWN:
        listed += folded(f"{len(rows) - _SHOWN} more tasks", drawn(rows[_SHOWN:]))
    known = [wait for wait in waits if wait is not None]
    figures = tiles(
        tile("Began (UTC)", f"{first:%H:%M}", day(first.date())),
        tile("Run", seconds(whole), f"{number(len(tasks))} tasks{_outcome(run, is_newest)}"),
        tile("Waited", seconds(sum(known)), "all tasks together"),
        tile("Worked", seconds(sum(filter(None, map(took_seconds, tasks)))), "all tasks together"),
    )
    return section(dag_id, "", figures, listed)


def _span(start: float, waited: float | None, took: float | None, whole: float) -> str:
    """Return where in the run a task waited and worked, as a bar inside a table's cell."""
    scale = 100 / whole if whole else 0
    wait, work = (waited or 0) * scale, (took or 0) * scale
    left = min(start * scale, 100.0)
    return (
        f'<span class="track"><span class="waited" style="left:{max(left - wait, 0):.1f}%;'
        f'width:{min(wait, left):.1f}%"></span>'
        f'<span class="worked" style="left:{left:.1f}%;'
        f'width:{min(max(work, 0.5), 100.5 - left):.1f}%"></span></span>'
    )


def _lineage(document: dict[str, Any], raw_database: str) -> str:
    reads: dict[str, list[str]] = document["tables"]
    makers = {_model(task): task for task in document["tasks"].values()}
    for task in document["tasks"].values():
        is_publish = any(uri.startswith("daylight://raw/") for uri in task["assets"])
        written = _PUBLISHED if is_publish else _COSTS[:1] if task["task_id"] == _COSTS[1] else ()
        makers |= {f"{raw_database}.{name}": task for name in written}
    feeds: dict[str, list[str]] = {}
    for name, sources in reads.items():
        for source in sources:
            feeds.setdefault(source, []).append(name)
    names = {*reads, *feeds}
    depths: dict[str, int] = {}
    rows = [
        [
            f'<span class="name">{_link(name, name in reads)}</span>',
            _maker(makers.get(name) or makers.get(name.rsplit(".", 1)[-1])),
            _listed(reads.get(name, [])),
            _listed(feeds.get(name, [])),
        ]
        for name in sorted(names, key=lambda name: (_depth(name, reads, depths), name))
    ]
    if not rows:
        return ""
    text = (
        "Which task makes a table, from which tables, and what is made of it: as it was seen when "
        "it ran, from the source's tables on. The dbt docs draw it."
    )
    heads = ("Table", "Made by", "From", "Feeds")
    shown = table(heads, rows[:_SHOWN], text_columns=4)
    if len(rows) > _SHOWN:
        more = table(heads, rows[_SHOWN:], text_columns=4)
        shown += folded(f"{len(rows) - _SHOWN} more tables", more)
    return section("Lineage", text, f'<div class="words">{shown}</div>')


def _depth(name: str, reads: Mapping[str, list[str]], seen: dict[str, int]) -> int:
    """Return how many steps a table is away from the source's."""
    if name not in seen:
        seen[name] = 0  # a circle ends here
        seen[name] = max((1 + _depth(one, reads, seen) for one in reads.get(name, [])), default=0)
    return seen[name]


def _link(name: str, is_model: bool) -> str:
    if not is_model:  # a table of ingestion's
        return escape(name)
    model = quote(name.rsplit(".", 1)[-1], safe="")
    target = f"dbt_docs/index.html#!/model/model.daylight.{model}"
    return f'<a href="{target}">{escape(name)}</a>'


def _listed(names: list[str]) -> str:
    short = sorted(name.rsplit(".", 1)[-1] for name in names)
    if len(short) <= _NAMES:
        return escape(", ".join(short) or "-")
    shown, rest = short[: _NAMES - 1], short[_NAMES - 1 :]
    more = f'<span title="{escape(", ".join(rest))}">and {len(rest)} more</span>'
    return f"{escape(', '.join(shown))} {more}"


def _maker(task: Mapping[str, Any] | None) -> str:
    if task is None:
        return "-"
    name = "its own task" if _model(task) else task["task_id"]
    return escape(f"{task['dag_id']}: {name}")


def _outcome(run: Mapping[str, Any], is_newest: bool) -> str:
    return f", {_word(run)}" if is_newest else ", the next one has begun"


def _model(task: Mapping[str, Any]) -> str:
    """Return the dbt model that a task of Cosmos builds, by the task's name; else nothing."""
    found = re.fullmatch(r"warehouse\.(\w+?)(?:_model_build|\.run|_run)", task["task_id"])
    return found[1] if found else ""


def _usual(task: Mapping[str, Any]) -> float | None:
    return median(task["recent"]) if len(task["recent"]) > 1 else None


def _state(entry: Mapping[str, Any]) -> str:
    look = {"success": "passed", "failed": "failed"}.get(entry["state"], "warned")
    return f'<span class="verdict {look}">{_word(entry)}</span>'


def _word(entry: Mapping[str, Any]) -> str:
    words = {"success": "green", "failed": "red", "running": "not over yet"}
    return words.get(entry["state"], escape(entry["state"]))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
