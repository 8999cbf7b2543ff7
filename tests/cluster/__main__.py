"""The cluster itself, for real: who may do what, what listens, what is secret, what a kill leaves.

    python -m tests.cluster [--database mysql] [--days 3] [--users 200]

Begins with a cluster that is killed with SIGKILL while it works, and goes on with its data.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import urllib3

from cluster.run import RunningCluster
from cluster.settings import Cluster
from laptop.airflow_api import AirflowError
from laptop.environment import Laptop
from laptop.main_job import load_and_build, print_summary
from laptop.processes import below
from laptop.stand_ins import Options
from tests.children import ROOT
from tests.long_forms import run, say
from tests.servers import free_ports

KILLED = ("redis", "database", "api-server", "scheduler", "dag-processor", "triggerer", "worker-1")


def main() -> int:
    """Run every check; return 1 if one of them found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--database", choices=("postgresql", "mysql"), default="postgresql")
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--users", type=int, default=200)
    words = parser.parse_args()
    options = Options(True, words.days, 7, words.users, None)
    with tempfile.TemporaryDirectory(prefix="daylight-cluster-") as folder:
        Path(folder).chmod(0o711)  # the servers' own users have to get through
        aws, simulator, airflow, *rest = free_ports(6)
        laptop = Laptop(Path(folder) / "home", aws, simulator, airflow)
        cluster = Cluster(laptop, words.database, *rest)
        begin_and_kill(cluster, options)
        with RunningCluster(cluster, options) as running:
            load_and_build(running.api())
            print_summary(laptop, {})
            problems = [*who_may_what(running), *what_listens(running), *what_is_secret(running)]
            problems += logs_outlive_their_worker(running)
            problems += what_dies_comes_back(running)
        left = [each for each in psutil.process_iter() if _belongs(each, laptop.home)]
        problems += [f"left behind: {process}" for process in left]
    for problem in problems:
        say(f"PROBLEM {problem}")
    say(f"cluster: database={words.database} problems={len(problems)}")
    return 1 if problems else 0


