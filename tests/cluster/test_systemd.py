import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cluster.settings import QUEUES_OF_WORKERS, SHARED_SETTINGS
from tests.children import ROOT

UNITS = ROOT / "deploy" / "systemd"
COMMON = (UNITS / "daylight-.service.d" / "common.conf").read_text()
SERVICES = sorted(UNITS.glob("daylight-*.service"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_systemd_finds_no_fault_with_the_units(tmp_path: Path):
    units = installed_here(tmp_path)
    names = [*(path.name for path in SERVICES if "@" not in path.name), "daylight.target"]
    names += [f"daylight-worker@{queue}.service" for queue in ("ingest", "transform")]

    done = verify(units, *names)

    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "daylight" in line], done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_it_would_find_one(tmp_path: Path):
    units = installed_here(tmp_path)
    common = units / "daylight-.service.d" / "common.conf"
    common.write_text(COMMON.replace("ProtectSystem=strict", "ProtectSystem=stern"))

    assert "Failed to parse protect system" in verify(units, "daylight-scheduler.service").stderr


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_every_unit_has_a_limit_and_no_secret_in_its_command(path: Path):
    text = path.read_text()

    assert re.search(r"^MemoryMax=\d+[MG]$", text, re.MULTILINE), f"Give {path.name} a MemoryMax."
    for command in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE):
        assert not re.search(r"password=|://", command), "Everybody can read a command line."


def test_what_dies_is_started_again_and_runs_without_rights():
    for line in ("Restart=always", "User=daylight", "NoNewPrivileges=yes", "ProtectSystem=strict"):
        assert f"\n{line}\n" in COMMON


def test_the_settings_are_the_cluster_s():
    lines = (UNITS / "airflow.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert settings | SHARED_SETTINGS == settings
    assert settings["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_the_workers_of_the_target_serve_every_queue():
    target = (UNITS / "daylight.target").read_text()
    queues = {queue for served in QUEUES_OF_WORKERS.values() for queue in served}

    assert set(re.findall(r"daylight-worker@(\w+)\.service", target)) == queues


def installed_here(folder: Path) -> Path:
    """Copy the units, with the commands where they are on this machine."""
    units = folder / "units"
    shutil.copytree(UNITS, units)
    for path in units.rglob("*"):
        if path.suffix in {".service", ".conf"}:
            path.write_text(path.read_text().replace("/opt/daylight", str(ROOT)))
    return units


def verify(units: Path, *names: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "verify", "--man=no", *names]
    env = {"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{units}:"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)
