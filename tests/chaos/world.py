"""Everything that a case needs around it: local_aws, a proxy per runner, the process that forks."""

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
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

from tests.chaos.proxy import Fault, Proxy, Watch

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 90
_WATCHED = '"$@" & server=$!; read -r _; kill -9 $server'
"""Ends a server when our end of its input closes, even if we were killed ourselves."""

RUN_SECONDS = 180
"""Longest run of a runner; none of them waits for anything but CPU."""

KILLED = -9
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended."""

    code: int
    told: dict[str, Any]
    watch: Watch

    @property
    def was_killed(self) -> bool:
        return self.code == KILLED


class World:
    """Servers of its own on free ports, and everything stopped again at its end."""

    def __init__(self, runners: int = 1) -> None:
        self._runners = runners
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
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
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        python = ROOT / "local_aws/.venv/bin/python"
        serve = [str(python), "-m", "local_aws", "--data", str(self.folder / "aws"), "--port", "0"]
        server = self._spawn("local_aws", ["sh", "-c", _WATCHED, "sh", *serve])
        line = _line_of(server)
        self.endpoint = line.split(" ready on ")[1].split(" ")[0]
        host, port = self.endpoint.removeprefix("http://").split(":")
        self.proxies = [Proxy((host, int(port))) for _ in range(self._runners)]
        for proxy in self.proxies:
            self._stack.callback(proxy.close)
        self.s3: Any = boto3.session.Session(region_name="us-east-1").client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=4),
        )
        self._zygote = self._spawn("zygote", [sys.executable, "-m", "tests.chaos.zygote"])
        json.loads(_line_of(self._zygote))

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[str]:
        log = self._stack.enter_context((self.folder / f"{name}.log").open("a"))
        others = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        # A session of its own: Ctrl-C is for us, and we stop it.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**others, **_VARIABLES},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        self._stack.callback(_stop, process)
        return process

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
        pids = [self._order(do="fork", job=job)["pid"] for job in prepared]
        watches = [
            proxy.arm(pid, *faults)
            for pid, (_, faults), proxy in zip(pids, jobs, self.proxies, strict=False)
        ]
        self._order(do="start", pids=pids)
        codes = [self._order(do="wait", pid=pid)["status"] for pid in pids]
        return [
            Outcome(code, _read(Path(job["result"])), watch)
            for code, job, watch in zip(codes, prepared, watches, strict=True)
        ]

    def overtake(
        self, slow: dict[str, Any], hold: Fault, fast: dict[str, Any]
    ) -> tuple[Outcome, Outcome]:
        """Hold one runner back at a request until another has done its whole job."""
        jobs = [self._prepared(slow, self.proxies[0]), self._prepared(fast, self.proxies[1])]
        pids = [self._order(do="fork", job=job)["pid"] for job in jobs]
        watches = [
            self.proxies[0].arm(pids[0], hold),
            self.proxies[1].arm(pids[1]),
        ]
        codes = [0, 0]
        self._order(do="start", pids=pids[:1])
        hold.reached.wait(RUN_SECONDS)
        self._order(do="start", pids=pids[1:])
        codes[1] = self._order(do="wait", pid=pids[1])["status"]
        hold.released.set()
        codes[0] = self._order(do="wait", pid=pids[0])["status"]
        slow_one, fast_one = (
            Outcome(code, _read(Path(job["result"])), watch)
            for code, job, watch in zip(codes, jobs, watches, strict=True)
        )
        return slow_one, fast_one

    def orphans(self) -> int:
        """Return how many children of killed runners have not ended by themselves."""
        return int(self._order(do="reap")["orphans"])

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

    def _order(self, **order: Any) -> dict[str, Any]:
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        answer: dict[str, Any] = json.loads(_line_of(self._zygote, RUN_SECONDS))
        return answer

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
