"""How long Airflow reads our DAG files, in CPU: ``python -m tests.airflow_modes.reading``.

All of them once, imports included, as a DAG processor that was just started; then each one by
itself, as it and every task that inherits nothing do it again and again.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from laptop.environment import REPOSITORY, Laptop

TIMES = 7
DAGS = REPOSITORY / "dags"


def main() -> int:
    """Measure in a process that has imported nothing, and print what was measured there."""
    if "measure" in sys.argv:
        measure()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        laptop = Laptop(Path(folder), 1, 2, 3)
        # As in the DAG processor, but for what it imports before it forks.
        env = laptop.shell() | {"PYTHONPATH": str(REPOSITORY), "AIRFLOW_HOME": folder}
        command = [sys.executable, "-m", "tests.airflow_modes.reading", "measure"]
        done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    sys.stdout.write("".join(f"{line}\n" for line in done.stdout.splitlines() if "dag_" in line))
    if done.returncode:
        sys.stdout.write(done.stderr[-2000:])
    return done.returncode


def measure() -> None:
    """Read all files, then each of them again."""
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
    from airflow.dag_processing.dagbag import BundleDagBag

    def read(file: Path) -> float:
        began = time.process_time()
        bag = BundleDagBag(
            dag_folder=str(file),
            bundle_path=DAGS,
            bundle_name="dags-folder",
            safe_mode=False,
            load_op_links=False,
        )
        assert bag.dags, bag.import_errors
        return time.process_time() - began

    files = sorted(DAGS.glob("[!_]*.py"))
    everything = sum(map(read, files))
    again = {file.stem: statistics.median(read(file) for _ in range(TIMES)) for file in files}
    for name, seconds in sorted(again.items(), key=lambda one: -one[1]):
        sys.stdout.write(f"dag_file {name}: {seconds:.3f} s of CPU\n")
    slowest = max(again.values())
    sys.stdout.write(f"dag_files: all={everything:.2f} slowest={slowest:.3f} limits=3,0.1\n")


if __name__ == "__main__":
    sys.exit(main())
