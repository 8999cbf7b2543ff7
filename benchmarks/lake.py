"""A real lake of 35 days: landed, published, compacted; and what a query of one day reads."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from benchmarks import child
from benchmarks.data import ROOT, Source
from ingestion import Settings, approve, compact, publish
from ingestion.lake import Lake

QUERY = (
    "select activity, count(distinct user_id) from {database}.access_logs "
    "where dt = '{day}' group by 1"
)
"""One day, two columns, one of them the dearest there is: users by activity."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve S3, Glue and Athena from a folder, on loopback and a free port."""
    python = ROOT / "local_aws/.venv/bin/python"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(
            [python, "-m", "local_aws", "--data", folder / "aws", "--port", str(port)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        try:
            _await(f"{url}/health", server)
            yield url
        finally:
            server.terminate()
            server.wait()


def _await(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=1)
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError("local_aws did not come up; run `make setup` first")


def environment(home: Path, url: str, name: str) -> dict[str, str]:
    """Return the variables of a lake of its own."""
    keys, pseudonym = home / "keys.txt", home / "pseudonym.key"
    pseudonym.write_text("5a" * 32)
    return {
        **os.environ,  # noqa: TID251 - a child process inherits it
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "SOURCE_URL": "http://127.0.0.1:9/api/data/log",
        "FERNET_KEYS_FILE": str(keys),
        "PSEUDONYM_KEY_FILE": str(pseudonym),
        "LAKE_BUCKET": f"bench-{name}",
        "RAW_DATABASE": f"bench_{name}",
    }


def measure(
    big: Source, days: Source, home: Path, folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the whole of `land` per record, and the bytes of a 35-day lake and its query."""
    with served(folder) as url:
        say("land: a whole dump, with its lake, its child processes and its log")
        few = _beginning(big, folder / "few")
        starting, small = _landed(few, environment(home, url, "few"))
        spent, records = _landed(big.folder, environment(home, url, "land"))
        say("lake: 35 days")
        env = environment(home, url, "days")
        manifests = child.run("land", days.folder, env=env)["manifests"]
        with _environment(env):
            count = _publish(manifests)
            before = _scanned(count)
            settings = Settings.from_env()
            for night in (0, 1):
                now = datetime.now(UTC) + timedelta(days=night)
                compact(settings, lambda now=now: now)  # type: ignore[misc]
            after = _scanned(count)
    return {
        "land_start_seconds": starting,
        "land_cpu_ns": (spent - starting) / max(1, records - small) * 1e9,
        "land_records": records,
        "landed": before,
        "compacted": after,
    }


def _beginning(source: Source, folder: Path) -> Path:
    """Write the first records of a dump as one of its own: what a run costs however little it
    lands is the same for both."""
    folder.mkdir()
    with gzip.open(source.dumps[0]) as file, gzip.open(folder / "few.ndjson.gz", "wb") as few:
        few.writelines(itertools.islice(file, 100))
    return folder


def _landed(dumps: Path, env: dict[str, str]) -> tuple[float, int]:
    """Return the seconds of CPU of a run and of its children, and how many records are good."""
    landed = child.run("land", dumps, env=env)
    with _environment(env):
        return landed["family_cpu"], _publish(landed["manifests"])


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    ours = os.environ  # noqa: TID251 - boto3 reads its credentials there
    kept = dict(ours)
    ours.update(variables)
    try:
        yield
    finally:
        ours.clear()
        ours.update(kept)


def _publish(manifests: list[str]) -> int:
    settings = Settings.from_env()
    for manifest in manifests:
        approve(settings, manifest)
    return publish(settings, manifests)["good"]


def _scanned(records: int) -> dict[str, Any]:
    settings = Settings.from_env()
    lake = Lake(settings)
    files = lake.list_uris(lake.uri("raw/access_logs/"))
    days = sorted({uri.split("dt=")[1][:10] for uri, _ in files})
    day = days[len(days) // 2]
    whole = sum(size for _, size in files)
    read = _query(QUERY.format(database=settings.raw_database, day=day), settings)
    return {
        "records": records,
        "days": len(days),
        "files": len(files),
        "bytes": whole,
        "bytes_per_record": whole / records,
        "scanned": read,
        "scanned_share": read / whole,
    }


def _query(sql: str, settings: Settings) -> int:
    athena = boto3.client("athena")
    place = {"OutputLocation": f"s3://{settings.lake_bucket}/athena-results/"}
    started = athena.start_query_execution(QueryString=sql, ResultConfiguration=place)
    while True:
        found = athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])
        execution = found["QueryExecution"]
        if execution["Status"]["State"] not in ("QUEUED", "RUNNING"):
            break
        time.sleep(0.05)
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    return int(execution["Statistics"]["DataScannedInBytes"])
