"""Moves the code while runs are under way: ``python -m tests.deploy``.

A real scheduler, DAG processor and API server take their DAGs from a real Git repository. In the
middle of a run a commit is pushed that changes a task, renames one, changes a model, renames one,
and changes each of our packages; then a commit for libraries that are not installed, a revert, and
a reference that is set back. Each run has to be of one commit, from its first task to its last.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3

import deploy
from laptop import secret_files
from laptop.environment import EXECUTABLES, REPOSITORY, Laptop
from tests.airflow_modes.control_room import ControlRoom
from tests.deploy.origin import Origin
from tests.servers import free_ports

DAG = "deployed_in_the_middle"
PATIENCE = 300.0


def main() -> int:
    """Run the scenes, print a line for each, and return 1 if a run was not of one commit."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy")
    parser.add_argument("--home", type=Path, help="a folder to keep; otherwise a temporary one")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    with tempfile.TemporaryDirectory() as temporary:
        folder = (words.home or Path(temporary)).resolve()
        wrong = scenes(folder)
    for problem in wrong:
        sys.stdout.write(f"wrong: {problem}\n")
    sys.stdout.write(f"deploy: runs=5 refused=1 wrong={len(wrong)}\n")
    return int(bool(wrong))


def scenes(folder: Path) -> list[str]:
    """Deploy, refuse, revert and set back; return what was wrong."""
    laptop = Laptop(folder / "home", *free_ports(3))
    secret_files.ensure(laptop.secrets)
    env = laptop.shell()
    command = [EXECUTABLES / "airflow", "db", "migrate"]
    subprocess.run(command, env=env, cwd=REPOSITORY, check=True, capture_output=True)
    origin = Origin(folder / "origin")
    old = origin.push("old")
    variables = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": deploy.bundles(str(origin.bare), "main"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW_CONN_GIT_DEFAULT": "git://",
    }
    with ControlRoom(laptop, REPOSITORY / "dags", **variables) as room:
        login = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        s3 = boto3.client("s3", endpoint_url=laptop.aws_url, region_name="us-east-1", **login)
        s3.create_bucket(Bucket="daylight-lake")
        site = Site(room, folder)
        site.deployed(old)

        under_way = site.begin()
        new = origin.push("new")
        site.deployed(new)
        # As on a node that never had the commit.
        shutil.rmtree(folder / "bundles" / "daylight" / "versions" / old)
        during = site.begin()
        site.end(under_way, "old", old)
        site.end(during, "new", new)

        refused = origin.push("new", lock="another==1\n")
        site.refused(refused, new)

        reverted = origin.push("old", lock=None)
        site.deployed(reverted)
        site.end(site.begin(), "old", reverted)

        under_way = site.begin()
        origin.set_back(new)
        site.deployed(new)
        site.end(under_way, "old", reverted)
        site.end(site.begin(), "new", new)
    return site.wrong


class Site:
    """An Airflow whose DAGs come from Git, and what was seen to be wrong there."""

    def __init__(self, room: ControlRoom, folder: Path) -> None:
        self.room = room
        self.gates = folder / "gates"
        self.gates.mkdir()
        self.log = folder / "home" / "logs" / "airflow-dag-processor.log"
        self.wrong: list[str] = []

    def deployed(self, commit: str) -> None:
        """Wait until Airflow has parsed the DAG of this commit."""
        deadline = time.monotonic() + PATIENCE
        while self._version() != commit:
            assert time.monotonic() < deadline, f"{commit} was not taken up: {self.log}"
            time.sleep(0.5)
        sys.stdout.write(f"deployed {commit[:8]}\n")

    def refused(self, commit: str, stays: str) -> None:
        """Wait until the DAG processor says why it does not take a commit, and hold it to that."""
        deadline = time.monotonic() + PATIENCE
        while f"Commit {commit} needs other libraries" not in self.log.read_text():
            assert time.monotonic() < deadline, f"{commit} was not refused: {self.log}"
            time.sleep(0.5)
        if self._version() != stays:
            self.wrong.append(f"{commit} was refused and yet is {self._version()}")
        sys.stdout.write(f"refused {commit[:8]}\n")

    def begin(self) -> str:
        """Start a run, and wait until its first task is over and its second one waits."""
        run = self.room.start(DAG)
        deadline = time.monotonic() + PATIENCE
        while self.room.states(DAG, run).get("wait") != "running":
            assert time.monotonic() < deadline, self.room.states(DAG, run)
            time.sleep(0.5)
        return run

    def end(self, run: str, word: str, commit: str) -> None:
        """Let a run go on to its end, and hold every part of it to its commit."""
        (self.gates / run).touch()
        state = self.room.ended(DAG, run)["state"]
        tasks = self.room.states(DAG, run)
        model, task = ("b", "say") if word == "old" else ("b_renamed", "say_renamed")
        expected = {
            "first",
            "wait",
            "warehouse.a_model_build",
            f"warehouse.{model}_model_build",
            task,
        }
        if state != "success" or tasks != dict.fromkeys(expected, "success"):
            self.wrong.append(f"{run} of {word}: {state} {tasks}")
            return
        for name in ("first", task):
            said = self._said(run, name)
            if set(said.values()) != {word}:
                self.wrong.append(f"{run} of {word}: {name} said {said}")
        if (pinned := self._pinned(run)) != {commit}:
            self.wrong.append(f"{run} of {commit} is of {pinned}")
        sys.stdout.write(f"ended {word} {commit[:8]}: {state}, {len(tasks)} tasks\n")

    def _version(self) -> str | None:
        path = f"dags/{DAG}"
        if DAG not in self.room.dag_ids():
            return None
        version: str | None = self.room.api._call("GET", path)["bundle_version"]
        return version

    def _said(self, run: str, task: str) -> dict[str, str]:
        path = f"{self.room.api._run_path(DAG, run)}/taskInstances/{task}/xcomEntries/return_value"
        value: Any = self.room.api._call("GET", path)["value"]
        return dict(value)

    def _pinned(self, run: str) -> set[str]:
        found = self.room.api._call("GET", self.room.api._run_path(DAG, run))
        return {version["bundle_version"] for version in found["dag_versions"]}


if __name__ == "__main__":
    sys.exit(main())
