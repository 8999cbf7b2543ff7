"""Round by round: a day is loaded and built while parts are killed, then mended and judged."""

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyathena

from cluster.run import RunningCluster
from laptop.airflow_api import AirflowApi, AirflowError
from laptop.main_job import report
from laptop.world import DUMPS_BUCKET, DUMPS_PREFIX
from tests.cluster_chaos.site import (
    BUCKET,
    CHOSEN,
    FEW,
    PARTS,
    count,
    different,
    rebuild,
    untrue,
)

LOAD, INGEST, BUILD = "load_dumps", "ingest_access_logs", "transform_warehouse"
KILLS_PER_LOAD, KILLS_PER_BUILD = 2, 8
APART_SECONDS = (5.0, 20.0)
"""Between two kills: some fall into the recovery from the one before."""

HANGS_SECONDS = 1_200
WOKEN_SECONDS = 60
MOST_CLICKS = 12
"""For one run; whoever has to click more often would call it a manual step."""


class Rounds:
    """What is done to one cluster, and what came of it."""

    def __init__(
        self, running: RunningCluster, kills: int, dice: random.Random, is_small: bool
    ) -> None:
        self.running = running
        self.laptop = running.cluster.laptop
        self.wanted = kills
        self.dice = dice
        self.build = FEW if is_small else BUILD
        self.kills: Counter[str] = Counter()
        self.clicks = 0
        self.runs = 0
        self.false_green: list[str] = []
        self.manual: list[str] = []
        """What nobody should have to do: a run that hangs, or that no click mends."""
        self.lost = self.doubled = -1
        self.equal = ""
        self._next: list[str] = []
        api = running.api()
        # It must not start parts: they would end with this thread.
        self.api = AirflowApi(api.url, api.logs, login=api.login, patience=api.patience)

    def run(self) -> None:
        """Do everything; what goes wrong is said, and in the figures."""
        try:
            self._run()
        except Exception:
            self.manual.append("the harness gave up")
            report(traceback.format_exc())

    def _run(self) -> None:
        dumps = sorted((self.laptop.home / "dumps").glob("*.gz"))
        self._asked(lambda: self.api.pause(BUILD, True))
        # A single poll would read every day at once, and leave nothing for the loads.
        self._asked(lambda: self.api.pause(INGEST, True))
        self._asked(lambda: self.api.pause(LOAD, False))
        self._asked(lambda: self.api.pause(self.build, False))
        while self.kills.total() < self.wanted:
            # When the days are used up, loading one again brings nothing, and a build is a build.
            dump = dumps.pop(0) if len(dumps) > 1 else dumps[0]
            self._one(LOAD, KILLS_PER_LOAD, {"uri": _uri(dump.name)})
            self._one(self.build, KILLS_PER_BUILD, {})
        self._one(LOAD, 0, {"uri": _uri("")})
        self._asked(lambda: self.api.pause(INGEST, False))
        self._one(INGEST, 0, {})
        self._one(self.build, 0, {})
        self._settle(self.build)
        self._judge()

    # ---------- one run

    def _one(self, dag_id: str, kills: int, conf: dict[str, Any]) -> None:
        """Start a run, kill parts while it lasts, mend it, and look whether what is green is true.

        What else the schedule has started of this DAG is waited for, too.
        """
        kills = min(kills, self.wanted - self.kills.total())
        woken = self._woken() if dag_id == BUILD else None
        if woken is None:
            self._settle(dag_id)
        began = time.time()
        before = self.kills.total()
        self._until_green(dag_id, woken or self._start(dag_id, conf), kills)
        self.runs += 1
        report(
            f"{dag_id} took {time.time() - began:.0f} s with {self.kills.total() - before} kills; "
            f"so far clicks={self.clicks} false_green={len(self.false_green)}"
        )

    def _woken(self) -> str | None:
        """Return the build that a publication has started by itself, if one comes soon."""
        deadline = time.time() + WOKEN_SECONDS
        while time.time() < deadline:
            if runs := self._asked(lambda: self.api.unfinished_runs(BUILD)):
                return str(runs[0])
            time.sleep(1)
        report("no build was woken: it is started by hand, as nothing may have been new")
        return None

    def _start(self, dag_id: str, conf: dict[str, Any]) -> str:
        body = {"logical_date": None, "conf": conf}
        path = f"dags/{dag_id}/dagRuns"
        return str(self._asked(lambda: self.api._call("POST", path, body))["dag_run_id"])

    def _until_green(self, dag_id: str, run_id: str, kills: int = 0) -> None:
        """Kill parts while a run lasts; where it is red, clear what failed, and what waits for it.

        Parts go on being killed while what was cleared runs again.
        """
        clicks = done = 0
        next_kill = 0.0
        deadline = time.time() + HANGS_SECONDS
        while (state := self._state(dag_id, run_id)) != "success":
            if time.time() > deadline:
                self.manual.append(f"{dag_id} hangs")
                report(f"{dag_id} hangs: {self._states(dag_id, run_id)}")
                self._asked(lambda: self.api.fail(dag_id, run_id))
                return
            if state == "failed" and clicks == MOST_CLICKS:
                self.manual.append(f"{dag_id} stays red")
                return
            if state == "failed":
                self._look(dag_id, run_id)
                self._click(dag_id, run_id)
                clicks += 1
                deadline = time.time() + HANGS_SECONDS
            elif done < kills and time.time() > next_kill and self._is_working(dag_id, run_id):
                self._kill(dag_id)
                done += 1
                next_kill = time.time() + self.dice.uniform(*APART_SECONDS)
            time.sleep(1)
        self._look(dag_id, run_id)

    def _is_working(self, dag_id: str, run_id: str) -> bool:
        return "running" in self._states(dag_id, run_id)

    def _states(self, dag_id: str, run_id: str) -> Counter[str]:
        tasks = self._asked(lambda: self.api._tasks(dag_id, run_id))
        return Counter(str(task["state"]) for task in tasks)

    def _state(self, dag_id: str, run_id: str) -> str:
        path = self.api._run_path(dag_id, run_id)
        return str(self._asked(lambda: self.api._call("GET", path))["state"])

    def _kill(self, during: str) -> None:
        """Kill the next part; each has its turn before one has a second."""
        if not self._next:
            self._next = self.dice.sample(PARTS, len(PARTS))
        kind = self._next.pop()
        name = {
            "worker": self.dice.choice(("worker-1", "worker-2")),
            "postgresql": self.running.cluster.database,
        }.get(kind, kind)
        part = self.running.part(name)
        self.kills[kind] += 1
        report(f"kill {self.kills.total()}/{self.wanted}: {name} during {during}")
        part.kill_tree()

    def _click(self, dag_id: str, run_id: str) -> None:
        tasks = self._asked(lambda: self.api._tasks(dag_id, run_id))
        red = sorted(task["task_id"] for task in tasks if task["state"] == "failed")
        self.clicks += 1
        report(f"click {self.clicks}: {dag_id} is red at {', '.join(red) or 'no task'}")
        click = {"dag_run_id": run_id, "only_failed": True, "include_downstream": True}
        click |= {"dry_run": False, "reset_dag_runs": True}
        path = f"dags/{dag_id}/clearTaskInstances"
        self._asked(lambda: self.api._call("POST", path, click))

    def _look(self, dag_id: str, run_id: str) -> None:
        """Hold each green task of a build to what dbt wrote down."""
        if dag_id != self.build:
            return
        run = self._asked(lambda: self.api._call("GET", self.api._run_path(dag_id, run_id)))
        tasks = self._asked(lambda: self.api._tasks(dag_id, run_id))
        # Not when it was queued: a click queues it again, and leaves alone what was green before.
        began = datetime.fromisoformat(run["run_after"])
        for name in untrue(self.laptop, tasks, began):
            if name not in self.false_green:
                self.false_green.append(name)
                report(f"FALSE GREEN: {name} in {run_id}")

    def _settle(self, dag_id: str) -> None:
        """Wait for what the schedule or an asset has started; mend it, too."""
        deadline = time.time() + HANGS_SECONDS
        while runs := self._asked(lambda: self.api.unfinished_runs(dag_id)):
            if time.time() > deadline:
                self.manual.append(f"{dag_id} hangs")
                for run_id in runs:
                    self._asked(lambda run_id=run_id: self.api.fail(dag_id, run_id))
                return
            time.sleep(1)
        path = f"dags/{dag_id}/dagRuns?state=failed&limit=100"
        for run in self._asked(lambda: self.api._call("GET", path))["dag_runs"]:
            self._until_green(dag_id, run["dag_run_id"])

    def _asked(self, question: Callable[[], Any]) -> Any:
        """Ask until there is an answer: the server may be what was killed."""
        deadline = time.time() + HANGS_SECONDS
        while True:
            try:
                return question()
            except AirflowError as error:
                if time.time() > deadline:
                    raise
                report(f"asked again: {error}")
                time.sleep(3)

    # ---------- at the end

    def _judge(self) -> None:
        self.lost, self.doubled = count(self.laptop)
        report(f"records: lost={self.lost} doubled={self.doubled}")
        rebuild(self.running, [] if self.build == BUILD else ["--select", CHOSEN])
        connection = pyathena.connect(
            s3_staging_dir=f"s3://{BUCKET}/athena-results/",
            region_name="us-east-1",
            endpoint_url=self.laptop.aws_url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            poll_interval=0.05,
        )

        def ask(sql: str) -> list[Any]:
            return list(connection.cursor().execute(sql).fetchall())

        # What readers see; after a small build nothing was published.
        schema = "daylight" if self.build == BUILD else "daylight_build"
        tables, found = different(self.laptop, ask, schema)
        for line in found:
            report(f"differs: {line}")
        self.equal = f"{tables - len(found)}/{tables}"
        report(f"killed: {dict(self.kills)}")

    def line(self) -> str:
        """Return the line that others quote."""
        return (
            f"cluster_chaos: kills={self.kills.total()} runs={self.runs} "
            f"false_green={len(self.false_green)} lost={self.lost} doubled={self.doubled} "
            f"clicks={self.clicks} manual={len(self.manual)} equal={self.equal or 'not compared'}"
        )

    def code(self) -> int:
        """Return 0 if everything is as it should be."""
        done, _, tables = self.equal.partition("/")
        fewest = 30 if self.build == BUILD else 10
        is_compared = done == tables and int(tables or 0) > fewest
        is_right = not (self.false_green or self.manual or self.lost or self.doubled)
        return int(not (is_compared and is_right))


def _uri(name: str) -> str:
    return f"s3://{DUMPS_BUCKET}/{DUMPS_PREFIX}{name}"
