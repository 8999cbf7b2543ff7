"""Starts the parts as child processes, notices when one dies, and leaves none behind."""

import contextlib
import ctypes
import functools
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

STOP_SECONDS = 20
"""How long a part may take to stop before it is killed; Airflow's scheduler needs about 5."""

DEATHS, DEATHS_SECONDS = 5, 120.0
"""A part that dies more often than that in so many seconds is not cured by another start."""

PARTS = (b"local_aws", b"simulator", b"airflow", b"postgres", b"mariadbd", b"redis-server")
"""A word of each part's command, by which a part is told from a shell with the same variables."""

PORT_SECONDS = 10
"""How long a port may stay taken after its holder was killed."""


class StartError(Exception):
    """A part could not be started, or died. The text is one sentence for the user."""


@dataclass
class Part:
    """One command of a form: how it is started, where it logs, and how it is stopped."""

    name: str
    command: list[str]
    log: Path
    env: dict[str, str]
    is_job: bool = False
    """Whether it is meant to end."""

    is_kept: bool = False
    """Whether it is started again when it dies, instead of ending everything."""

    is_server: bool = False
    """Whether others need it while they stop: it is stopped behind them, in a session of its own,
    so that Ctrl-C does not reach it before."""

    user: str | None = None
    """Who runs it; None: whoever started this."""

    stop_signal: signal.Signals = signal.SIGTERM
    deaths: list[float] = field(default_factory=list)
    """When it died, lately."""

    process: subprocess.Popen[bytes] = field(init=False)

    def spawn(self, cwd: Path) -> None:
        """Start it; what it said before a restart stays in its log."""
        with self.log.open("ab" if self.deaths else "wb") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
                start_new_session=self.is_server,
                preexec_fn=functools.partial(_die_with_parent, self.stop_signal),
            )

    def assert_alive(self) -> None:
        """Raise if it has ended, unless it is a job that ended well; with its last lines."""
        code = self.process.poll()
        if code is not None and not (self.is_job and code == 0):
            raise StartError(
                f"{self.name} ended with exit code {code}; its log is {self.log}:\n"
                f"{last_lines(self.log)}"
            )

    def kill_tree(self) -> None:
        """Kill it and all below it, also what would outlive it under another name."""
        for pid in [*below(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Processes:
    """The children of one run; stopped in the reverse order of their start, servers last."""

    def __init__(
        self,
        env: Mapping[str, str],
        cwd: Path,
        logs: Path,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._env = dict(env)
        self._cwd = cwd
        self._logs = logs
        self._report = report
        self._lock = threading.RLock()
        self.parts: list[Part] = []

    def start(
        self,
        name: str,
        command: Sequence[str | Path | int],
        *,
        env: Mapping[str, str] | None = None,
        **how: Any,
    ) -> Part:
        """Start ``command`` with its output in a log file of its own; ``how`` are Part's fields.

        ``env`` comes on top of what all parts have.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        part = Part(name, [str(word) for word in command], log, self._env | dict(env or {}), **how)
        part.spawn(self._cwd)
        self.parts.append(part)
        return part

    def run(self, name: str, command: Sequence[str | Path | int], **how: Any) -> None:
        """Run ``command`` to its end.

        Raises:
            StartError: if it fails, with the last lines that it wrote.
        """
        self.finish(self.start(name, command, is_job=True, **how))

    def finish(self, part: Part) -> None:
        """Wait for a job, and assert that it ended well."""
        code = part.process.wait()
        self.parts.remove(part)
        if code != 0:
            raise StartError(f"{part.name} failed; its log is {part.log}:\n{last_lines(part.log)}")

    def wait_until(
        self, part: Part, is_ready: Callable[[], bool], seconds: float, every: float = 0.2
    ) -> None:
        """Wait until ``is_ready``, as long as every part is alive and the time is not up."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.tend()
            if time.monotonic() > deadline:
                raise StartError(
                    f"{part.name} was not ready after {seconds:.0f} s; its log is {part.log}:\n"
                    f"{last_lines(part.log)}"
                )
            time.sleep(every)

    def tend(self) -> None:
        """Start again what died and is kept; raise if anything else has ended, or dies on and on.

        From any thread that lives as long as the parts: the kernel ends a part with the thread
        that started it.
        """
        with self._lock:
            for part in self.parts:
                if not part.is_kept:
                    part.assert_alive()
                elif part.process.poll() is not None:
                    self._start_again(part)

    def _start_again(self, part: Part) -> None:
        now = time.monotonic()
        part.deaths = [*(at for at in part.deaths if now - at < DEATHS_SECONDS), now]
        if len(part.deaths) > DEATHS:
            raise StartError(
                f"{part.name} died {len(part.deaths)} times within {DEATHS_SECONDS:.0f} s and is "
                f"not started again; its log is {part.log}:\n{last_lines(part.log)}"
            )
        self._report(f"{part.name} ended with {part.process.returncode} and is started again")
        part.spawn(self._cwd)

    def stop(self) -> None:
        """Ask every part to stop, last started first; kill what does not. Safe to run again."""
        with self._lock:
            for is_server in (False, True):
                self._stop([part for part in self.parts if part.is_server == is_server])
            self.parts.clear()

    @staticmethod
    def _stop(parts: list[Part]) -> None:
        for part in reversed(parts):
            if part.process.poll() is None:
                part.process.send_signal(part.stop_signal)
        deadline = time.monotonic() + STOP_SECONDS
        for part in reversed(parts):
            try:
                part.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                part.kill_tree()


def answers(url: str) -> bool:
    """Tell whether ``url`` answers with 200 now."""
    try:
        return urllib3.request("GET", url, timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def assert_ports_free(ports: Mapping[str, int], command: str = "make run") -> None:
    """Raise one sentence that names every port that somebody else listens on."""
    # What was killed a moment ago holds its port until the kernel has cleared it away, and is in
    # /proc by then without the environment by which it would be known as ours.
    deadline = time.monotonic() + PORT_SECONDS
    while (taken := _taken(ports)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if taken:
        raise StartError(
            f"Ports in use: {', '.join(taken)}. Stop what listens there, or choose other ones, "
            f"for example: {command} {taken[0].split('=')[0]}={1 + int(taken[0].split('=')[1])}"
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

    A part is recognised by DAYLIGHT_HOME in its environment, or, as some write their name over
    their environment, by where its output goes. Only where /proc exists; elsewhere a leftover shows
    as a port in use.
    """
    mark = f"DAYLIGHT_HOME={home}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environ = (process / "environ").read_bytes().split(b"\0")
            output = (process / "fd" / "1").readlink()
            is_ours = (mark in environ and _is_part(process)) or home / "logs" in output.parents
        except OSError:  # it ended, or it is another user's
            continue
        if is_ours and (pid := int(process.name)) != os.getpid():
            found.append(pid)
    # What we were started by, `timeout` for example, has our environment and is no leftover.
    found = [pid for pid in found if os.getpid() not in below(pid)]
    # Those below them, too: Airflow's workers rename themselves, and then have no environment.
    found = sorted({*found, *(each for pid in found for each in below(pid))})
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


def below(pid: int) -> list[int]:
    """Return the processes below a process; none where /proc does not exist."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended
            # Behind the name, which may hold anything, come the state and the parent.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = children.get(pid, [])
    return [*(each for child in found for each in below(child)), *found]


def last_lines(log: Path, count: int = 15) -> str:
    """Return the end of a log, for an error message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def _is_part(process: Path) -> bool:
    # A user's shell that sourced .daylight/activate carries the mark too: only our commands go.
    command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
    return any(word in command for word in PARTS)


def _die_with_parent(how: signal.Signals) -> None:
    # Without it a SIGKILL of this process alone would leave every part running. Linux only.
    if sys.platform == "linux":
        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, how)
