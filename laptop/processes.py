"""Starts the parts as child processes, notices when one dies, and leaves none behind."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import urllib3

STOP_SECONDS = 20
"""How long a part may take to stop before it is killed; Airflow's scheduler needs about 5."""

PORT_SECONDS = 10
"""How long a port may stay taken after its holder was killed."""


class StartError(Exception):
    """A part could not be started, or died. The text is one sentence for the user."""


class Part:
    """One running command, its log file, and how to tell that it is ready."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], log: Path, is_job: bool
    ) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.is_job = is_job
        """Whether it is meant to end."""

    def assert_alive(self) -> None:
        """Raise if it has ended, unless it is a job that ended well; with its last lines."""
        code = self.process.poll()
        if code is not None and not (self.is_job and code == 0):
            raise StartError(
                f"{self.name} ended with exit code {code}; its log is {self.log}:\n"
                f"{last_lines(self.log)}"
            )


class Processes:
    """The children of one `make run`; stopped in the reverse order of their start."""

    def __init__(self, env: Mapping[str, str], cwd: Path, logs: Path) -> None:
        self._env = dict(env)
        self._cwd = cwd
        self._logs = logs
        self._parts: list[Part] = []

    def start(
        self, name: str, command: Sequence[str | Path | int], *, is_job: bool = False
    ) -> Part:
        """Start ``command`` with its output in a log file of its own; a job is meant to end."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
            )
        part = Part(name, process, log, is_job)
        self._parts.append(part)
        return part

    def run(self, name: str, command: Sequence[str | Path | int]) -> None:
        """Run ``command`` to its end.

        Raises:
            StartError: if it fails, with the last lines that it wrote.
        """
        self.finish(self.start(name, command, is_job=True))

    def finish(self, part: Part) -> None:
        """Wait for a job, and assert that it ended well."""
        code = part.process.wait()
        self._parts.remove(part)
        if code != 0:
            raise StartError(f"{part.name} failed; its log is {part.log}:\n{last_lines(part.log)}")

    def wait_until(
        self, part: Part, is_ready: Callable[[], bool], seconds: float, every: float = 0.2
    ) -> None:
        """Wait until ``is_ready``, as long as every part is alive and the time is not up."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.assert_alive()
            if time.monotonic() > deadline:
                raise StartError(
                    f"{part.name} was not ready after {seconds:.0f} s; its log is {part.log}:\n"
                    f"{last_lines(part.log)}"
                )
            time.sleep(every)

    def assert_alive(self) -> None:
        """Raise if any part has ended."""
        for part in self._parts:
            part.assert_alive()

    def stop(self) -> None:
        """Ask every part to stop, last started first; kill what does not. Safe to run again."""
        for part in reversed(self._parts):
            if part.process.poll() is None:
                part.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for part in reversed(self._parts):
            try:
                part.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                # What it started would outlive it, under a name by which nobody knows it as ours.
                for pid in [*_descendants(part.process.pid), part.process.pid]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                part.process.wait()
        self._parts.clear()


def answers(url: str) -> bool:
    """Tell whether ``url`` answers with 200 now."""
    try:
        return urllib3.request("GET", url, timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def assert_ports_free(ports: Mapping[str, int]) -> None:
    """Raise one sentence that names every port that somebody else listens on."""
    # What was killed a moment ago holds its port until the kernel has cleared it away, and is in
    # /proc by then without the environment by which it would be known as ours.
    deadline = time.monotonic() + PORT_SECONDS
    while (taken := _taken(ports)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if taken:
        raise StartError(
            f"Ports in use: {', '.join(taken)}. Stop what listens there, or choose other ones, "
            f"for example: make run {taken[0].split('=')[0]}={1 + int(taken[0].split('=')[1])}"
        )


def _taken(ports: Mapping[str, int]) -> list[str]:
    taken = []
    for variable, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                taken.append(f"{variable}={port}")
    return taken


def stop_leftovers(home: Path) -> int:
    """Kill what an earlier run on the same folder left behind when it was killed itself.

    A part is recognised by DAYLIGHT_HOME in its environment. Only where /proc exists; elsewhere
    a leftover shows as a port in use.
    """
    mark = f"DAYLIGHT_HOME={home}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        pid = int(environ.parent.name)
        try:
            is_ours = mark in environ.read_bytes().split(b"\0") and _is_part(environ.parent)
        except OSError:  # it ended, or it is another user's
            continue
        if is_ours and pid != os.getpid():
            found.append(pid)
    # Those below them, too: Airflow's workers rename themselves, and then have no environment.
    found = sorted({*found, *(below for pid in found for below in _descendants(pid))})
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(map(_is_running, found)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(found)


def _is_running(pid: int) -> bool:
    """Tell whether a process has not ended; one that only waits to be reaped has no command."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def _descendants(pid: int) -> list[int]:
    """Return the processes below a process; none where /proc does not exist."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended
            # Behind the name, which may hold anything, come the state and the parent.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = children.get(pid, [])
    return [*(below for child in found for below in _descendants(child)), *found]


def last_lines(log: Path, count: int = 15) -> str:
    """Return the end of a log, for an error message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def _is_part(process: Path) -> bool:
    # A user's shell that sourced .daylight/activate carries the mark too: only our commands go.
    command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
    return any(word in command for word in (b"local_aws", b"simulator", b"airflow"))


def _die_with_parent() -> None:
    # Without it a SIGKILL of this process alone would leave every part running. Linux only.
    if sys.platform == "linux":
        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)
