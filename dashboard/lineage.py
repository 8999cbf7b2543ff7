"""OpenLineage events → what each task did last, and which tables it read and wrote.

Airflow's OpenLineage provider writes an event when a run or a task begins and ends, and
``build_site`` adds those of dbt's models. The events are many and long (12 kB per task); what the
site needs of them is one short document, which is kept in the lake and grows with the tasks and
tables, not with the runs.
"""

import ast
import json
import logging
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from ingestion.lake import Lake
from ingestion.settings import Settings

logger = logging.getLogger(__name__)

KEY = "lineage/latest.json"

RECENT = 20
"""Durations that are kept of each task: enough for a median that one slow run does not move."""

_ENDS = {"COMPLETE": "success", "FAIL": "failed", "ABORT": "failed"}


def collect(settings: Settings, events: Path | None) -> None:
    """Fold the file of events into the document in the lake, and put the file aside.

    Safe to run again, also after a kill: a file that was taken but not folded is folded first.
    Whoever wants every event for good lets OpenLineage send them elsewhere; then there is no file.
    """
    if events is None:
        return
    lake = Lake(settings)
    taken = events.with_name(events.name + ".taken")
    for _ in range(2):  # what an earlier call left behind, then what came since
        if taken.exists():
            with taken.open(encoding="utf-8") as lines:
                document = fold(read(lake), lines)
            lake.put(KEY, json.dumps(document).encode(), "application/json")
            taken.replace(events.with_name(events.name + ".folded"))
        if events.exists():
            events.rename(taken)


def read(lake: Lake) -> dict[str, Any]:
    """Return the document, empty at first.

    It has ``runs`` by DAG, ``tasks`` by DAG and task, and ``tables``: of which tables each is made.
    """
    body = lake.get(KEY)
    return json.loads(body) if body else {"runs": {}, "tasks": {}, "tables": {}}


def fold(document: dict[str, Any], lines: Iterable[str]) -> dict[str, Any]:
    """Add events to the document and return it; what is no event is passed over."""
    strange = 0
    for line in lines:
        try:
            _add(document, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, SyntaxError):
            strange += 1  # the last line of a writer that was killed, or another producer's
    if strange:
        logger.warning("lineage: passed over %d events", strange)
    return document


def _add(document: dict[str, Any], event: dict[str, Any]) -> None:
    facets = event["run"]["facets"]
    for table in _tables(event.get("outputs", [])):
        document["tables"][table] = _tables(event.get("inputs", []))
    if "airflowDagRun" in facets:
        dag_id = facets["airflowDagRun"]["dag"]["dag_id"]
        run = document["runs"].setdefault(dag_id, {})
        if run.get("run") != event["run"]["runId"]:
            document["runs"][dag_id] = run = {"run": event["run"]["runId"]}
        _mark(run, event, is_mapped=False)
    elif "airflow" in facets:
        facet = facets["airflow"]
        job = f"{facet['dag']['dag_id']}.{facet['task']['task_id']}"
        known = document["tasks"].get(job, {})
        run_id = facets["parent"]["run"]["runId"]
        task = known if known.get("run") == run_id else {"recent": known.get("recent", [])}
        task |= {
            "run": run_id,
            "dag_id": facet["dag"]["dag_id"],
            "task_id": facet["task"]["task_id"],
            "upstream": _names(facet["task"]["upstream_task_ids"]),
            "assets": re.findall(r"'uri': '([^']+)'", str(facet["task"].get("outlets", ""))),
        }
        _mark(task, event, is_mapped=bool(facet["task"].get("mapped")))
        if event["eventType"] == "COMPLETE" and (took := took_seconds(task)) is not None:
            task["recent"] = [*task["recent"], round(took, 3)][-RECENT:]
        document["tasks"][job] = task


def _mark(entry: dict[str, Any], event: dict[str, Any], is_mapped: bool) -> None:
    at, kind = event["eventTime"], event["eventType"]
    if kind == "START":
        # Of a mapped task the first one counts, of one that is tried again the last try.
        entry["started_at"] = min(entry.get("started_at", at), at) if is_mapped else at
        entry["ended_at"], entry["state"] = None, "running"
    elif kind in _ENDS:
        entry.setdefault("started_at", at)
        entry["ended_at"], entry["state"] = at, _ENDS[kind]


def took_seconds(entry: dict[str, Any]) -> float | None:
    """Return for how long a task or a run worked, or nothing while it still does."""
    if not entry.get("ended_at"):
        return None
    return _seconds_between(entry["started_at"], entry["ended_at"])


def waited_seconds(document: dict[str, Any], task: dict[str, Any]) -> float | None:
    """Return for how long a task could have run and did not: scheduler, queue, worker's start.

    From the end of the last task that it waits for, or from its run's start if it waits for none.
    """
    names = [f"{task['dag_id']}.{name}" for name in task["upstream"]]
    before = [document["tasks"].get(name, {}) for name in names]
    if before:
        ends = [one.get("ended_at") for one in before if one.get("run") == task["run"]]
    else:
        run = document["runs"].get(task["dag_id"], {})
        ends = [run.get("started_at")] if run.get("run") == task["run"] else []
    known = [end for end in ends if end]
    if not known or len(known) < len(before):
        return None
    return max(0.0, _seconds_between(max(known), task["started_at"]))


def _seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def _tables(datasets: list[dict[str, Any]]) -> list[str]:
    """Return ``schema.table`` of each dataset; Athena's names begin with the catalogue."""
    return sorted({".".join(one["name"].split(".")[-2:]) for one in datasets})


def _names(listed: str) -> list[str]:
    return [str(name) for name in ast.literal_eval(listed)]
