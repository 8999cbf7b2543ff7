"""How much of ``dbt build`` is spent in local_aws: ``python -m tests.clients``.

Builds Daylight's warehouse three times on servers of its own: first, again without news, and fully
refreshed. Says the share of the CPU that local_aws took, and of the wall clock in which it had a
query. Ends in one line; exit 1 if the median share of CPU is more than a third.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.children import ROOT, Server
from tests.long_forms import run, say
from tests.populations import boundaries, numbered, population
from tests.publishing import Publisher
from tests.warehouses import use_lake

LIMIT = 1 / 3
BUILDS = {"first": [], "again": [], "full refresh": ["--full-refresh"]}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Build:
    """What one ``dbt build`` took, in seconds."""

    wall: float
    dbt: float
    local_aws: float
    querying: float
    """Of the wall clock: at least one query was queued or ran."""

    @property
    def share(self) -> float:
        return self.local_aws / (self.local_aws + self.dbt)


def main() -> int:
    """Build, measure, and say it."""
    builds = {}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        command = [ROOT / "local_aws/.venv/bin/python", "-m", "local_aws", "--data",
                   Path(folder, "data"), "--port", 0]  # fmt: skip
        with Server(command, Path(folder, "local_aws.log")) as server:
            use_lake(patch, server.url, "share", Path(folder))
            publisher = Publisher("share", "share_raw")
            publisher.create_tables()
            records = numbered(population(seed=7) + boundaries())
            half = len(records) // 2
            publisher.publish(1, records[:half])
            publisher.publish(2, records[half:])
            say(f"{len(records):,} records")
            for name, options in BUILDS.items():
                builds[name] = build = _build(server, *options)
                say(
                    f"{name}: {build.wall:.1f} s; CPU: dbt {build.dbt:.1f} s, local_aws "
                    f"{build.local_aws:.1f} s ({build.share:.0%}); a query ran during "
                    f"{build.querying / build.wall:.0%} of the wall clock"
                )
    share = statistics.median(build.share for build in builds.values())
    waited = statistics.median(build.querying / build.wall for build in builds.values())
    say(f"dbt build: share_of_cpu={share:.2f} share_of_wall={waited:.2f}")
    return 1 if share > LIMIT else 0


def _build(server: Server, *options: str) -> Build:
    athena: Any = boto3.client("athena")
    before = set(_queries(athena))
    cpu, begun = _cpu(server), time.monotonic()
    folders = ["--project-dir", "dbt_project", "--profiles-dir", "dbt_project"]
    dbt = subprocess.Popen(
        [Path(sys.executable).with_name("dbt"), "build", "--quiet", "--target", "prod", *options,
         *folders],
        cwd=ROOT,
    )  # fmt: skip
    _, status, usage = os.wait4(dbt.pid, 0)
    wall = time.monotonic() - begun
    if status:
        raise RuntimeError("dbt build failed")
    spans = [span for name, span in _queries(athena).items() if name not in before]
    return Build(wall, usage.ru_utime + usage.ru_stime, _cpu(server) - cpu, _covered(spans))


def _queries(athena: Any) -> dict[str, tuple[float, float]]:
    """When each query was submitted and done."""
    pages = athena.get_paginator("list_query_executions").paginate()
    ids = [name for page in pages for name in page["QueryExecutionIds"]]
    found = {}
    for start in range(0, len(ids), 50):
        asked = athena.batch_get_query_execution(QueryExecutionIds=ids[start : start + 50])
        for query in asked["QueryExecutions"]:
            status = query["Status"]
            found[query["QueryExecutionId"]] = (
                status["SubmissionDateTime"].timestamp(), status["CompletionDateTime"].timestamp(),
            )  # fmt: skip
    return found


def _covered(spans: list[tuple[float, float]]) -> float:
    """Seconds that at least one span covers."""
    covered, end = 0.0, 0.0
    for left, right in sorted(spans):
        covered += max(0.0, right - max(left, end))
        end = max(end, right)
    return covered


def _cpu(server: Server) -> float:
    """CPU seconds of the server's processes."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:  # it ended between the two
            continue
        if int(fields[2]) == server.pid:
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


if __name__ == "__main__":
    run(main)
