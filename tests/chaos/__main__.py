"""The long forms of everything that is done to the protocol: ``python -m tests.chaos``.

Starts and stops its own servers. Ends in one line of figures; exit 1 if anything was lost, doubled,
escaped or leaked, was not refuted, not caught, or did not happen often enough.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from tests import long_forms
from tests.chaos import drills, kills, proof, races, seeded_bugs
from tests.chaos.fuzz import BAD
from tests.children import ROOT
from tests.long_forms import say

Report = Callable[[str], None]
Figures = dict[str, int]

MINIMA = {"kills": 250, "faults": 100, "races": 60, "fuzzed": 1_000_000}
FORBIDDEN = ("lost", "doubled", "escaped", "leaked")
BUGS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for, all of them by default, and return the exit code."""
    options = long_forms.options("tests.chaos", __doc__, PARTS, arguments)
    sums = dict.fromkeys((*MINIMA, *FORBIDDEN), 0)
    problems: list[str] = []
    for name in options.only or PARTS:
        begun = time.monotonic()
        say(f"{name}: {PARTS[name].__doc__}")
        found = PARTS[name](options.scale, say)
        problems += [f"{name}: {problem}" for problem in _problems(name, found)]
        for figure in sums:
            sums[figure] += found.get(figure, 0)
        say(f"{name}: {time.monotonic() - begun:.0f} s\n")
    if not options.only and options.scale >= 1:
        problems += [f"only {sums[n]} {n}, not {m}" for n, m in MINIMA.items() if sums[n] < m]
    for problem in problems:
        say(f"PROBLEM {problem}")
    say("chaos: " + " ".join(f"{name}={count}" for name, count in sums.items()))
    return 1 if problems else 0


def _model(scale: float, report: Report) -> Figures:
    """the protocol's state model, explored whole; every broken variant has to be refuted"""
    return proof.run(report, is_quick=scale < 1)


def _kills(scale: float, report: Report) -> Figures:
    """real runners killed at their requests, and replies that fail, over the S3 stand-in"""
    return kills.run(scale, report)


def _races(scale: float, report: Report) -> Figures:
    """four real runners at once, and runners that sleep while another passes them"""
    return races.run(scale, report)


def _bugs(scale: float, report: Report) -> Figures:
    """bugs planted into the real code; the harness has to notice each"""
    return seeded_bugs.run(report)


def _fuzz(scale: float, report: Report) -> Figures:
    """tokens and plaintexts that nobody should ever send"""
    # A process of its own, because it measures the memory of its process and of its children.
    count = round(MINIMA["fuzzed"] * scale)
    command = [sys.executable, "-m", "tests.chaos.fuzz", str(count)]
    last = ""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = line.strip()
            report(f"  {last}")
    if process.returncode:
        return {"wrong": 1}
    return {name: int(number) for name, _, number in (p.partition("=") for p in last.split())}


def _drills(scale: float, report: Report) -> Figures:
    """what an operator lives through: a round trip, a rotation, an outage; with planted canaries"""
    return drills.run("long" if scale >= 1 else "short", report)


PARTS: dict[str, Callable[[float, Report], Figures]] = {
    "model": _model,
    "kills": _kills,
    "races": _races,
    "bugs": _bugs,
    "fuzz": _fuzz,
    "drills": _drills,
}


def _problems(name: str, found: Figures) -> list[str]:
    bad = {*FORBIDDEN, "wrong", *(BAD if name == "fuzz" else ())}
    problems = [f"{kind}={found[kind]}" for kind in sorted(bad) if found.get(kind)]
    if name == "bugs" and not found["caught"] == found["bugs"] >= BUGS:
        problems.append(f"{found['caught']} of {found['bugs']} planted bugs were noticed")
    if name == "model" and not (found["held"] and found["refuted"]):
        problems.append("nothing was explored")
    return problems


if __name__ == "__main__":
    long_forms.run(main)
