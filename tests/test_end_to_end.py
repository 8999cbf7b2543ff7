"""The main job, as a user runs it: real simulator, local_aws, Airflow, dbt and Great Expectations.

Judged by plain Python that reads the encrypted dumps and the API itself.
"""

import ast
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest
from cryptography.fernet import Fernet

from tests import servers

REPOSITORY = Path(__file__).resolve().parent.parent
UNTIL = "2026-03-02T03:00:00+00:00"  # noon in Seoul: the last day is incomplete
HISTORY_DAYS = 9
USERS = 300


@dataclass(frozen=True)
class Home:
    """One installation in a folder of its own, on ports of its own."""

    folder: Path
    aws_port: int
    simulator_port: int
    airflow_port: int

    def command(self) -> list[str]:
        words = [sys.executable, "-m", "laptop", "--once", "--until", UNTIL]
        words += ["--days", str(HISTORY_DAYS), "--users", str(USERS)]
        words += ["--aws-port", str(self.aws_port), "--airflow-port", str(self.airflow_port)]
        return [*words, "--simulator-port", str(self.simulator_port)]

    def start(self, output: Path) -> subprocess.Popen:
        env = os.environ | {"DAYLIGHT_HOME": str(self.folder)}
        with output.open("wb") as file:
            return subprocess.Popen(
                self.command(),
                cwd=REPOSITORY,
                env=env,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group of its own, to be killed as a whole
            )

    def run(self, output: Path) -> dict[str, int]:
        process = self.start(output)
        code = process.wait(timeout=900)
        text = output.read_text()
        assert code == 0, text[-4000:]
        return summary(text)


def summary(output: str) -> dict[str, int]:
    last = output.split("run: ")[-1].split("\n")[0]
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", last)}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> tuple[Home, dict[str, int], str]:
    folder = tmp_path_factory.mktemp("daylight")
    home = Home(folder / "home", *servers.free_ports(3))
    figures = home.run(folder / "first.log")
    return home, figures, (folder / "first.log").read_text()


@pytest.fixture(scope="module")
def offered(first_run) -> list[dict]:
    """Every record that the source has, decrypted and parsed without any code of ours."""
    home, _, _ = first_run
    fernet = Fernet((home.folder / "secrets" / "fernet.keys").read_text().split()[0])
    envelopes = []
    for dump in sorted((home.folder / "dumps").glob("*.ndjson.gz")):
        with gzip.open(dump, "rt") as lines:
            envelopes += [json.loads(line) for line in lines]
    envelopes += live(home, after=max(envelope["recordId"] for envelope in envelopes))
    return [ast.literal_eval(fernet.decrypt(each["data"]).decode()) for each in envelopes]


def live(home: Home, after: int) -> list[dict]:
    world = json.loads((home.folder / "world.json").read_text())
    words = ["--keys-file", home.folder / "secrets" / "fernet.keys", "--seed", world["seed"]]
    words += ["--start", world["start"], "--until", UNTIL, "--users", USERS]
    found: list[dict] = []
    with servers.simulator(home.folder.parent / "simulator.log", *words) as url:
        while True:
            with urlopen(f"{url}?after={after}&limit=500", timeout=30) as reply:
                page = json.load(reply)
            if not page:
                return found
            found += page
            after = page[-1]["recordId"]


def seoul_day(record: dict) -> date:
    # The simulator's clock is Seoul's wall time with a false Z, so its date is the Korean day.
    return datetime.fromisoformat(record["inDate"].rstrip("Z")).date()


def active_users(records: list[dict], last: date, days: int) -> int:
    window = {last - timedelta(days=back) for back in range(days)}
    return len(
        {
            record["user_id"]
            for record in records
            if seoul_day(record) in window
            and record["detail"]["levelname"] not in ("ERROR", "CRITICAL")
        }
    )


def test_the_summary_equals_what_plain_python_counts_at_the_source(first_run, offered):
    _, figures, _ = first_run
    last_complete_day = max(map(seoul_day, offered)) - timedelta(days=1)

    assert last_complete_day == date(2026, 3, 1)
    assert figures["good"] == figures["offered"] == len(offered) > 1000
    assert figures["quarantined"] == figures["duplicate"] == 0
    assert figures["dau"] == active_users(offered, last_complete_day, 1) > 10
    assert figures["wau"] == active_users(offered, last_complete_day, 7)
    assert figures["mau"] == active_users(offered, last_complete_day, 28)


def test_every_model_and_test_of_the_project_ran_but_the_nightly_ones(first_run):
    _, figures, _ = first_run
    manifest = json.loads((REPOSITORY / "dbt_project/target/manifest.json").read_text())
    kinds = Counter(
        node["resource_type"]
        for node in manifest["nodes"].values()
        if "nightly" not in node["tags"]  # verify_warehouse's
    )

    assert figures["models"] == kinds["model"]
    assert figures["tests"] == kinds["test"]
    assert figures["expectations"] > 20


def test_nothing_secret_or_personal_is_anywhere_but_where_it_belongs(first_run, offered):
    home, _, output = first_run
    secrets = [path.read_text().strip() for path in (home.folder / "secrets").iterdir()]
    canaries = [*secrets, offered[0]["user_id"], offered[-1]["user_id"]]
    canaries += [f"'user_id': '{offered[0]['user_id'][:12]}", "'levelname': "]
    allowed = {home.folder / "secrets", home.folder / "dumps"}

    leaks = []
    for path in home.folder.rglob("*"):
        if path.is_file() and not allowed & set(path.parents):
            content = path.read_bytes()
            if content[:2] == b"\x1f\x8b":
                content = gzip.decompress(content)
            leaks += [str(path) for canary in canaries if canary.encode() in content]
    tracked = subprocess.run(["git", "grep", "-lF", secrets[0]], cwd=REPOSITORY)

    assert not leaks
    assert not [canary for canary in canaries if canary in output]
    assert tracked.returncode == 1, "a secret of this machine is in git"


def test_raw_parquet_holds_no_raw_user_id_even_decompressed(first_run, offered):
    import pyarrow.parquet as pq

    home, _, _ = first_run
    known = {record["user_id"] for record in offered}
    files = sorted((home.folder / "aws" / "objects").glob("*/raw/access_logs/dt=*/*"))

    stored = [row for path in files for row in pq.read_table(path, partitioning=None).to_pylist()]

    assert len(stored) == len(offered)
    assert len({row["user_id"] for row in stored}) == len(known)
    for row in stored:
        assert row["user_id"].hex() not in known
        assert not any(isinstance(value, str) and value in known for value in row.values())


def test_a_second_run_on_nothing_but_the_lake_changes_no_number(first_run):
    home, figures, _ = first_run
    shutil.rmtree(home.folder / "airflow")  # its database, with every run and every task's state

    again = home.run(home.folder.parent / "second.log")

    assert again == figures


def test_a_killed_run_started_again_ends_with_the_same_numbers(first_run, tmp_path):
    _, undisturbed, _ = first_run
    home = Home(tmp_path / "home", *servers.free_ports(3))
    victim = home.start(tmp_path / "killed.log")
    deadline = time.monotonic() + 600
    while "transform_warehouse 2/" not in (tmp_path / "killed.log").read_text():
        assert victim.poll() is None, (tmp_path / "killed.log").read_text()[-4000:]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()

    resumed = home.run(tmp_path / "resumed.log")

    assert resumed == undisturbed
