"""Airflow's notifiers: what a run that ended, or is late, wakes up."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseNotifier, Context, Variable
from airflow.sdk.configuration import conf

from alerts import memory, outbox
from alerts.incidents import Incident, Run, after_failure, after_lateness, is_over
from alerts.messages import Kind, Message, advice, impact, listed

logger = logging.getLogger(__name__)

LAST_GOOD_DAY = "last_good_day"

_REASONS = {
    "timed_out": "the run took longer than it may",
    "all_tasks_deadlocked": "no task can start any more",
}
# From the worst to the best: what is told of a mapped task.
_STATES = ("failed", "upstream_failed", "success", "skipped")


class TellFailure(BaseNotifier):
    """For a DAG's ``on_failure_callback``: tell people, unless they know of this incident."""

    def notify(self, context: Context) -> None:
        """Compare the run with the open incident, and tell what is new."""
        dag, run = context["dag"], _run(context)
        known = _known(dag.dag_id)
        incident, is_news = after_failure(known, run, _now())
        if is_news:
            new = [task for task in run.red if known is None or task not in known.tasks]
            outbox.post(_failure(context, run, new, incident), run.run_id)
        else:
            logger.info("told before dag=%s runs=%d", dag.dag_id, incident.failed_runs)
        _remember(dag.dag_id, incident)


class TellSuccess(BaseNotifier):
    """For a DAG's ``on_success_callback``: close its incident and say so.

    Where none is open it tells the channels that want to hear of every success.
    """

    def notify(self, context: Context) -> None:
        """Close the incident if this run makes it good."""
        dag, run = context["dag"], _run(context)
        known = _known(dag.dag_id)
        if known is None:
            if not run.did_nothing:
                facts = [("Run", run.run_id)]
                message = _message("succeeded", f"{dag.dag_id} succeeded", dag.dag_id, run, facts)
                outbox.post(message, run.run_id)
        elif is_over(known, run):
            outbox.post(_recovery(context, run, known), run.run_id)
            memory.forget(outbox.INCIDENT + dag.dag_id)


class TellLateness(BaseNotifier):
    """For a deadline, in the triggerer: tell people that a run is not over yet."""

    async def async_notify(self, context: Context) -> None:
        """Open an incident; a late run that then fails or ends is told by the others."""
        run: Mapping[str, Any] = context["dag_run"]  # type: ignore[assignment]  # JSON, here
        # In a thread: a channel may take its time, and the triggerer has other things to do.
        await asyncio.to_thread(self._tell, str(run["dag_id"]), str(run["dag_run_id"]))

    def _tell(self, dag_id: str, run_id: str) -> None:
        incident, is_news = after_lateness(_known(dag_id), run_id, _now())
        if is_news:
            run = Run(run_id, {}, {})
            facts = [("Last good day", _last_good_day()), ("Run", run_id)]
            title = f"{dag_id} is late: a run is not over at its deadline"
            outbox.post(_message("late", title, dag_id, run, facts), run_id)
        _remember(dag_id, incident)


def remember_good_day(day: str) -> None:
    """Keep the last complete day that readers see, for the messages of the days to come."""
    Variable.set(LAST_GOOD_DAY, day, description="The last complete day that readers see")


def _run(context: Context) -> Run:
    """Return the run with what became of its tasks, mapped ones as one."""
    dag, run_id = context["dag"], str(context["run_id"])
    states: dict[str, str] = {}
    if instance := context.get("ti"):  # a run whose last task is gone from the DAG has none
        found = instance.get_task_states(dag_id=dag.dag_id, run_ids=[run_id]).get(run_id, {})
        for name, state in found.items():
            task = name if name in dag.task_dict else name.rpartition("_")[0]
            if task in dag.task_dict:
                states[task] = min(states.get(task, "skipped"), str(state), key=_badness)
    upstream = {name: frozenset(task.upstream_task_ids) for name, task in dag.task_dict.items()}
    return Run(run_id, states, upstream)


