"""Runs every exploration of the protocol, in two processes, and says what each has found."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable

from tests.chaos.broken import BROKEN
from tests.chaos.explorer import Exploration
from tests.chaos.variants import RIGHT, Case

Report = Callable[[str], None]


def run(report: Report, is_quick: bool = False) -> dict[str, int]:
    """Explore all variants; ``wrong`` counts those that did not come out as they must."""
    begun = time.monotonic()
    cases = [*RIGHT, *BROKEN]
    sums = {"held": 0, "refuted": 0, "wrong": 0, "states": 0, "transitions": 0}
    context = multiprocessing.get_context("spawn")  # nothing is inherited, whatever the parent has
    # Ctrl-C is for the parent, who ends these.
    with context.Pool(2, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        work = [(case, is_quick) for case in cases]
        for case, found in zip(cases, pool.imap(_explored, work), strict=True):
            fault = verdict(case, found)
            sums["wrong" if fault else "refuted" if case.refuted_by else "held"] += 1
            sums["states"] += found.states
            sums["transitions"] += found.transitions
            for line in described(case, found, fault):
                report(line)
    report(
        f"model: {sums['held']} variants hold, {sums['refuted']} broken ones are refuted, "
        f"{sums['states']:,} states, {sums['transitions']:,} transitions, "
        f"{time.monotonic() - begun:.0f} s"
    )
    return sums


def verdict(case: Case, found: Exploration) -> str:
    """Return what is not as it must be, or nothing."""
    if not found.is_whole:
        return "not explored whole: the bounds are too wide"
    if case.refuted_by and case.refuted_by not in found.fault:
        return f"not refuted ({case.refuted_by} was to be found): {found.fault or 'no fault'}"
    return "" if case.refuted_by else found.fault


def described(case: Case, found: Exploration, fault: str) -> list[str]:
    """Return the lines that tell of one exploration; of a refutation, with its counterexample."""
    size = f"{found.states:,} states, {found.transitions:,} transitions, {found.seconds:.1f} s"
    if not case.refuted_by and not fault:
        return [f"  holds    {case.name}: {size}"]
    outcome = "WRONG   " if fault else "refuted "
    return [
        f"  {outcome} {case.name}: {fault or found.fault} ({size})",
        *(f"             {number:2}. {step}" for number, step in enumerate(found.trace, 1)),
    ]


def _explored(work: tuple[Case, bool]) -> Exploration:
    case, is_quick = work
    return case.explore(is_quick)
