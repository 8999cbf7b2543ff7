"""The main job in containers, with a real Docker engine: ``python -m tests.deploy.containers``.

Brings up docker-compose.yaml in a world that stands still, loads its history and its live window,
builds the warehouse and the site, and prints the same last line as `make run` and `make cluster`
do for the same --days, --users and --until. Ends with the containers' memory, and with 1 if one of
them was started again. Nothing of it is kept.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from laptop import cluster_env
from laptop.airflow_api import AirflowApi
from laptop.environment import REPOSITORY
from laptop.main_job import SUMMARY_FIELDS, load_and_build
from laptop.world import upload_dumps
from tests.servers import free_ports

PROJECT = "daylight-test"
SITE = "daylight-lake/site/summary.json"


def main() -> int:
    """Run it once, and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.containers")
    parser.add_argument("--days", type=int, default=9)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--until", default="2026-03-02T03:00:00+00:00")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    now = datetime.fromisoformat(words.until).astimezone(ZoneInfo("Asia/Seoul"))
    with tempfile.TemporaryDirectory() as temporary:
        containers = Containers(Path(temporary))
        containers.env |= {
            "SIMULATOR_START": (now - timedelta(days=words.days)).date().isoformat(),
            "SIMULATOR_USERS": str(words.users),
            "SIMULATOR_UNTIL": words.until,
        }
        try:
            return containers.run(words.days)
        finally:
            containers.compose("down", "--volumes", "--timeout", "20")


class Containers:
    """One compose project of its own, with ports and secrets of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = cluster_env.variables(datetime.now(tz=ZoneInfo("UTC")))
        for name in ("AIRFLOW_CONNECTIONS", "AIRFLOW_SECRETS_BACKEND_KWARGS"):
            self.env[name] = self.env[name].strip("'")  # the quotes of .env
        names = ("AIRFLOW_PORT", "AWS_PORT", "SIMULATOR_PORT", "FLOWER_PORT")
        self.ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
        self.peaks: dict[str, float] = defaultdict(float)

    def compose(self, *words: str) -> str:
        """Run a command of docker compose, and return what it said."""
        env = os.environ | self.env | self.ports | {"COMPOSE_PROFILES": "local,flower"}
        command = ["docker", "compose", "--project-name", PROJECT, *words]
        done = subprocess.run(command, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"error: docker compose {words[0]} failed")
        return done.stdout

    def run(self, days: int) -> int:
        """Bring it up, do the main job, and hold the containers to what they promise."""
        self.compose("up", "--detach", "--build", "--wait")
        idle = self.memory()
        threading.Thread(target=self._watch, daemon=True).start()
        aws = f"http://127.0.0.1:{self.ports['AWS_PORT']}"
        self._upload_history(days, aws)
        password = self.folder / "admin.password"
        password.write_text(self.env["AIRFLOW_ADMIN_PASSWORD"])
        url = f"http://127.0.0.1:{self.ports['AIRFLOW_PORT']}"
        load_and_build(AirflowApi(url, "Airflow's UI", login=("admin", password), patience=180))
        with urllib.request.urlopen(f"{aws}/{SITE}", timeout=30) as answer:
            summary = json.load(answer)
        restarted = self._restarted()
        sys.stdout.write(f"{'service':<20}{'idle MiB':>9}{'peak MiB':>9}\n")
        for name, peak in sorted(self.peaks.items()):
            sys.stdout.write(f"{name:<20}{idle.get(name, 0):>9.0f}{peak:>9.0f}\n")
        sys.stdout.write(f"restarted: {restarted or 'none'}\n")
        sys.stdout.write(
            "run: " + " ".join(f"{field}={summary[field]}" for field in SUMMARY_FIELDS) + "\n"
        )
        return int(bool(restarted))

    def memory(self) -> dict[str, float]:
        """Return what each container uses now, in MiB, without the page cache."""
        form = "{{.Name}} {{.MemUsage}}"
        ids = self.compose("ps", "--quiet").split()
        command = ["docker", "stats", "--no-stream", "--format", form, *ids]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        units = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}
        found = {}
        for name, used, *_ in map(str.split, said.splitlines()):
            found[name.removeprefix(f"{PROJECT}-")] = float(used[:-3]) * units[used[-3:]]
        return found

    def _watch(self) -> None:
        while True:
            for name, used in self.memory().items():
                self.peaks[name] = max(self.peaks[name], used)

    def _upload_history(self, days: int, aws: str) -> None:
        keys, dumps = self.folder / "fernet.keys", self.folder / "dumps"
        keys.write_text(self.env["FERNET_KEYS"])
        world = ["--start", self.env["SIMULATOR_START"], "--users", self.env["SIMULATOR_USERS"]]
        world += ["--until", self.env["SIMULATOR_UNTIL"], "--keys-file", str(keys)]
        command = [sys.executable, "-m", "simulator", *world, "--history", str(days)]
        subprocess.run([*command, "--out", str(dumps)], cwd=REPOSITORY, check=True)
        upload_dumps(dumps, aws)

    def _restarted(self) -> list[str]:
        ids = self.compose("ps", "--all", "--quiet").split()
        form = "{{.Name}} {{.RestartCount}} {{.State.OOMKilled}}"
        said = subprocess.run(
            ["docker", "inspect", "--format", form, *ids],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return [line for line in said.splitlines() if not line.endswith(" 0 false")]


if __name__ == "__main__":
    sys.exit(main())
