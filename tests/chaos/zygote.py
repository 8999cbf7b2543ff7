"""Forks runners that have everything imported: ``python -m tests.chaos.zygote``.

A line of JSON in, a line of JSON out. This process has one thread and no open client, so a fork
of it is a fresh process, one second of imports younger.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from typing import Any

_SUBREAPER = 36
_LONGEST_WAIT = 0.02


def main() -> None:
    """Serve until the input ends."""
    _cut_waits()
    _prepare()
    _tell({"ready": os.getpid()})
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any]
        if order["do"] == "fork":
            answer = {"pid": _fork(order["job"])}
        elif order["do"] == "start":
            for pid in order["pids"]:
                _start(pid)
            answer = {}
        elif order["do"] == "wait":
            answer = {"status": _waited(order["pid"])}
        else:
            answer = {"orphans": _reaped()}
        _tell(answer)


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _cut_waits() -> None:
    """Make retries wait no longer than they need: what is tested is what they do."""
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(min(seconds, _LONGEST_WAIT))


def _prepare() -> None:
    """Import what a runner needs; orphans of killed runners become ours, to be seen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    # Arrow would load both at its first array, a second of CPU in each runner, and needs neither.
    sys.modules.update(numpy=None, pandas=None)  # type: ignore[arg-type]
    import boto3

    import ingestion.__main__
    from laptop import aws_descriptions
    from tests.chaos import runner

    assert ingestion.__main__
    assert runner
    aws_descriptions.share()
    session = boto3.session.Session(region_name="us-east-1")
    for service in ("s3", "glue"):
        session.client(service, endpoint_url="http://127.0.0.1:9")
    gc.collect()
    gc.freeze()


def _fork(job: dict[str, Any]) -> int:
    go, starter = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            for other in (starter, *_starters.values()):
                os.close(other)
            os.read(go, 1)  # until the proxy knows whom to kill
            output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            from tests.chaos import runner

            code = runner.perform(job)
        finally:
            os._exit(code)
    os.close(go)
    _starters[pid] = starter
    return pid


_starters: dict[int, int] = {}


def _start(pid: int) -> None:
    starter = _starters.pop(pid)
    os.write(starter, b"!")
    os.close(starter)


def _waited(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _reaped() -> int:
    """Wait for the children of killed runners, and return how many did not end by themselves."""
    for _ in range(500):
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if pid == 0:
            time.sleep(0.02)
    return 1


if __name__ == "__main__":
    main()
