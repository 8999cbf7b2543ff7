"""What stands in for AWS and for the source, and the lock of the folder that keeps it all."""

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from laptop.environment import EXECUTABLES, LOCAL_AWS_PYTHON, Laptop
from laptop.main_job import report
from laptop.processes import Processes, StartError, answers
from laptop.world import World, upload_dumps

AIRFLOW_VERSION_FILE = "migrated"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user of `make run` may choose."""

    once: bool
    history_days: int
    seed: int
    users: int | None
    until: str | None


def start_local_aws(laptop: Laptop, processes: Processes, is_kept: bool = False) -> None:
    """Start S3, Glue and Athena on a folder of this machine."""
    data = ["--data", laptop.home / "aws", "--port", laptop.aws_port]
    command = [LOCAL_AWS_PYTHON, "-m", "local_aws", *data]
    aws = processes.start("local_aws", command, is_kept=is_kept, is_server=True)
    processes.wait_until(aws, lambda: answers(f"{laptop.aws_url}/health"), seconds=60)
    report(f"local_aws: S3, Glue and Athena at {laptop.aws_url}")


def start_world(
    laptop: Laptop, options: Options, processes: Processes, is_kept: bool = False
) -> None:
    """Start the source: its history as dumps in S3, the rest as an API."""
    world = World.of(laptop.home, options.history_days, options.seed, options.users, options.until)
    simulator = [EXECUTABLES / "python", "-m", "simulator", *world.arguments()]
    simulator += ["--keys-file", laptop.secrets / "fernet.keys"]
    dumps = laptop.home / "dumps"
    if not (dumps / "complete").exists():
        days = str(world.history_days)
        processes.run("simulator-history", [*simulator, "--history", days, "--out", dumps])
        (dumps / "complete").touch()
    count = upload_dumps(dumps, laptop.aws_url)
    report(f"simulator: {count} days of history as encrypted dumps, from {world.start} on")
    command = [*simulator, "--port", laptop.simulator_port]
    live = processes.start("simulator", command, is_kept=is_kept, is_server=True)
    processes.wait_until(live, lambda: answers(f"{laptop.simulator_url}/health"), seconds=60)
    report(f"simulator: log API at {laptop.simulator_url}/api/data/log")


def parse_dbt(laptop: Laptop, processes: Processes) -> None:
    """Make the manifest, out of which Cosmos draws the tasks."""
    command = [EXECUTABLES / "dbt", "parse", "--target", "prod", "--project-dir", "dbt_project"]
    processes.run("dbt-parse", command, env=laptop.daylight())
    report("dbt: project parsed")


def is_migrated(home: Path) -> bool:
    """Tell whether Airflow's database in this folder is of the Airflow that is installed."""
    file = home / "airflow" / AIRFLOW_VERSION_FILE
    return file.exists() and file.read_text() == _airflow_version()


def note_migration(home: Path) -> None:
    """Remember that Airflow's database is of the Airflow that is installed."""
    (home / "airflow" / AIRFLOW_VERSION_FILE).write_text(_airflow_version())
    report("airflow: database ready")


def _airflow_version() -> str:
    from importlib.metadata import version

    return version("apache-airflow")


class OnlyRun:
    """Holds the folder's lock for as long as the run lasts; the kernel frees it on a kill."""

    def __init__(self, home: Path) -> None:
        self._path = home / "lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"Another run works on {self._path.parent}. Stop it first, or start this "
                "one with another folder and other ports."
            ) from error

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()
