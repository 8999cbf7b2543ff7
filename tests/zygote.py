"""Forks processes that have everything imported: ``python -m tests.zygote <module>``.

A line of JSON in, a line of JSON out. The module's ``prepare`` imports what its ``perform`` needs;
seconds of imports are saved per process, and one that is killed takes nothing with it. This process
has one thread and no open client, so a fork of it is a fresh process.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

_DIE_WITH_PARENT, _SUBREAPER = 1, 36
_BUG = 70

Perform = Callable[[dict[str, Any]], int]


def main() -> None:
    """Serve until the input ends."""
    # Orphans of killed processes become ours, to be seen.
    _control(_SUBREAPER, 1)
    _control(_DIE_WITH_PARENT, signal.SIGKILL)
    module = importlib.import_module(sys.argv[1])
    module.prepare()
    gc.collect()
    gc.freeze()
    _tell({"ready": os.getpid()})
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        if order["do"] == "fork":
            answer = {"pid": _fork(module.perform, order["job"])}
        elif order["do"] == "start":
            for pid in order["pids"]:
                _start(pid)
        elif order["do"] == "wait":
            answer = {"code": _waited(order["pid"])}
        else:
            answer = {"orphans": _reaped()}
        _tell(answer)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _fork(perform: Perform, job: dict[str, Any]) -> int:
    go, starter = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = _BUG
        try:
            _control(_DIE_WITH_PARENT, signal.SIGKILL)
            for other in (starter, *_starters.values()):
                os.close(other)
            os.read(go, 1)  # until whoever wants to watch it is ready
            output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            code = perform(job)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
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
    """Wait for the children of killed processes, and return how many did not end by themselves."""
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
