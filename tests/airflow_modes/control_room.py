"""Airflow's processes over a lake that is there, a DAG run in them, and what it cost."""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from laptop.airflow_api import ENDED, AirflowApi
from laptop.environment import EXECUTABLES, LOCAL_AWS_PYTHON, REPOSITORY, Laptop
from laptop.processes import Part, Processes, answers, below

PARTS = {
    "airflow-api-server": ["api-server"],
    "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
    "airflow-dag-processor": ["dag-processor"],
    "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
}


@dataclass
class Measured:
    """One run of one mode."""

    mode: str
    state: str
    tasks: int
    wall: float
    """Seconds from the run's start to its end, as Airflow notes them."""

    cpu: float
    """Seconds of CPU of every part and everything that it has started, local_aws included."""

    def line(self) -> str:
        """Return it for people."""
        return f"{self.mode}: {self.state} wall={self.wall:.1f} cpu={self.cpu:.1f}"


class ControlRoom:
    """Airflow as `make run` starts it, with a folder of DAGs of the test's own."""

    def __init__(self, laptop: Laptop, dags: Path, **variables: str) -> None:
        self._laptop = laptop
        self._dags = dags
        env = laptop.shell() | {"AIRFLOW__CORE__DAGS_FOLDER": str(dags)} | variables
        self.processes = Processes(env, REPOSITORY, laptop.home / "logs")
        self.api = AirflowApi(laptop.airflow_url, laptop.home / "airflow" / "logs")
        self.parts: dict[str, Part] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.processes.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.stop()

    def _start(self) -> None:
        data = ["--data", self._laptop.home / "aws", "--port", self._laptop.aws_port]
        aws = self.processes.start("local_aws", [LOCAL_AWS_PYTHON, "-m", "local_aws", *data])
        self.parts["local_aws"] = aws
        self.processes.wait_until(aws, lambda: answers(f"{self._laptop.aws_url}/health"), 60)
        for name in PARTS:
            self.start_part(name)
        self.wait_until_healthy()
        deadline = time.monotonic() + 600
        while not (errors := self.api.import_errors()) and not self.dag_ids():
            assert time.monotonic() < deadline, "no DAG was found"
            time.sleep(1)
        assert not errors, errors
        for name, pool in json.loads((REPOSITORY / "dags" / "pools.json").read_text()).items():
            self.api.set_pool(name, pool)

    def start_part(self, name: str) -> None:
        """Start one of Airflow's processes, for the first time or again."""
        self.parts[name] = self.processes.start(name, [EXECUTABLES / "airflow", *PARTS[name]])

    def kill_part(self, name: str) -> None:
        """Kill one of them, and everything that it has started."""
        part = self.parts[name]
        for pid in [part.process.pid, *below(part.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        part.process.wait()
        self.processes.parts.remove(part)

    def wait_until_healthy(self) -> None:
        """Wait for the database, the scheduler and the DAG processor."""
        server = self.parts["airflow-api-server"]
        self.processes.wait_until(server, self.api.is_healthy, 600, every=0.5)

    def dag_ids(self) -> list[str]:
        """Return the DAGs that this Airflow has parsed from our folder."""
        dags = self.api._call("GET", "dags?limit=100")["dags"]
        return [dag["dag_id"] for dag in dags if not dag["is_stale"]]

    def start(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run, and return its id."""
        self.api.pause(dag_id, False)
        body = {"logical_date": None, "conf": conf or {}}
        return str(self.api._call("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def ended(self, dag_id: str, run_id: str, seconds: float = 900) -> dict[str, Any]:
        """Wait for the end of a run, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            run: dict[str, Any] = self.api._call("GET", self.api._run_path(dag_id, run_id))
            if run["state"] in ENDED:
                return run
            assert time.monotonic() < deadline, f"{dag_id} is {run['state']}"
            time.sleep(0.5)

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of each task of a run."""
        return {task["task_id"]: task["state"] for task in self.api._tasks(dag_id, run_id)}

    def measure(self, dag_id: str) -> Measured:
        """Run a DAG, and return what it took."""
        before = self._cpu_seconds()
        run_id = self.start(dag_id)
        run = self.ended(dag_id, run_id)
        cpu = self._cpu_seconds() - before
        times = [datetime.fromisoformat(run[name]) for name in ("start_date", "end_date")]
        tasks = len(self.states(dag_id, run_id))
        wall = (times[1] - times[0]).total_seconds()
        return Measured(dag_id.removeprefix("measure_"), run["state"], tasks, wall, cpu)

    def _cpu_seconds(self) -> float:
        """Return the CPU that the parts have used, and all that they have started."""
        own: dict[int, float] = {}
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it ended
                fields = stat.read_text(errors="replace").rpartition(")")[2].split()
                pid = int(stat.parent.name)
                children.setdefault(int(fields[1]), []).append(pid)
                # Its own time, and that of its children that ended: user and system.
                own[pid] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

        def tree(pid: int) -> float:
            return own.get(pid, 0.0) + sum(map(tree, children.get(pid, [])))

        return sum(tree(part.process.pid) for part in self.parts.values())
