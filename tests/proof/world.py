"""What a proof needs around it: local_aws on a free port, dbts that start at once, a clean end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import boto3
import pyathena

from tests.proof.shipping import Shipper

ROOT = Path(__file__).parent.parent.parent
PROJECT = ROOT / "dbt_project"
ENGINE_HOME = ROOT
"""The folder that holds local_aws/."""

KILLED = -signal.SIGKILL
START_SECONDS = 90
RUN_SECONDS = 3_600
_WATCHED = '"$@" & server=$!; read -r _; kill -9 $server'
"""Ends a server when our end of its input closes, even if we were killed ourselves."""

_REGION = "us-east-1"
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": _REGION,
    "AWS_REGION": _REGION,
    "ATHENA_POLL_INTERVAL": "0.02",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class Outcome:
    """How one dbt ended."""

    code: int
    seconds: float
    statuses: dict[str, int]
    failures: dict[str, str]
    """What the nodes that did not succeed said, by node."""
    seconds_of: dict[str, float]
    """How long each node took, by node."""
    said: str

    @property
    def was_killed(self) -> bool:
        return self.code == KILLED

    @property
    def is_success(self) -> bool:
        return self.code == 0


@dataclass
class Warehouse:
    """One schema over one lake, built by one project."""

    world: World
    schema: str
    bucket: str
    raw_database: str
    metric_zone: str = "Asia/Seoul"
    source_zone: str = "Asia/Seoul"
    project: Path = PROJECT
    runs: int = 0

    @property
    def target(self) -> Path:
        return self.world.folder / f"target-{self.schema}"

    def dbt(self, *arguments: str, dies_after: int = 0, may_fail: bool = False) -> Outcome:
        """Run dbt, which must succeed unless it may fail or has to die after so many models."""
        self.runs += 1
        log = self.world.folder / f"{self.schema}-{self.runs}.log"
        result = log.with_suffix(".json")
        project = str(self.project)
        order = {
            "arguments": [
                *arguments,
                *("--target", "prod", "--project-dir", project, "--profiles-dir", project),
                *("--log-level", "warn", "--no-use-colors"),
            ],
            "variables": self.variables(),
            "dies_after": dies_after,
            "log": str(log),
            "result": str(result),
        }
        begun = time.monotonic()
        code = self.world.order(order)["code"]
        told = json.loads(result.read_text()) if result.exists() else {}
        outcome = Outcome(
            code,
            time.monotonic() - begun,
            told.get("statuses", {}),
            told.get("failures", {}),
            told.get("seconds", {}),
            log.read_text("utf-8", "replace"),
        )
        if code and not may_fail and not (dies_after and outcome.was_killed):
            first = next(iter(outcome.failures.items()), ("", told.get("error", "")))
            raise RuntimeError(
                f"dbt {' '.join(arguments)} on {self.schema} ended with {code}: "
                f"{first[0]} {first[1]}\n{outcome.said[-2000:]}"
            )
        return outcome

    def variables(self) -> dict[str, str]:
        return {
            **_VARIABLES,
            "AWS_ENDPOINT_URL": self.world.endpoint,
            "LAKE_BUCKET": self.bucket,
            "RAW_DATABASE": self.raw_database,
            "WAREHOUSE_SCHEMA": self.schema,
            "METRIC_TIME_ZONE": self.metric_zone,
            "SOURCE_TIME_ZONE": self.source_zone,
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self.target / "logs"),
        }

    def models(self) -> list[str]:
        """Return the names of all models, as they were parsed last."""
        manifest = json.loads((self.target / "manifest.json").read_text())
        return sorted(
            node["alias"] for node in manifest["nodes"].values() if node["resource_type"] == "model"
        )

    def built(self) -> set[str]:
        """Return the names of the tables and views that there are."""
        pages = self.world.glue.get_paginator("get_tables").paginate(DatabaseName=self.schema)
        return {table["Name"] for page in pages for table in page["TableList"]}

    def columns(self, table: str) -> list[str]:
        """Return a table's columns as the catalogue has them."""
        found = self.world.glue.get_table(DatabaseName=self.schema, Name=table)["Table"]
        return [column["Name"] for column in found["StorageDescriptor"]["Columns"]]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table, by column."""
        return self.world.query(f"select * from {self.schema}.{table}", self.bucket)


class World:
    """Servers of its own on free ports, and everything stopped again at its end."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._count = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *arguments: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="proof-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        python = ROOT / "local_aws/.venv/bin/python"
        if not python.exists():
            raise RuntimeError("local_aws has no environment: run `make setup` first")
        serve = [str(python), "-m", "local_aws", "--data", str(self.folder / "aws"), "--port", "0"]
        watched = ["sh", "-c", _WATCHED, "sh", *serve]
        server = self._spawn("local_aws", watched, ENGINE_HOME)
        self.endpoint = _line_of(server).split(" ready on ")[1].split(" ")[0]
        self.s3, self.glue, self.athena = (
            boto3.session.Session(region_name=_REGION).client(
                service,
                endpoint_url=self.endpoint,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            for service in ("s3", "glue", "athena")
        )
        self._zygote = self._spawn("zygote", [sys.executable, "-m", "tests.proof.zygote"])
        json.loads(_line_of(self._zygote))

    def _spawn(
        self, name: str, command: Sequence[str], folder: Path = ROOT
    ) -> subprocess.Popen[str]:
        log = self._stack.enter_context((self.folder / f"{name}.log").open("a"))
        others = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        # A session of its own: Ctrl-C is for us, and we stop it.
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**others, **_VARIABLES},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        self._stack.callback(_stop, process)
        return process

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Let the zygote fork a dbt, and wait for its end."""
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        answer: dict[str, Any] = json.loads(_line_of(self._zygote, RUN_SECONDS))
        return answer

    def lake(self, name: str, remembers: bool = True) -> Shipper:
        """Make a bucket with the tables of ingestion, and nothing in them."""
        self._count += 1
        bucket = f"{name}-{self._count}"
        database = f"{bucket.replace('-', '_')}_raw"
        shipper = Shipper(self.s3, self.glue, bucket, database, remembers)
        shipper.create_tables()
        return shipper

    def warehouse(self, shipper: Shipper, name: str, **more: Any) -> Warehouse:
        """Name a schema over a lake; dbt makes it."""
        schema = f"{shipper.bucket.replace('-', '_')}_{name}"
        return Warehouse(self, schema, shipper.bucket, shipper.database, **more)

    def query(self, sql: str, bucket: str) -> list[dict[str, Any]]:
        """Ask Athena, and return rows by column."""
        connection = pyathena.connect(
            s3_staging_dir=f"s3://{bucket}/athena-results/",
            poll_interval=0.02,
            region_name=_REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        cursor = connection.cursor()
        cursor.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _line_of(process: subprocess.Popen[str], seconds: int = START_SECONDS) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    line = process.stdout.readline() if ready else ""
    if not line:
        raise RuntimeError(f"{process.args} said nothing (exit code {process.poll()})")
    return line


def _stop(process: subprocess.Popen[str]) -> None:
    """End a server and whatever it has started, at once: nothing of theirs is needed any more."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
