"""The place of the drills: an Airflow, a lake, a project that may be broken, and the evidence.

What dbt did is asked of those who saw it: its own results in the lake, and local_aws, which keeps
each statement with the model that dbt wrote into it.
"""

import contextlib
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import urllib3

from laptop.environment import Laptop
from laptop.processes import below
from tests.airflow_modes.control_room import ControlRoom

DAG, WATCHED = "transform_warehouse", "watch_warehouse"

MODELS = ("int_finality", "dim_dates", "metrics_missing_ids", "metrics_query_cost_daily")
"""One, another that needs it, and two that need neither."""

OTHER = "fct_arrivals_daily"
"""One that is never chosen."""


class Site:
    """A room to break things in."""

    def __init__(self, room: ControlRoom, laptop: Laptop, project: Path) -> None:
        self.room = room
        self.laptop = laptop
        self.model = project / "models" / "intermediate" / "int_finality.sql"
        self.false_green = 0
        self.began = time.time()

    def start(self, **conf: Any) -> str:
        """Start a run of the chosen models."""
        self.began = time.time()
        return self.room.start(DAG, {"models": " ".join(MODELS)} | conf)

    def watch(self) -> str:
        """Start a run of all models, in the mode that watches."""
        self.began = time.time()
        return self.room.start(WATCHED)

    def states(self, run_id: str) -> dict[str, str]:
        """Return the state of each chosen model's task."""
        states = self.room.states(DAG, run_id)
        tasks = {model: states[task_of(model)] for model in MODELS}
        assert states[task_of(OTHER)] != "success", "it was not chosen"
        return tasks

    def not_run(self, states: dict[str, str]) -> list[str]:
        """Return the green tasks whose model dbt did not build well in this run."""
        green = [model for model, state in states.items() if state == "success"]
        false = [model for model in green if self.written(model) < self.began]
        return self.count_false(false)

    def not_asked(self, states: dict[str, str]) -> list[str]:
        """Return the green tasks of which local_aws has seen no statement that went well."""
        asked = self.asked()
        green = [model for model, state in states.items() if state == "success"]
        return self.count_false([model for model in green if f".{model}" not in asked])

    def count_false(self, models: list[str]) -> list[str]:
        """Count them, and say what is wrong."""
        self.false_green += len(models)
        return [f"{model} is green, and dbt did not run it" for model in models]

    def written(self, model: str) -> float:
        """Return when dbt last built a model well, by its own results in the lake."""
        key = f"daylight-lake/dbt_runs/latest/{task_of(model)}.json"
        answer = urllib3.request("GET", f"{self.laptop.aws_url}/{key}")
        results = answer.json() if answer.status == 200 else {"results": []}
        if [result["status"] for result in results["results"] if model in result["unique_id"]][
            :1
        ] != ["success"]:
            return 0.0
        generated = results["metadata"]["generated_at"].replace("Z", "+00:00")
        return datetime.fromisoformat(generated).timestamp()

    def asked(self) -> str:
        """Return the statements that went well since the run began, with dbt's comments."""
        keys = {"aws_access_key_id": "drill", "aws_secret_access_key": "drill"}
        athena = boto3.client(
            "athena", endpoint_url=self.laptop.aws_url, region_name="us-east-1", **keys
        )
        found = []
        pages = athena.get_paginator("list_query_executions").paginate()
        for page in pages:
            ids = page["QueryExecutionIds"]
            if not ids:
                break
            some = athena.batch_get_query_execution(QueryExecutionIds=ids)["QueryExecutions"]
            since = [
                one for one in some if one["Status"]["SubmissionDateTime"].timestamp() >= self.began
            ]
            found += [one["Query"] for one in since if one["Status"]["State"] == "SUCCEEDED"]
            if not since:  # the newest come first
                break
        return "\n".join(found)

    def mended(self, run_id: str, dag_id: str = DAG) -> list[str]:
        """Clear what failed, with what waits for it; return what is not right then."""
        before = self.times(run_id, dag_id)
        red = {name for name, (state, _) in before.items() if state != "success"}
        click = {"dag_run_id": run_id, "only_failed": True, "include_downstream": True}
        click |= {"dry_run": False, "reset_dag_runs": True}
        self.room.api._call("POST", f"dags/{dag_id}/clearTaskInstances", click)
        state = self.room.ended(dag_id, run_id)["state"]
        after = self.times(run_id, dag_id)
        again = {name for name in before if before[name][1] != after[name][1]}
        problems = [f"after clearing, the run is {state}"] if state != "success" else []
        problems += [f"{name} was green and ran again" for name in again - red]
        return problems + (self.not_run(self.states(run_id)) if dag_id == DAG else [])

    def times(self, run_id: str, dag_id: str = DAG) -> dict[str, tuple[str, str]]:
        """Return the state and the start of each task."""
        tasks = self.room.api._tasks(dag_id, run_id)
        return {task["task_id"]: (task["state"], task["start_date"]) for task in tasks}

    def until(self, dag_id: str, run_id: str, task_id: str, *states: str) -> None:
        """Wait until a task is in one of these states; a run that ends before is an error."""
        while (state := self.room.states(dag_id, run_id)[task_id]) not in states:
            assert state not in ("success", "failed", "skipped"), f"{task_id} is {state} already"
            time.sleep(0.1)

    def work(self, dag_id: str, run_id: str, task_id: str) -> int:
        """Return the process that does the work of a task, below the one that watches it."""
        tasks = {task["task_id"]: task["id"] for task in self.room.api._tasks(dag_id, run_id)}
        scheduler = self.room.parts["airflow-scheduler"].process.pid
        deadline = time.monotonic() + 30
        while True:  # both call themselves by the task's id; those further down come first
            named = [pid for pid in below(scheduler) if tasks[task_id] in title(pid)]
            if len(named) > 1:
                return named[0]
            assert time.monotonic() < deadline, f"{task_id} has no process"
            time.sleep(0.1)


def title(pid: int) -> str:
    """Return what a process calls itself, or nothing if it has ended."""
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def task_of(model: str) -> str:
    """Return the task that builds a model."""
    return f"warehouse.{model}_model_build"
