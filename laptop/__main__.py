"""The command behind `make run`."""

import argparse
import os
import signal
import sys
from pathlib import Path

from laptop.airflow_api import AirflowError
from laptop.environment import REPOSITORY, Laptop
from laptop.processes import StartError
from laptop.run import run
from laptop.stand_ins import Options


def main() -> int:
    """Run everything; return 0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m laptop", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the first full cycle")
    parser.add_argument("--aws-port", type=int, default=4566)
    parser.add_argument("--simulator-port", type=int, default=4567)
    parser.add_argument("--airflow-port", type=int, default=8080)
    parser.add_argument("--days", type=int, default=35, help="history to begin with")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--users", type=int, help="size of the simulated population")
    parser.add_argument("--until", help="freeze the simulated clock at this ISO instant")
    words = parser.parse_args()

    home = Path(os.environ.get("DAYLIGHT_HOME", REPOSITORY / ".daylight"))  # noqa: TID251  the edge
    laptop = Laptop(home.resolve(), words.aws_port, words.simulator_port, words.airflow_port)
    options = Options(words.once, words.days, words.seed, words.users, words.until)
    signal.signal(signal.SIGTERM, _stop)
    try:
        run(laptop, options)
    except (StartError, AirflowError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _stop(signum: int, frame: object) -> None:
    sys.exit(128 + signum)


sys.exit(main())
