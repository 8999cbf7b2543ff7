"""Processes that tests start: each says in a line that it is ready, and none outlives us."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90
RUN_SECONDS = 3_600
"""Longest run of what a zygote forked; none of them waits for anything but CPU."""

KILLED = -signal.SIGKILL
REGION = "us-east-1"
CLOUD = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "DO_NOT_TRACK": "1",
}
"""Variables of every client of local_aws, but for its address."""

_WATCHED = '"$@" & child=$!; read -r _; kill -9 $child'
"""Ends a server when our end of its input closes, even if we were killed ourselves."""


class Child:
    """A process that reads and writes lines; its errors go to a log."""

    def __init__(self, command: Sequence[object], log: Path) -> None:
        others = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        self._log = log
        with log.open("ab") as errors:
            # A session of its own: Ctrl-C is for us, and we stop it.
            self._process = subprocess.Popen(
                list(map(str, command)),
                cwd=ROOT,
                env=others | CLOUD,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process, and its process group."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *arguments: object) -> None:
        """End it and whatever it has started, at once: nothing of theirs is needed any more."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def line(self, seconds: int = START_SECONDS) -> str:
        """Return the next line that it says."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError(
                f"{self._process.args} said nothing (exit code {self._process.poll()}):\n"
                f"{self._log.read_text('utf-8', 'replace')[-4000:]}"
            )
        return line

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Write a line of JSON and read one."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.line(RUN_SECONDS))
        return answer


class Server(Child):
    """A server that says its address when it is ready."""

    def __init__(self, command: Sequence[object], log: Path) -> None:
        super().__init__(["sh", "-c", _WATCHED, "sh", *command], log)
        with _ended_if_it_fails(self):
            words = self.line().replace("url=", "").split()
            self.url = next(word for word in words if word.startswith("http://"))


class Zygote(Child):
    """Forks processes that have everything imported; see ``zygote.py``."""

    def __init__(self, module: str, log: Path) -> None:
        super().__init__([sys.executable, "-m", "tests.zygote", module], log)
        with _ended_if_it_fails(self):
            self.line()

    def fork(self, job: dict[str, Any]) -> int:
        """Fork a process that will do a job when it is started, and return its id."""
        return int(self.ask({"do": "fork", "job": job})["pid"])

    def start(self, *pids: int) -> None:
        self.ask({"do": "start", "pids": pids})

    def wait(self, pid: int) -> int:
        """Wait for the end of a process, and return its exit code."""
        return int(self.ask({"do": "wait", "pid": pid})["code"])

    def run(self, job: dict[str, Any]) -> int:
        self.start(pid := self.fork(job))
        return self.wait(pid)

    def orphans(self) -> int:
        """Return how many children of killed processes have not ended by themselves."""
        return int(self.ask({"do": "reap"})["orphans"])


@contextlib.contextmanager
def _ended_if_it_fails(child: Child):
    try:
        yield
    except BaseException:
        child.__exit__()
        raise