def begin_and_kill(cluster: Cluster, options: Options) -> None:
    """Start the command that users have, and kill it alone with SIGKILL while it loads."""
    flags = ["--database", cluster.database, "--days", options.history_days]
    flags += ["--users", options.users, "--once"]
    for variable, port in cluster.ports().items():
        flags += [f"--{variable.lower().replace('_', '-')}", port]
    command = [sys.executable, "-m", "cluster", *map(str, flags)]
    env = os.environ | {"DAYLIGHT_HOME": str(cluster.home)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "list_files" in line:
                break
        else:
            raise AssertionError("the cluster ended before it loaded anything")
        process.kill()
    say("killed in the middle of load_dumps")


def who_may_what(running: RunningCluster) -> list[str]:
    """Ask as nobody, as a viewer, an operator and an administrator."""
    url = f"{running.cluster.laptop.airflow_url}/api/v2"
    flower = f"http://127.0.0.1:{running.cluster.flower_port}"
    start = ("POST", "dags/replay_quarantine/dagRuns", {"logical_date": None})
    expected: list[tuple[str, Any, int]] = [
        ("viewer", ("GET", "dags", None), 200),
        ("viewer", start, 403),
        ("viewer", ("PATCH", "dags/load_dumps", {"is_paused": True}), 403),
        ("op", start, 200),
        ("op", ("GET", "connections", None), 403),
        ("op", ("GET", "connections/daylight_metadata", None), 403),
        ("op", ("GET", "variables", None), 403),
        ("op", ("GET", "config", None), 403),
        ("admin", ("GET", "connections", None), 200),
        ("admin", ("GET", "config", None), 403),
    ]
    problems = []
    for user, (method, path, body), status in expected:
        try:
            running.api(user)._call(method, path, body)
            seen = 200
        except AirflowError as error:
            seen = int(str(error).split()[2])
        say(f"{user} {method} {path}: {seen}")
        if seen != status:
            problems.append(f"{user} {method} {path}: {seen}, not {status}")
    for method, path, body in (("GET", "dags", None), ("GET", "connections", None), start):
        seen = urllib3.request(method, f"{url}/{path}", json=body).status
        say(f"nobody {method} {path}: {seen}")
        if seen not in (401, 403):
            problems.append(f"nobody {method} {path}: {seen}")
    for path in ("/", "/api/workers"):
        if (seen := urllib3.request("GET", flower + path).status) != 401:
            problems.append(f"nobody GET {path} of Flower: {seen}")
    return problems


def what_listens(running: RunningCluster) -> list[str]:
    """Look at every socket that any part listens on."""
    return [
        f"{part.name} listens on {connection.laddr}"
        for part in running.processes.parts
        for pid in [part.process.pid, *below(part.process.pid)]
        for connection in _sockets(pid)
        if connection.status == psutil.CONN_LISTEN and connection.laddr.ip != "127.0.0.1"
    ]


def what_is_secret(running: RunningCluster) -> list[str]:
    """Look for passwords and keys where others can read: command lines, environments, logs."""
    laptop = running.cluster.laptop
    secrets = [
        path.read_text().strip().encode()
        for path in laptop.secrets.iterdir()
        if path.suffix in {".password", ".key", ".keys"}
    ]
    modes = {path.name: path.stat().st_mode & 0o777 for path in laptop.secrets.iterdir()}
    problems = [f"{name} has the mode {mode:o}" for name, mode in modes.items() if mode != 0o600]
    places = {
        f"{file.parent.name}/{file.name}": file.read_bytes()
        for folder in (laptop.home / "logs", laptop.home / "airflow" / "logs")
        for file in folder.rglob("*.log")
    }
    for part in running.processes.parts:
        for pid in [part.process.pid, *below(part.process.pid)]:
            for name in ("cmdline", "environ"):
                places[f"{part.name}/{name}"] = _read(Path(f"/proc/{pid}/{name}"))
    problems += [
        f"a secret is in {place}"
        for place, text in places.items()
        if any(secret in text for secret in secrets)
    ]
    say(f"looked for {len(secrets)} secrets in {len(places)} places")
    return problems


def logs_outlive_their_worker(running: RunningCluster) -> list[str]:
    """Kill the worker that built the warehouse, and read a model's log as the UI does."""
    airflow = running.api("viewer")
    running.part("worker-2").kill_tree()
    runs = airflow._call("GET", "dags/transform_warehouse/dagRuns?state=success")["dag_runs"]
    path = airflow._run_path("transform_warehouse", runs[-1]["dag_run_id"])
    logs = airflow._call("GET", f"{path}/taskInstances/check_marts/logs/1?full_content=true")
    text = str(logs["content"])
    local = list((running.cluster.home / "airflow" / "logs").rglob("task_id=check_marts/*.log"))
    say(f"log of check_marts: {len(text)} characters, {len(local)} local files")
    found = "s3://" in text and "INFO" in text.upper()
    return [] if found and not local else [f"log of check_marts: {text[:300]}, {local}"]


def what_dies_comes_back(running: RunningCluster) -> list[str]:
    """Kill each part with all below it; then a run has to end well, and nothing may be in doubt."""
    database = {"postgresql": "postgresql", "mysql": "mariadb"}[running.cluster.database]
    for name in KILLED:
        running.part(database if name == "database" else name).kill_tree()
        running.processes.tend()
        deadline = time.monotonic() + 180
        while not running.api().is_healthy():
            assert time.monotonic() < deadline, f"not healthy after the death of {name}"
            running.processes.tend()
            time.sleep(1)
        say(f"killed {name}: healthy again")
    try:
        running.api("op").run("ingest_access_logs", {}, say)
    except AirflowError as error:
        return [str(error)]
    return []


def _sockets(pid: int) -> list[Any]:
    try:
        return psutil.Process(pid).net_connections("inet")
    except psutil.Error:
        return []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended
        return b""


def _belongs(process: psutil.Process, home: Path) -> bool:
    try:
        return str(home) in " ".join(process.cmdline()) and process.pid != os.getpid()
    except psutil.Error:
        return False


signal.signal(signal.SIGTERM, signal.default_int_handler)
run(main)
