"""`make run`: from an empty folder to daily metrics, then on schedule until Ctrl-C."""

import fcntl
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import urllib3

from laptop import secret_files
from laptop.airflow_api import AirflowApi
from laptop.environment import EXECUTABLES, LOCAL_AWS_PYTHON, REPOSITORY, Laptop
from laptop.processes import Processes, StartError, answers, assert_ports_free, stop_leftovers
from laptop.world import DUMPS_BUCKET, DUMPS_PREFIX, World, upload_dumps

DAGS = ["load_dumps", "ingest_access_logs", "transform_warehouse"]
LATER_DAGS = [
    "backfill_access_logs",
    "compact_lake",
    "deliver_alerts",
    "maintain_warehouse",
    "reconcile_access_logs",
    "replay_quarantine",
    "verify_warehouse",
]
"""Not part of the first cycle; ready when it is over."""

AIRFLOW_VERSION_FILE = "migrated"
STARTED = time.monotonic()
SUMMARY_FIELDS = (
    "offered",
    "good",
    "quarantined",
    "duplicate",
    "models",
    "tests",
    "expectations",
    "dau",
    "wau",
    "mau",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the user of `make run` may choose."""

    once: bool
    history_days: int
    seed: int
    users: int | None
    until: str | None


def run(laptop: Laptop, options: Options) -> None:
    """Start everything, load everything, build everything, and print what came out.

    Safe to run again: it goes on with the data that is there, also after a SIGKILL.

    Raises:
        StartError: if a part cannot be started or dies.
        AirflowError: if a DAG run fails.
    """
    laptop.home.mkdir(parents=True, exist_ok=True)
    with _only_run(laptop.home):
        if leftovers := stop_leftovers(laptop.home):
            _report(f"stopped {leftovers} processes that an earlier run left behind")
        assert_ports_free(
            {
                "AWS_PORT": laptop.aws_port,
                "SIMULATOR_PORT": laptop.simulator_port,
                "AIRFLOW_PORT": laptop.airflow_port,
            }
        )
        secret_files.ensure(laptop.secrets)
        laptop.write_activate()
        processes = Processes(laptop.shell(), REPOSITORY, laptop.home / "logs")
        try:
            airflow = _start(laptop, options, processes)
            _load_and_build(airflow)
            _print_summary(laptop)
            if not options.once:
                for dag_id in LATER_DAGS:
                    airflow.pause(dag_id, False)
                _report("running on schedule; Ctrl-C stops everything")
                while True:
                    processes.assert_alive()
                    time.sleep(1)
        finally:
            _report("stopping")
            processes.stop()
            stop_leftovers(laptop.home)
            _report("stopped; nothing is left running")


def _start(laptop: Laptop, options: Options, processes: Processes) -> AirflowApi:
    airflow_command = EXECUTABLES / "airflow"
    migration = None
    if not _is_migrated(laptop.home):
        migrate = [airflow_command, "db", "migrate"]
        migration = processes.start("airflow-migrate", migrate, is_job=True)
    aws = processes.start(
        "local_aws",
        [
            LOCAL_AWS_PYTHON,
            "-m",
            "local_aws",
            "--data",
            laptop.home / "aws",
            "--port",
            laptop.aws_port,
        ],
    )
    processes.wait_until(aws, lambda: answers(f"{laptop.aws_url}/health"), seconds=60)
    _report(f"local_aws: S3, Glue and Athena at {laptop.aws_url}")

    _start_world(laptop, options, processes)
    manifest = [EXECUTABLES / "dbt", "parse", "--target", "prod", "--project-dir", "dbt_project"]
    processes.run("dbt-parse", manifest)
    _report("dbt: project parsed")
    if migration:
        processes.finish(migration)
        (laptop.home / "airflow" / AIRFLOW_VERSION_FILE).write_text(_airflow_version())
        _report("airflow: database ready")
    return _start_airflow(laptop, processes)


def _start_world(laptop: Laptop, options: Options, processes: Processes) -> None:
    world = World.of(laptop.home, options.history_days, options.seed, options.users, options.until)
    simulator = [EXECUTABLES / "python", "-m", "simulator", *world.arguments()]
    simulator += ["--keys-file", laptop.secrets / "fernet.keys"]
    dumps = laptop.home / "dumps"
    if not (dumps / "complete").exists():
        days = str(world.history_days)
        processes.run("simulator-history", [*simulator, "--history", days, "--out", dumps])
        (dumps / "complete").touch()
    count = upload_dumps(dumps, laptop.aws_url)
    _report(f"simulator: {count} days of history as encrypted dumps, from {world.start} on")
    live = processes.start("simulator", [*simulator, "--port", laptop.simulator_port])
    processes.wait_until(live, lambda: answers(f"{laptop.simulator_url}/health"), seconds=60)
    _report(f"simulator: log API at {laptop.simulator_url}/api/data/log")


def _start_airflow(laptop: Laptop, processes: Processes) -> AirflowApi:
    airflow = AirflowApi(laptop.airflow_url, laptop.home / "airflow" / "logs")
    # The scheduler and triggerer would serve task logs on all interfaces; here everybody reads
    # the same folder.
    parts = {
        "airflow-api-server": ["api-server"],
        "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
        "airflow-dag-processor": ["dag-processor"],
        "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
    }
    started = [
        processes.start(name, [EXECUTABLES / "airflow", *words]) for name, words in parts.items()
    ]
    processes.wait_until(started[0], airflow.is_healthy, seconds=180, every=0.5)

    def has_dags() -> bool:
        if errors := airflow.import_errors():
            raise StartError("Airflow cannot import these DAG files:\n" + "\n".join(errors))
        return airflow.has_dags([*DAGS, *LATER_DAGS])

    processes.wait_until(started[2], has_dags, seconds=120, every=0.5)
    for name, pool in json.loads((REPOSITORY / "dags" / "pools.json").read_text()).items():
        airflow.set_pool(name, pool)
    _report(f"airflow: healthy at {laptop.airflow_url}")
    return airflow


def _load_and_build(airflow: AirflowApi) -> None:
    # Asleep until everything is loaded: it would build the warehouse once for each load.
    airflow.pause("transform_warehouse", True)
    interrupted = [
        (dag_id, run) for dag_id in (*DAGS, *LATER_DAGS) for run in airflow.unfinished_runs(dag_id)
    ]
    for dag_id, run_id in interrupted:
        airflow.fail(dag_id, run_id)
    if interrupted:
        count = len(interrupted)
        _report(f"airflow: closed {count} runs that were interrupted; new runs resume them")
    airflow.pause("load_dumps", False)
    airflow.run("load_dumps", {"uri": f"s3://{DUMPS_BUCKET}/{DUMPS_PREFIX}"}, _report)
    airflow.pause("ingest_access_logs", False)
    airflow.run("ingest_access_logs", {}, _report)
    # Unpausing may have started the schedule's own run as well; its batch belongs to this build.
    for run_id in airflow.unfinished_runs("ingest_access_logs"):
        airflow.follow("ingest_access_logs", run_id, _report)
    airflow.pause("transform_warehouse", False)
    airflow.run("transform_warehouse", {}, _report)


def _print_summary(laptop: Laptop) -> None:
    site = f"{laptop.aws_url}/daylight-lake/site"
    summary: dict[str, Any] = urllib3.request("GET", f"{site}/summary.json").json()
    print(
        f"""
  records      {summary["offered"]:,} offered = {summary["good"]:,} good \
+ {summary["quarantined"]:,} quarantined + {summary["duplicate"]:,} duplicate
  warehouse    {summary["models"]} models built, {summary["tests"]} tests passed
  checks       {summary["expectations"]} expectations evaluated
  {summary["metric_date"]}   DAU {summary["dau"]:,}   WAU {summary["wau"]:,}   \
MAU {summary["mau"]:,}   (the last complete day)

  Airflow      {laptop.airflow_url}
  Metrics      {site}/index.html
  Data docs    {site}/data_docs/index.html
  dbt docs     {site}/dbt_docs/index.html
"""
    )
    print("run: " + " ".join(f"{field}={summary[field]}" for field in SUMMARY_FIELDS), flush=True)


def _report(line: str) -> None:
    print(f"[{time.monotonic() - STARTED:4.0f} s] {line}", flush=True)


def _is_migrated(home: Path) -> bool:
    file = home / "airflow" / AIRFLOW_VERSION_FILE
    return file.exists() and file.read_text() == _airflow_version()


def _airflow_version() -> str:
    from importlib.metadata import version

    return version("apache-airflow")


class _only_run:
    """Holds the folder's lock for as long as the run lasts; the kernel frees it on a kill."""

    def __init__(self, home: Path) -> None:
        self._path = home / "lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"Another `make run` works on {self._path.parent}. Stop it first, or start this "
                "one with another folder and other ports."
            ) from error

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()
