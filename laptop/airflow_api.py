"""A small client of Airflow's REST API: start a run, follow its tasks, say what failed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

ENDED = {"success", "failed"}
REPEATABLE = {"GET", "PATCH"}
"""What may be asked twice is asked again: a busy machine answers late, a killed server later."""

PATIENCE = 15.0
"""Seconds for which it is asked again where nobody starts a dead server anew."""

TASK_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class AirflowError(Exception):
    """Airflow refused a request, or a run failed. The text is for the user."""


@dataclass
class AirflowApi:
    """Airflow's API as one user; without a login, of the form where everybody is admin."""

    url: str
    logs: Path | str
    """Where the tasks' logs are, for messages: a folder or an address."""

    login: tuple[str, Path] | None = None
    """A user, and the file with their password."""

    meanwhile: Callable[[], None] = lambda: None
    """Called while it waits for an answer or a run: looks after the processes."""

    patience: float = PATIENCE
    _headers: dict[str, str] = field(default_factory=dict, init=False)
    _http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(timeout=30, retries=False), init=False
    )

    def is_healthy(self) -> bool:
        """Tell whether the database answers and the scheduler and DAG processor are alive."""
        try:
            answer = self._http.request("GET", f"{self.url}/api/v2/monitor/health", timeout=5)
        except urllib3.exceptions.HTTPError:
            return False
        if answer.status != 200:
            return False
        parts = answer.json()
        needed = ("metadatabase", "scheduler", "dag_processor")
        return all(parts[part]["status"] == "healthy" for part in needed)

    def import_errors(self) -> list[str]:
        """Return one text per DAG file that Airflow cannot import."""
        errors = self._call("GET", "importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def has_dags(self, dag_ids: list[str]) -> bool:
        """Tell whether all these DAGs are parsed and in Airflow's database."""
        known = {dag["dag_id"] for dag in self._call("GET", "dags?limit=100")["dags"]}
        return known.issuperset(dag_ids)

    def pause(self, dag_id: str, is_paused: bool) -> None:
        """Pause or unpause a DAG."""
        self._call("PATCH", f"dags/{dag_id}", {"is_paused": is_paused})

    def set_pool(self, name: str, pool: dict[str, Any]) -> None:
        """Create a pool, or give it these slots."""
        path = f"pools/{quote(name, safe='')}"
        known = {found["name"] for found in self._call("GET", "pools?limit=100")["pools"]}
        if name in known:
            self._call("PATCH", path, {"name": name, **pool})
        else:
            self._call("POST", "pools", {"name": name, **pool})

    def unfinished_runs(self, dag_id: str) -> list[str]:
        """Return the ids of the runs that are running or queued."""
        runs = self._call("GET", f"dags/{dag_id}/dagRuns?state=running&state=queued")
        return [run["dag_run_id"] for run in runs["dag_runs"]]

    def fail(self, dag_id: str, run_id: str) -> None:
        """Close a run that a killed Airflow left open, so that new ones may start."""
        self._call("PATCH", self._run_path(dag_id, run_id), {"state": "failed"})

    def run(self, dag_id: str, conf: dict[str, Any], report: Callable[[str], None]) -> None:
        """Start a run and follow it to its end, reporting each task as it ends.

        Raises:
            AirflowError: if the run fails; names the failed tasks and their logs.
        """
        body = {"logical_date": None, "conf": conf}
        run_id = self._call("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"]
        self.follow(dag_id, run_id, report)

    def follow(self, dag_id: str, run_id: str, report: Callable[[str], None]) -> None:
        """Follow a run that exists already; otherwise as ``run``."""
        told: set[tuple[str, int]] = set()
        while True:
            # The run's state first: once it has ended, the tasks' states below are final.
            state = self._call("GET", self._run_path(dag_id, run_id))["state"]
            tasks = self._tasks(dag_id, run_id)
            ended = [task for task in tasks if task["state"] in TASK_ENDED]
            for task in ended:
                if (key := (task["task_id"], task["map_index"])) not in told:
                    told.add(key)
                    count = f"{len(told)}/{len(tasks)}"
                    report(f"{dag_id} {count} {_name(task)}: {task['state']}")
            if state in ENDED:
                break
            self.meanwhile()
            time.sleep(0.5)
        if state == "failed":
            failed = [task for task in tasks if task["state"] == "failed"]
            lines = [f"{dag_id}: the run failed; its log is in {self.logs}"]
            lines += [f"  {_name(task)}: {self._log(run_id, task)}" for task in failed]
            raise AirflowError("\n".join(lines))

    def _log(self, run_id: str, task: dict[str, Any]) -> str:
        index = f"/map_index={task['map_index']}" if task["map_index"] >= 0 else ""
        run = f"{self.logs}/dag_id={task['dag_id']}/run_id={run_id}"
        return f"{run}/task_id={task['task_id']}{index}/attempt={task['try_number']}.log"

    def _tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        path = f"{self._run_path(dag_id, run_id)}/taskInstances?limit=100"
        tasks: list[dict[str, Any]] = []
        while True:
            page = self._call("GET", f"{path}&offset={len(tasks)}")
            tasks += page["task_instances"]
            if not page["task_instances"] or len(tasks) >= page["total_entries"]:
                return tasks

    @staticmethod
    def _run_path(dag_id: str, run_id: str) -> str:
        return f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        if not self._headers:
            self._log_in()
        asked = self._asked(method, f"api/v2/{path}", body)
        if asked.status == 401:  # the token lasts a day, a run longer
            self._log_in()
            asked = self._asked(method, f"api/v2/{path}", body)
        if asked.status >= 400:
            raise AirflowError(f"Airflow answered {asked.status} to {method} {path}")
        return asked.json()

    def _log_in(self) -> None:
        self._headers = {}
        if self.login is None:
            answer = self._asked("GET", "auth/token")
        else:
            user, file = self.login
            credentials = {"username": user, "password": file.read_text().strip()}
            answer = self._asked("POST", "auth/token", credentials, is_repeatable=True)
        if answer.status >= 400:
            raise AirflowError(f"Airflow answered {answer.status} to a login")
        self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def _asked(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        is_repeatable: bool | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Return an answer; where nothing is done twice by it, not one that a restart cures."""
        if is_repeatable is None:
            is_repeatable = method in REPEATABLE
        deadline = time.monotonic() + self.patience
        while True:
            is_last = not is_repeatable or time.monotonic() > deadline
            try:
                url = f"{self.url}/{path}"
                answer = self._http.request(method, url, json=body, headers=self._headers)
                if answer.status < 500 or is_last:
                    return answer
            except urllib3.exceptions.HTTPError as error:
                if is_last:
                    kind = type(error).__name__
                    path = path.removeprefix("api/v2/")
                    raise AirflowError(
                        f"Airflow does not answer {method} {path} ({kind})"
                    ) from None
            self.meanwhile()
            time.sleep(0.5)


def _name(task: dict[str, Any]) -> str:
    index = task["map_index"]
    return str(task["task_id"]) if index < 0 else f"{task['task_id']}[{index}]"
