"""What a proof needs around it: local_aws on a free port, dbts that start at once, a clean end."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyathena

from tests import worlds
from tests.children import CLOUD, KILLED, REGION, ROOT
from tests.proof.shipping import Shipper

PROJECT = ROOT / "dbt_project"


@dataclass(frozen=True)
class Outcome:
    """How one dbt ended."""

    code: int
    seconds: float
    failures: dict[str, str]
    """What the nodes that did not succeed said, by node."""
    seconds_of: dict[str, float]
    """How long each node took, by node."""
    said: str

    @property
    def was_killed(self) -> bool:
        return self.code == KILLED


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

    def dbt(self, *arguments: str, dies_after: int = 0) -> Outcome:
        """Run dbt, which must succeed unless it has to die after so many models."""
        self.runs += 1
        log = self.world.folder / f"{self.schema}-{self.runs}.log"
        result = log.with_suffix(".json")
        project = str(self.project)
        job = {
            "arguments": [
                *arguments,
                *("--target", "dev", "--project-dir", project, "--profiles-dir", project),
                *("--log-level", "warn", "--no-use-colors"),
            ],
            "variables": self.variables(),
            "dies_after": dies_after,
            "output": str(log),
            "result": str(result),
        }
        begun = time.monotonic()
        code = self.world.zygote.run(job)
        told = json.loads(result.read_text()) if result.exists() else {}
        outcome = Outcome(
            code,
            time.monotonic() - begun,
            told.get("failures", {}),
            told.get("seconds", {}),
            log.read_text("utf-8", "replace"),
        )
        if code and not (dies_after and outcome.was_killed):
            first = next(iter(outcome.failures.items()), ("", told.get("error", "")))
            raise RuntimeError(
                f"dbt {' '.join(arguments)} on {self.schema} ended with {code}: "
                f"{first[0]} {first[1]}\n{outcome.said[-2000:]}"
            )
        return outcome

    def variables(self) -> dict[str, str]:
        return {
            **CLOUD,
            "ATHENA_POLL_INTERVAL": "0.02",
            "DBT_LOG_LEVEL_FILE": "warn",
            "AWS_ENDPOINT_URL": self.world.endpoint,
            "LAKE_BUCKET": self.bucket,
            "RAW_DATABASE": self.raw_database,
            "DBT_SCHEMA": self.schema,
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


class World(worlds.World):
    """A world with Glue, Athena and dbts."""

    FORKS = "tests.proof.runner"

    def _start(self) -> None:
        super()._start()
        self.glue, self.athena = self.client("glue"), self.client("athena")

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
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        cursor = connection.cursor()
        cursor.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
