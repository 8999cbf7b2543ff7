"""The cluster under attack: what is killed in it, what was offered to it, and what is in it."""

import ast
import gzip
import io
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pyarrow.parquet as pq
from cryptography.fernet import Fernet

from cluster.run import RunningCluster
from cluster.settings import Cluster
from laptop.environment import EXECUTABLES, REPOSITORY, Laptop
from tests.proof.differences import OF_THE_QUERIES, OF_THE_RUNS

UNTIL = "2026-03-02T03:00:00+00:00"
DAYS, USERS = 9, 300
BUCKET = "daylight-lake"
PARTS = ("scheduler", "worker", "postgresql", "redis", "api-server", "dag-processor", "triggerer")
"""Each in its turn; `worker` is one of the two, `postgresql` whatever keeps the metadata."""

REBUILT = "undisturbed"
IGNORED = ("invocation_id",)

FEW, CHOSEN = "build_few", "+metrics_daily_active"
_FEW = f"""from airflow.sdk import DAG

from _choosing import PARAMS
from _defaults import TELLING, TRANSFORM_ARGS
from _few import warehouse

defaults = dict(default_args=TRANSFORM_ARGS, **TELLING)
with DAG("{FEW}", schedule=None, params=PARAMS, max_active_runs=1, **defaults):
    warehouse()
"""
"""A build of what the daily active users need, a third of the models, and of nothing else."""


def only_few(warehouse: str) -> str:
    """Return `_warehouse.py` with a third of the models, and without tests that need others."""
    for there, instead in (
        ("exclude=NOT_TASKS", f"exclude=NOT_TASKS, select=[{CHOSEN!r}]"),
        ("should_detach_multiple_parents_tests=True", "should_detach_multiple_parents_tests=False"),
        ('"DBT_LOG_LEVEL_FILE"', '"DBT_INDIRECT_SELECTION": "cautious", "DBT_LOG_LEVEL_FILE"'),
    ):
        assert there in warehouse, there
        warehouse = warehouse.replace(there, instead)
    return warehouse


def copy_dags(folder: Path) -> Path:
    """Copy the DAGs, beside the project that they build, and add one that builds few models."""
    dags = folder / "dags"
    shutil.copytree(REPOSITORY / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "dbt_project").symlink_to(REPOSITORY / "dbt_project")
    (dags / "_few.py").write_text(only_few((dags / "_warehouse.py").read_text()))
    (dags / f"{FEW}.py").write_text(_FEW)
    return dags


@dataclass(frozen=True, slots=True)
class ImpatientCluster(Cluster):
    """The cluster, which notices sooner that a part is gone; otherwise every kill costs minutes."""

    dags: Path = field(kw_only=True)
    """A copy of the DAGs, with `build_few` among them."""

    def airflow(self) -> dict[str, str]:
        """Return the settings of every part."""
        # By its name: a dataclass with slots is another class than the one that `super` knows.
        return Cluster.airflow(self) | {
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "25",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_DETECTION_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        }


