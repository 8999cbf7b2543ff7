"""Airflow, a lake and a source whose clock can be set, and what plain Python makes of both."""

import ast
import contextlib
import io
import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pyarrow.parquet as pq
from cryptography.fernet import Fernet

from laptop import secret_files
from laptop.environment import EXECUTABLES, REPOSITORY, Laptop
from tests.airflow_modes.control_room import ControlRoom
from tests.children import Server

START = datetime.fromisoformat("2026-01-20T00:00:00+09:00")
"""The first day of every world here."""


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def after(days: float) -> str:
    """Return the instant so many days after the world's beginning."""
    return (START + timedelta(days=days)).isoformat()


def prepare(laptop: Laptop) -> None:
    """Make secrets, Airflow's database and dbt's manifest, as `make run` does."""
    laptop.home.mkdir(parents=True, exist_ok=True)
    secret_files.ensure(laptop.secrets)
    folders = ["--project-dir", "dbt_project", "--target", "prod"]
    for command in (["airflow", "db", "migrate"], ["dbt", "parse", *folders]):
        words = [EXECUTABLES / command[0], *command[1:]]
        done = subprocess.run(words, cwd=REPOSITORY, env=laptop.shell(), capture_output=True)
        if done.returncode:
            sys.exit(f"error: {command}: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}")


@dataclass
class Site:
    """One lake in one Airflow, and the source that it reads."""

    laptop: Laptop
    dags: Path
    name: str
    """Of the lake's bucket and databases."""

    users: int
    paging: str = "cursor"
    variables: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[ControlRoom]:
        """Run Airflow on this lake; a task whose process is gone is noticed after 20 seconds."""
        variables = self.variables | {
            "LAKE_BUCKET": self.name,
            "RAW_DATABASE": f"{self.name}_raw".replace("-", "_"),
            "WAREHOUSE_SCHEMA": self.name.replace("-", "_"),
            "SOURCE_PAGING": self.paging,
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_DETECTION_INTERVAL": "5",
        }
        with ControlRoom(self.laptop, self.dags, **variables) as room:
            yield room

    def words(self) -> list[str]:
        """Return the simulator's arguments for this world."""
        words = ["--keys-file", str(self.laptop.secrets / "fernet.keys"), "--users"]
        return [*words, str(self.users), "--start", START.date().isoformat()]

    @contextmanager
    def source(self, until: str) -> Iterator[str]:
        """Serve the log as it is at an instant; yield its address."""
        port = ["--until", until, "--port", str(self.laptop.simulator_port)]
        command = [sys.executable, "-m", "simulator", *self.words(), *port]
        with Server(command, self.laptop.home / "simulator.log") as server:
            yield server.url

    def dumps(self, days: int) -> Path:
        """Return a folder with a dump for each of the first days."""
        folder = self.laptop.home / f"dumps-{self.users}-{days}"
        if not folder.exists():
            words = ["--history", str(days), "--out", str(folder)]
            command = [sys.executable, "-m", "simulator", *self.words(), *words]
            subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
        return folder

    def truth(self, url: str) -> dict[int, tuple[Any, ...]]:
        """Return every record that the source has, by id, read without any code of ours."""
        key = Fernet((self.laptop.secrets / "fernet.keys").read_text().split()[0])
        found: dict[int, tuple[Any, ...]] = {}
        place = 0
        while True:
            with urlopen(f"{url}?after={place}&limit=10000", timeout=60) as reply:
                page = json.load(reply)
            if not page:
                return found
            for each in page:
                said = ast.literal_eval(key.decrypt(each["data"]).decode())
                found[each["recordId"]] = (said["inDate"], said["activity"], said["url"])
            place = max(found)

    def raw(self) -> list[dict[str, Any]]:
        """Return every row of raw, with boto3 and pyarrow alone."""
        s3 = boto3.client(
            "s3",
            endpoint_url=self.laptop.aws_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix="raw/access")
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        bodies = (s3.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys)
        return [row for body in bodies for row in pq.read_table(io.BytesIO(body)).to_pylist()]

    def against(self, truth: dict[int, tuple[Any, ...]]) -> list[str]:
        """Hold raw to what the source has: each record once, and saying the same."""
        rows = self.raw()
        count = Counter(row["record_id"] for row in rows)
        lost, doubled = len(set(truth) - set(count)), sum(n - 1 for n in count.values())
        other = sum(
            truth.get(row["record_id"]) != (row["occurred_at_text"], row["activity"], row["url"])
            for row in rows
        )
        say(f"  {len(rows):,} rows, {len(truth):,} at the source; lost={lost} doubled={doubled}")
        return [f"lost={lost} doubled={doubled} other={other}"] if lost or doubled or other else []


def runs_of(room: ControlRoom, dag_id: str) -> list[dict[str, Any]]:
    """Return all runs of a DAG."""
    path = f"dags/{dag_id}/dagRuns?limit=100&order_by=-run_after"
    runs: list[dict[str, Any]] = room.api._call("GET", path)["dag_runs"]
    return runs


def wait_until_quiet(room: ControlRoom, dag_id: str, seconds: float = 2400) -> None:
    """Wait until no run of a DAG is running or queued."""
    deadline = time.monotonic() + seconds
    while room.api.unfinished_runs(dag_id):
        assert time.monotonic() < deadline, f"{dag_id} does not end"
        time.sleep(1)


def seconds_between(begun: str, ended: str) -> float:
    """Return the seconds between two of Airflow's instants."""
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()


def as_if_long_ago(laptop: Laptop, days: int) -> None:
    """Move everything that Airflow's database says of the past so many days back.

    A drill cannot wait for four days; the scheduler only knows what is written there.
    """
    with contextlib.closing(sqlite3.connect(laptop.home / "airflow" / "airflow.db", 60)) as base:
        columns = {
            "dag": [name for name in _columns(base, "dag") if name.startswith("next_dagrun")],
            "dag_run": _instants(base, "dag_run"),
            "task_instance": _instants(base, "task_instance"),
        }
        for table, names in columns.items():
            shifted = ", ".join(
                f"{name} = case when {name} like '____-%' then "
                f"strftime('%Y-%m-%d %H:%M:%f', {name}, '-{days} days') || '000' else {name} end"
                for name in names
            )
            base.execute(f"update {table} set {shifted}")
        base.commit()


def _columns(base: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in base.execute(f"pragma table_info({table})")]


def _instants(base: sqlite3.Connection, table: str) -> list[str]:
    rows = base.execute(f"pragma table_info({table})").fetchall()
    return [row[1] for row in rows if row[2].upper() in ("TIMESTAMP", "DATETIME")]
