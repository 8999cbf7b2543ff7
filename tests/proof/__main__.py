"""The long forms of what is said of the numbers: ``python -m tests.proof``.

Starts and stops its own servers. Ends in one line of figures; exit 1 if a row differs, a seeded
fault is not seen, or one late record costs too much.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence

from tests.proof import cost, equality, faults, stories
from tests.proof.figures import Figures, Report

PARTS: dict[str, Callable[[float, Report], Figures]] = {
    "oracle": stories.run,
    "except_all": equality.run,
    "cost": cost.run,
    "faults": faults.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for, all of them by default, and return the exit code."""
    options = _parser().parse_args(arguments)
    sums = Figures(_say)
    for name in options.only or PARTS:
        begun = time.monotonic()
        _say(f"{name}: {PARTS[name].__doc__}")
        try:
            sums.add(PARTS[name](options.scale, _say))
        except Exception as error:
            sums.complain(f"{name}: {type(error).__name__}: {error}")
        _say(f"{name}: {time.monotonic() - begun:.0f} s\n")
    for sentence in sums.skipped:
        _say(f"SKIPPED {sentence}")
    for problem in sums.problems:
        _say(f"PROBLEM {problem}")
    _say(str(sums))
    return 1 if sums.problems else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts alone")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="a share of the people and of the kills"
    )
    return parser


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # either stops the servers on its way out
        signal.signal(number, signal.default_int_handler)
    try:
        code = main()
    except KeyboardInterrupt:
        _say("stopped")
        code = 130
    sys.exit(code)
