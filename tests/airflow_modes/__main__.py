"""Measures the ways to run the dbt project in Airflow: ``python -m tests.airflow_modes``.

One scheduler, started as `make run` starts it, over one lake; the modes take turns, round by round,
so that what else the machine does hurts all of them alike. Ends in one line that compares the mode
that is the default with a plain `dbt build` in a single task of the same scheduler.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from laptop.environment import REPOSITORY, Laptop
from tests.airflow_modes.control_room import ControlRoom, Measured
from tests.servers import free_ports

MODES = ("plain", "inherited", "local", "after_each", "watcher", "unparsed", "subprocess", "empty")
UNTIL = "2026-03-02T03:00:00+00:00"
WORLD = ["--days", "9", "--users", "300", "--until", UNTIL]


def main() -> int:
    """Measure, print the table, and return 1 if a run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.airflow_modes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--home", type=Path, help="a folder to keep; otherwise a temporary one")
    parser.add_argument("--json", type=Path, help="where the figures go, for machines")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    with tempfile.TemporaryDirectory() as temporary:
        home = (words.home or Path(temporary) / "home").resolve()
        rounds = measure(home, words.modes, words.rounds)
    if words.json:
        words.json.write_text(json.dumps([[vars(run) for run in each] for each in rounds]))
    print(table(rounds))
    print(summary(rounds))
    return int(any(run.state != "success" for each in rounds for run in each))


def measure(home: Path, modes: list[str], rounds: int) -> list[list[Measured]]:
    """Make a world and a warehouse, then run every mode once in each round."""
    laptop = Laptop(home, *free_ports(3))
    build_once(laptop)
    measured: list[list[Measured]] = []
    with ControlRoom(laptop, REPOSITORY / "tests" / "airflow_modes" / "dags") as room:
        room.measure("measure_plain")  # fills caches
        for number in range(1, rounds + 1):
            measured.append([])
            for mode in modes:
                run = room.measure(f"measure_{mode}")
                measured[-1].append(run)
                print(f"round {number} {run.line()}", flush=True)
    return measured


def build_once(laptop: Laptop) -> None:
    """Load a small world and build its warehouse by `make run ONCE=1`'s command."""
    if (built := laptop.home / "built").exists():
        return
    command = [sys.executable, "-m", "laptop", "--once", *WORLD]
    command += ["--aws-port", str(laptop.aws_port), "--airflow-port", str(laptop.airflow_port)]
    command += ["--simulator-port", str(laptop.simulator_port)]
    env = os.environ | {"DAYLIGHT_HOME": str(laptop.home)}
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(
            f"error: the world could not be built:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    built.touch()


def table(rounds: list[list[Measured]]) -> str:
    """Return the medians of each mode, and the medians of its ratios to the plain build."""
    lines = [f"{'mode':<10} {'tasks':>5} {'wall s':>8} {'CPU s':>8} {'x wall':>7} {'x CPU':>7}"]
    for index, first in enumerate(rounds[0]):
        runs = [each[index] for each in rounds]
        wall = statistics.median(run.wall for run in runs)
        cpu = statistics.median(run.cpu for run in runs)
        lines.append(
            f"{first.mode:<10} {first.tasks:>5} {wall:>8.1f} {cpu:>8.1f} "
            f"{ratio(rounds, first.mode, 'wall'):>7.2f} {ratio(rounds, first.mode, 'cpu'):>7.2f}"
        )
    return "\n".join(lines)


def ratio(rounds: list[list[Measured]], mode: str, figure: str) -> float:
    """Return the median, over the rounds, of a mode's figure divided by the plain build's."""
    found = []
    for each in rounds:
        by_mode = {run.mode: getattr(run, figure) for run in each}
        found.append(by_mode.get(mode, float("nan")) / by_mode.get("plain", float("nan")))
    return statistics.median(found)


def summary(rounds: list[list[Measured]]) -> str:
    """Return the line that others quote."""
    modes = [run.mode for run in rounds[0] if run.mode != "plain"]
    ratios = " ".join(f"{mode}={ratio(rounds, mode, 'wall'):.2f}" for mode in modes)
    return f"airflow_modes: rounds={len(rounds)} {ratios}"


if __name__ == "__main__":
    sys.exit(main())
