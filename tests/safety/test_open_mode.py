import subprocess
from pathlib import Path

import pytest

from cluster.settings import Cluster
from laptop.environment import Laptop
from safety import open_mode
from tests.children import ROOT
from tests.servers import free_ports

FOLDERS = ("safety/at_start", "laptop/preload")


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ([], "127.0.0.9"),
        (["airflow", "api-server", "--host", "10.0.0.1"], "10.0.0.1"),
        (["airflow", "api-server", "--host=10.0.0.1"], "10.0.0.1"),
        (["airflow", "api-server", "-H", "10.0.0.1"], "10.0.0.1"),
        (["airflow", "api-server", "-H10.0.0.1"], "10.0.0.1"),
    ],
)
def test_the_address_is_the_command_s_or_else_the_setting_s(words, address, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__HOST", "127.0.0.9")

    assert open_mode.listening_address(words) == address


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_is_this_machine_alone(address):
    assert open_mode.is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "", "10.0.0.1", "daylight.example", "*"])
def test_every_other_address_is_open_to_others(address):
    assert not open_mode.is_loopback(address)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_api_server_does_not_start_open_on_every_address(folder: str, tmp_path: Path):
    done = start_api_server(tmp_path, folder, "0.0.0.0")

    assert done.returncode == 1
    assert "error: Airflow would listen on 0.0.0.0 with everybody as admin" in done.stderr
    assert "Listen on 127.0.0.1" in done.stderr


@pytest.mark.parametrize("form", ["laptop", "cluster", "image", "one server"])
def test_every_form_has_the_check_on_its_path(form: str):
    laptop = Laptop(ROOT / "none", 1, 2, 3)
    unit = ROOT / "deploy" / "systemd" / "daylight-.service.d" / "common.conf"
    texts = {
        "laptop": laptop.airflow()["PYTHONPATH"],
        "cluster": Cluster(laptop, "postgresql", 4, 5, 6).airflow()["PYTHONPATH"],
        "image": (ROOT / "Dockerfile").read_text() + (ROOT / "docker-compose.yaml").read_text(),
        "one server": unit.read_text(),
    }

    assert any(folder in texts[form] for folder in FOLDERS), f"{form} could start open."


def start_api_server(home: Path, folder: str, host: str) -> subprocess.CompletedProcess[str]:
    """Start the real one as `make run` would, and wait for its end."""
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{ROOT}:{ROOT / folder}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__HOST": host,
        "AIRFLOW__API__PORT": str(free_ports(1)[0]),
    }
    command = [ROOT / ".venv" / "bin" / "airflow", "api-server"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
