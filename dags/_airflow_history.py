"""Airflow's own past: the logs of tasks, and what its database says of runs that are long over."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import Connection
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

METADATA = "daylight_metadata"
"""An Airflow connection whose password is the address of Airflow's database.

Airflow hides its own from tasks, so whoever wants this task to work gives it one on purpose.
"""

TABLES = (
    "asset_event,callback,dag_run,deadline,job,log,revoked_token,task_instance,"
    "task_instance_history,task_reschedule,trigger,xcom"
)
"""Those that grow with runs. `airflow db clean` leaves the newest run of each DAG."""


def clear_logs(days: int) -> int:
    """Delete log files that nobody has written for so long; return how many. Safe to repeat."""
    folder = Path(conf.get("logging", "base_log_folder"))
    before = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    found = [Path(below) for below, _, _ in os.walk(folder, topdown=False)][:-1]
    # Looked at first: a folder is new again when something in it is deleted.
    old_folders = [path for path in found if path.stat().st_mtime < before]
    old = [path for path in _files(folder) if path.stat().st_mtime < before]
    for path in old:
        path.unlink(missing_ok=True)
    for path in old_folders:  # deepest first; one that another run is filling stays
        _remove_if_empty(path)
    return len(old) + _clear_remote_logs(days)


def clear_metadata(days: int) -> bool:
    """Have Airflow clean its database of what is older; False if nobody gave us its address."""
    try:
        address = str(Connection.get(METADATA).password)
    except AirflowNotFoundException:
        return False
    before = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    words = ["db", "clean", "--yes", "--skip-archive", "--error-on-cleanup-failure"]
    # Small steps: other writers wait for each of them, not for the whole.
    words += ["--batch-size", "1000", "--tables", TABLES, "--clean-before-timestamp", before]
    # In the environment, because everybody on the machine can read a command line.
    env = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address}  # noqa: TID251
    done = subprocess.run(
        [Path(sys.executable).with_name("airflow"), *words], env=env, capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stdout + done.stderr).replace(address, "…").splitlines()
        raise AirflowFailException("airflow db clean failed:\n" + "\n".join(said[-15:]))
    return True


def _files(folder: Path) -> Iterator[Path]:
    for below, _, names in os.walk(folder):
        for name in names:
            path = Path(below, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def _clear_remote_logs(days: int) -> int:
    """Delete old logs from the lake's bucket, if that is where Airflow puts them."""
    from ingestion import Settings
    from ingestion.lake import Lake, split_uri

    remote = conf.get("logging", "remote_base_log_folder", fallback="")
    settings = Settings.from_env()
    if not remote.startswith("s3://"):
        return 0
    bucket, prefix = split_uri(remote)
    if bucket != settings.lake_bucket or not prefix:  # another bucket has rules of its own
        return 0
    lake = Lake(settings)
    before = datetime.now(UTC) - timedelta(days=days)
    old = list(lake.unchanged_since(f"{prefix.rstrip('/')}/", before))
    for key in old:
        lake.delete(key)
    return len(old)
