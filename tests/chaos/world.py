"""Everything that a case needs around it: local_aws, a proxy per runner, the process that forks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import worlds
from tests.chaos.proxy import Fault, Proxy, Watch
from tests.children import KILLED

RUN_SECONDS = 180
"""Longest run of a runner; none of them waits for anything but CPU."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended."""

    code: int
    told: dict[str, Any]
    watch: Watch

    @property
    def was_killed(self) -> bool:
        return self.code == KILLED


class World(worlds.World):
    """A world in which every runner reaches local_aws through a proxy of its own."""

    FORKS = "tests.chaos.runner"

    def __init__(self, runners: int = 1) -> None:
        super().__init__()
        self._runners = runners
        self._lock = threading.Lock()

    def _start(self) -> None:
        super()._start()
        host, port = self.endpoint.removeprefix("http://").split(":")
        self.proxies = [Proxy((host, int(port))) for _ in range(self._runners)]
        for proxy in self.proxies:
            self._stack.callback(proxy.close)

    # ---------- runs

    def offer(self, *sources: Callable[[], bytes]) -> None:
        """Say what the log API answers: to every runner the same, or to each its own."""
        for number, proxy in enumerate(self.proxies):
            proxy.source = sources[number % len(sources)]

    def run(self, job: dict[str, Any], *faults: Fault) -> Outcome:
        """Let one runner do a job, alone, with these faults on its way."""
        (outcome,) = self.race([(job, faults)])
        return outcome

    def race(self, jobs: Sequence[tuple[dict[str, Any], Sequence[Fault]]]) -> list[Outcome]:
        """Let runners do their jobs, started at once, each through a proxy of its own."""
        prepared = [
            self._prepared(job, proxy) for (job, _), proxy in zip(jobs, self.proxies, strict=False)
        ]
        pids = [self.zygote.fork(job) for job in prepared]
        watches = [
            proxy.arm(pid, *faults)
            for pid, (_, faults), proxy in zip(pids, jobs, self.proxies, strict=False)
        ]
        self.zygote.start(*pids)
        codes = [self.zygote.wait(pid) for pid in pids]
        return [
            Outcome(code, _read(Path(job["result"])), watch)
            for code, job, watch in zip(codes, prepared, watches, strict=True)
        ]

    def overtake(
        self, slow: dict[str, Any], hold: Fault, fast: dict[str, Any]
    ) -> tuple[Outcome, Outcome]:
        """Hold one runner back at a request until another has done its whole job."""
        jobs = [self._prepared(slow, self.proxies[0]), self._prepared(fast, self.proxies[1])]
        pids = [self.zygote.fork(job) for job in jobs]
        watches = [
            self.proxies[0].arm(pids[0], hold),
            self.proxies[1].arm(pids[1]),
        ]
        codes = [0, 0]
        self.zygote.start(pids[0])
        hold.reached.wait(RUN_SECONDS)
        self.zygote.start(pids[1])
        codes[1] = self.zygote.wait(pids[1])
        hold.released.set()
        codes[0] = self.zygote.wait(pids[0])
        slow_one, fast_one = (
            Outcome(code, _read(Path(job["result"])), watch)
            for code, job, watch in zip(codes, jobs, watches, strict=True)
        )
        return slow_one, fast_one

    def _prepared(self, job: dict[str, Any], proxy: Proxy) -> dict[str, Any]:
        with self._lock:
            self._count += 1
            name = f"run-{self._count}"
        return {
            **job,
            "variables": {
                "SOURCE_URL": f"{proxy.url}/api/data/log",
                "AWS_ENDPOINT_URL": proxy.url,
                **job["variables"],
            },
            "result": str(self.folder / f"{name}.json"),
            "output": str(self.folder / f"{name}.log"),
        }

    # ---------- buckets

    def keys(self, bucket: str) -> dict[str, str]:
        """Return every key of a bucket with its ETag; none if there is no bucket."""
        found = {}
        try:
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                found.update({item["Key"]: item["ETag"] for item in page.get("Contents", ())})
        except self.s3.exceptions.NoSuchBucket:
            return {}
        return found

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return every object of a bucket."""
        return {
            key: self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            for key in self.keys(bucket)
        }

    def restore(self, bucket: str, objects: dict[str, bytes]) -> None:
        """Make a bucket hold these objects and no others."""
        if keys := list(self.keys(bucket)):
            for start in range(0, len(keys), 1_000):
                listed = [{"Key": key} for key in keys[start : start + 1_000]]
                self.s3.delete_objects(Bucket=bucket, Delete={"Objects": listed, "Quiet": True})
        for key, body in objects.items():
            self.s3.put_object(Bucket=bucket, Key=key, Body=body)


def _read(path: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return told
