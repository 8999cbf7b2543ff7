"""Children that work at the same time, at most as many as there are cores."""

import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

from ingestion.child import Child

MAX_CHILDREN = 8
"""More would wait for the parent, which reads, hashes, sends and sorts for all of them."""

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return how many cores this process may keep busy, by its affinity and its cgroup's quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota(_CGROUP))))


def _quota(cgroup: Path) -> float:
    """Return how many cores the cgroup's quota is worth, by its second version or its first."""
    for ways in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((cgroup / way).read_text() for way in ways).split()
            if int(quota) > 0 and int(period) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError):  # not there, or "max"
            continue
    return math.inf


class Pool:
    """Lends children to threads, and starts them when first needed."""

    def __init__(self, start: Callable[[], Child], size: int) -> None:
        self.size = size
        self._start = start
        self._free = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._lent: set[Child] = set()

    def take(self) -> Child:
        """Return a child that nobody else uses; waits while all are lent.

        Raises:
            WorkerUnavailable: if none starts.
        """
        self._free.acquire()
        try:
            # The one that came back last, so that a load for one keeps one.
            while (child := self._pop()) is not None and not child.is_alive:
                child.close()
            child = child or self._start()
        except BaseException:
            self._free.release()
            raise
        with self._lock:
            self._lent.add(child)
        return child

    def _pop(self) -> Child | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def give_back(self, child: Child, *, is_worn: bool) -> None:
        """Take a child back; a worn one is ended."""
        if is_worn:
            child.close()
        with self._lock:
            self._lent.discard(child)
            if not is_worn:
                self._idle.append(child)
        self._free.release()

    def pids(self) -> list[int]:
        """Return the children's process ids."""
        with self._lock:
            return [child.pid for child in (*self._idle, *self._lent)]

    def stop(self) -> None:
        """End the children that nobody uses, and kill the others under their users."""
        with self._lock:
            idle, self._idle = self._idle, []
            for child in self._lent:
                child.kill()
        for child in idle:
            child.close()

    def forget(self) -> None:
        """Leave all children to the process that this one was forked from.

        A fork that held their pipes would keep them alive. No lock is asked for: whoever held it
        is not in this process.
        """
        for child in (*self._idle, *self._lent):
            child.forget()
