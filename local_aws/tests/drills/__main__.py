"""Races and kills, in their long form: ``python -m local_aws.tests.drills``.

Starts servers of its own on free ports and folders that it removes. Ends in one line of figures;
exit 1 if an acknowledged write is not there, a refused one is, or anything is torn.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from local_aws.tests.drills.kills import Casualties, kill
from local_aws.tests.drills.races import Races, race


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, both by default."""
    parser = argparse.ArgumentParser(prog="python -m local_aws.tests.drills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="of 16 racing writers; default 20")
    parser.add_argument("--kills", type=int, default=50, help="at random moments; default 50")
    parser.add_argument("--seed", type=int, default=7, help="of the moments; default 7")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="local_aws_") as folder:
        raced = race(Path(folder, "race"), options.rounds, say) if options.rounds else Races()
        dice = random.Random(options.seed)
        killed = kill(Path(folder, "kill"), options.kills, dice, say)
    problems = raced.problems + killed.problems
    for problem in problems:
        say(f"PROBLEM {problem}")
    say(line(raced, killed, len(problems), time.monotonic() - begun))
    return 1 if problems else 0


def line(raced: Races, killed: Casualties, problems: int, seconds: float) -> str:
    """The last line."""
    return (
        f"drills: rounds={raced.rounds} raced={raced.acknowledged} refused={raced.refused} "
        f"kills={killed.kills} acknowledged={killed.acknowledged} unknown={killed.unknown} "
        f"problems={problems} seconds={seconds:.0f}"
    )


def say(text: str) -> None:
    """Print at once: a person waits."""
    print(text, flush=True)


Report = Callable[[str], None]

if __name__ == "__main__":
    sys.exit(main())