def _badness(state: str) -> float:
    return _STATES.index(state) if state in _STATES else 1.5  # not run yet, or removed


def _failure(context: Context, run: Run, new: list[str], incident: Incident) -> Message:
    dag = context["dag"]
    runbook = dag.doc_md or ""
    nodes = {task: node for task in run.red if (node := _dbt_node(dag.task_dict[task]))}
    labels = [" ".join(nodes.get(task, ("task", task))) for task in run.red]
    facts = [("Failing", listed(labels))] if labels else [("Why", _reason(context))]
    if incident.failed_runs > 1:
        facts.append(("New", listed([nodes.get(task, ("", task))[1] for task in new])))
        facts.append(("Failing since", _spelt(incident.since)))
    if run.waiting:
        facts.append(("Did not run", f"{len(run.waiting)} tasks that need it"))
    facts.append(("Last good day", _last_good_day()))
    if hurt := impact(runbook):
        facts.append(("Impact", hurt))
    facts.append(("Run", run.run_id))
    first = nodes.get((new or run.red)[0], ("", (new or run.red)[0]))[1] if run.red else ""
    title = f"{dag.dag_id} failed" + (f": {first}" if first else "")
    if len(run.red) > 1:
        title += f" and {len(run.red) - 1} more"
    kinds = {task: kind for task, (kind, _) in nodes.items()}
    text = advice(runbook, new or run.red, kinds)
    return _message("failed", title, dag.dag_id, run, facts, text, (new or [*run.red])[:1])


def _recovery(context: Context, run: Run, known: Incident) -> Message:
    dag_id = context["dag"].dag_id
    facts = [("Failing since", _spelt(known.since))]
    if known.failed_runs:
        facts.append(("Failed runs", str(known.failed_runs)))
    if known.tasks:
        facts.append(("Well again", listed([task.rsplit(".", 2)[-1] for task in known.tasks])))
    facts += [("Last good day", _last_good_day()), ("Run", run.run_id)]
    title = f"{dag_id} recovered"
    return _message("recovered", title, dag_id, run, facts)


def _message(
    kind: Kind,
    title: str,
    dag_id: str,
    run: Run,
    facts: list[tuple[str, str]],
    text: str = "",
    red: list[str] | None = None,
) -> Message:
    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    page = f"{base}/dags/{dag_id}"
    links = [("Open the run", f"{page}/runs/{quote(run.run_id, safe='')}")]
    if red:
        address = f"{links[0][1]}/tasks/{quote(red[0], safe='')}"
        links.append(("Open the task", address))
    if kind in ("failed", "late"):
        links.append(("Runbook", page))
    return Message(kind, title, tuple([("DAG", dag_id), *facts]), text, tuple(links))


def _dbt_node(task: Any) -> tuple[str, str] | None:
    """Return kind and name of the dbt node that a task of Cosmos runs."""
    node = (getattr(task, "extra_context", None) or {}).get("dbt_node_config") or {}
    if "resource_name" not in node:
        return None
    return str(node.get("resource_type", "model")), str(node["resource_name"])


def _reason(context: Context) -> str:
    return _REASONS.get(str(context.get("reason")), "see the run")


def _last_good_day() -> str:
    try:
        return str(Variable.get(LAST_GOOD_DAY, default="none yet"))
    except Exception as error:
        logger.warning("cannot read the last good day: %s", type(error).__name__)
        return "not known now"


def _known(dag_id: str) -> Incident | None:
    try:
        document = memory.read(outbox.INCIDENT + dag_id)
        return Incident.of(document) if document else None
    except Exception as error:
        # Rather told twice than not at all.
        logger.warning("cannot read the open incident: %s", type(error).__name__)
        return None


def _remember(dag_id: str, incident: Incident) -> None:
    description = f"{dag_id} fails since {_spelt(incident.since)}"
    memory.write(outbox.INCIDENT + dag_id, incident.document(), description)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _spelt(instant: str) -> str:
    return f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M} UTC"
