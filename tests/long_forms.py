"""What the command lines of the long forms share: their options, and how they end."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Sequence


def options(
    of: str, doc: str | None, parts: Iterable[str], arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Read ``--only`` and ``--scale``."""
    parser = argparse.ArgumentParser(prog=f"python -m {of}", description=doc)
    parser.add_argument("--only", nargs="+", choices=parts, help="these parts alone")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="a share of the cases; below 1, no minimum holds"
    )
    return parser.parse_args(arguments)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(main: Callable[[], int]) -> None:
    """End with the code that ``main`` returns."""
    for number in (signal.SIGINT, signal.SIGTERM):  # either stops the servers on its way out
        signal.signal(number, signal.default_int_handler)
    try:
        code = main()
    except KeyboardInterrupt:
        say("stopped")
        code = 130
    sys.exit(code)
