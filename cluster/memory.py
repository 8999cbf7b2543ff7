"""What each part of the cluster takes of the machine's memory, idle and at most."""

import contextlib
import statistics
import threading
from collections.abc import Iterable
from pathlib import Path

from laptop.processes import Part, below

INTERVAL = 2.0
"""Seconds between two looks; a task that peaks for less is not seen at its peak."""

MIB = 1 << 20


class Meter(threading.Thread):
    """Looks at all parts again and again, with everything that they have started.

    Memory that processes share is counted in parts (PSS), so the sum is what the machine lacks.
    """

    def __init__(self, parts: Iterable[Part]) -> None:
        super().__init__(daemon=True)
        self._parts = parts
        self._stopped = threading.Event()
        self._seen: dict[str, list[int]] = {}
        self._idle: dict[str, float] = {}

    def run(self) -> None:
        """Look until ``stop``."""
        while not self._stopped.wait(INTERVAL):
            self.look()

    def look(self) -> None:
        """Look once."""
        for part in list(self._parts):
            self._seen.setdefault(part.name, []).append(tree_bytes(part.process.pid))

    def idle_is_over(self) -> None:
        """Take what was seen until now as idle; what is seen from now on is work."""
        self.look()
        self._idle = {name: statistics.median(seen) for name, seen in self._seen.items()}
        self._seen.clear()

    def stop(self) -> None:
        """Stop looking."""
        self._stopped.set()
        self.join()

    def table(self) -> str:
        """Return the figures for people, in MiB."""
        lines = [f"  {'memory, MiB':<16}{'idle':>8}{'peak':>8}"]
        sums = [0.0, 0.0]
        for name, seen in self._seen.items():
            pair = (self._idle.get(name, 0), max(seen))
            sums = [total + value for total, value in zip(sums, pair, strict=True)]
            lines.append(f"  {name:<16}{pair[0] / MIB:>8.0f}{pair[1] / MIB:>8.0f}")
        lines.append(f"  {'sum':<16}{sums[0] / MIB:>8.0f}{sums[1] / MIB:>8.0f}")
        return "\n".join(lines)


def tree_bytes(pid: int) -> int:
    """Return the proportional memory of a process and all below it; 0 where /proc has no such."""
    return sum(_bytes(each) for each in [pid, *below(pid)])


def _bytes(pid: int) -> int:
    with contextlib.suppress(OSError):  # it ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