def s3(laptop: Laptop) -> Any:
    """Return a client of the lake."""
    return boto3.client(
        "s3",
        endpoint_url=laptop.aws_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def objects(laptop: Laptop, prefix: str) -> Iterator[bytes]:
    """Yield the objects of the lake below a prefix."""
    client = s3(laptop)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for item in page.get("Contents", ()):
            yield client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()


def offered(laptop: Laptop) -> dict[int, tuple[Any, ...]]:
    """Return every record of the world, dumps and API, read without any code of ours."""
    key = Fernet((laptop.secrets / "fernet.keys").read_text().split()[0])
    envelopes = []
    for dump in sorted((laptop.home / "dumps").glob("*.gz")):
        envelopes += [json.loads(line) for line in gzip.decompress(dump.read_bytes()).splitlines()]
    with urlopen(f"{laptop.simulator_url}/api/data/log?after=0&limit=10000", timeout=60) as reply:
        page = json.load(reply)
    while page:
        envelopes += page
        last = max(each["recordId"] for each in page)
        address = f"{laptop.simulator_url}/api/data/log?after={last}&limit=10000"
        with urlopen(address, timeout=60) as reply:
            page = json.load(reply)
    found: dict[int, tuple[Any, ...]] = {}
    for each in envelopes:
        said = ast.literal_eval(key.decrypt(each["data"]).decode())
        found[each["recordId"]] = (said["inDate"], said["activity"], said["url"])
    return found


def count(laptop: Laptop) -> tuple[int, int]:
    """Return how many records are lost, and how many are there twice or say something else."""
    truth = offered(laptop)
    tables = [pq.read_table(io.BytesIO(body)) for body in objects(laptop, "raw/access_logs/")]
    rows = [row for table in tables for row in table.to_pylist()]
    counts = Counter(row["record_id"] for row in rows)
    other = sum(
        truth.get(row["record_id"]) != (row["occurred_at_text"], row["activity"], row["url"])
        for row in rows
    )
    lost = len(truth.keys() - counts.keys())
    return lost, other + sum(number - 1 for number in counts.values())


def untrue(laptop: Laptop, tasks: list[dict[str, Any]], began: datetime) -> list[str]:
    """Return the green tasks of a run whose success dbt has not written down since it began."""
    client = s3(laptop)
    found = []
    for task in tasks:
        name = task["task_id"]
        if task["state"] != "success" or not name.startswith("warehouse."):
            continue
        try:
            body = client.get_object(Bucket=BUCKET, Key=f"dbt_runs/latest/{name}.json")["Body"]
        except client.exceptions.NoSuchKey:
            found.append(name)
            continue
        results = json.load(body)
        at = datetime.fromisoformat(results["metadata"]["generated_at"])
        states = {result["status"] for result in results["results"]}
        if at < began or not states or states - {"success", "pass", "warn"}:
            found.append(name)
    return found


def rebuild(running: RunningCluster, chosen: list[str]) -> None:
    """Build the same lake once more, by a plain dbt that nobody disturbs, into another schema."""
    laptop = running.cluster.laptop
    env = os.environ | laptop.daylight() | {"WAREHOUSE_SCHEMA": REBUILT}
    env |= {"DBT_TARGET_PATH": str(laptop.home / "rebuilt"), "DBT_LOG_LEVEL_FILE": "none"}
    words = ["--target", "prod", "--project-dir", "dbt_project", "--quiet"]
    command = [EXECUTABLES / "dbt", "run", *words, *chosen]
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def different(laptop: Laptop, ask: Any, schema: str) -> tuple[int, list[str]]:
    """Compare a schema's tables by ``EXCEPT ALL`` both ways; return how many, and which differ."""
    glue = boto3.client(
        "glue",
        endpoint_url=laptop.aws_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    tables = {
        table["Name"]: [column["Name"] for column in table["StorageDescriptor"]["Columns"]]
        for page in glue.get_paginator("get_tables").paginate(DatabaseName=schema)
        for table in page["TableList"]
        if "__dbt_" not in table["Name"]  # what a killed dbt left behind is nobody's table
        and table["Name"] != "published"  # it says which publication readers see
        and table["Name"].removesuffix("_final") not in {*OF_THE_RUNS, *OF_THE_QUERIES}
    }
    found = []
    for table, columns in sorted(tables.items()):
        told = ", ".join(name for name in columns if name not in IGNORED)
        ways = ((schema, f"{REBUILT}_build"), (f"{REBUILT}_build", schema))
        counts = [
            ask(
                f"select count(*) from (select {told} from {one}.{table}"
                f" except all select {told} from {other}.{table})"
            )[0][0]
            for one, other in ways
        ]
        if any(counts):
            found.append(f"{table}: {counts[0]} too many, {counts[1]} missing")
    return len(tables), found
