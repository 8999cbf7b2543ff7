"""What a part of the proof came to, and how it says so while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Report = Callable[[str], None]


@dataclass
class Figures:
    """Sums of the last line, and the sentences that make it fail."""

    report: Report
    compared: set[str] = field(default_factory=set)
    """Tables that were compared with the oracle, row by row."""
    oracle_rows: int = 0
    mismatches: int = 0
    except_all: int = 0
    seeded: int = 0
    seen: int = 0
    """Seeded faults, and those of them that were seen."""
    problems: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Count another part with this one."""
        self.compared |= other.compared
        for name in ("oracle_rows", "mismatches", "except_all", "seeded", "seen"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.problems += other.problems
        self.skipped += other.skipped

    def complain(self, problem: str) -> None:
        """Remember what is not as it must be, and say it at once."""
        self.problems.append(problem)
        self.report(f"  WRONG {problem}")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say what was done and how long it took."""
        begun = time.monotonic()
        yield
        self.report(f"  {time.monotonic() - begun:6.1f} s  {name}")

    def __str__(self) -> str:
        return (
            f"proof: tables={len(self.compared)} oracle_rows={self.oracle_rows} "
            f"mismatches={self.mismatches} except_all={self.except_all} "
            f"seeded_faults={self.seen}/{self.seeded}"
        )
