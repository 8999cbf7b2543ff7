"""The long forms of what is said of the numbers: ``python -m tests.proof``.

Starts and stops its own servers. Ends in one line of figures; exit 1 if a row differs, a seeded
fault is not seen, or one late record costs too much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tests import long_forms
from tests.long_forms import say
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
    options = long_forms.options("tests.proof", __doc__, PARTS, arguments)
    sums = Figures(say)
    for name in options.only or PARTS:
        begun = time.monotonic()
        say(f"{name}: {PARTS[name].__doc__}")
        try:
            sums.add(PARTS[name](options.scale, say))
        except Exception as error:
            sums.complain(f"{name}: {type(error).__name__}: {error}")
        say(f"{name}: {time.monotonic() - begun:.0f} s\n")
    for sentence in sums.skipped:
        say(f"SKIPPED {sentence}")
    for problem in sums.problems:
        say(f"PROBLEM {problem}")
    say(str(sums))
    return 1 if sums.problems else 0


if __name__ == "__main__":
    long_forms.run(main)
