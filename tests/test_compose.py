"""The cluster's files keep their promises; whether it comes up is tried by hand (README)."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.settings import QUEUES_OF_WORKERS, SHARED_SETTINGS, Cluster
from ingestion import Settings
from laptop.environment import Laptop

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()

CLUSTER: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = CLUSTER["services"]

SECRET_NAME = re.compile(r"KEY|SECRET|PASSWORD|AUTH|TOKEN|CONN|BROKER_URL|RESULT_BACKEND")
REQUIRED = re.compile(r"\$\{[A-Z_]+:\?run make env\}")

NOT_SECRET = {
    "AIRFLOW__CORE__AUTH_MANAGER",
    "AIRFLOW__SECRETS__BACKEND",
    "AIRFLOW_CONN_GIT_DEFAULT",
}
"""Names that sound like it; the last one is a secret only where .env sets it."""

WORKERS = {"worker-ingest": ["ingest"], "worker-transform": ["transform", "ingest"]}

every_service = pytest.mark.parametrize("name", SERVICES)


def test_compose_file_follows_the_compose_schema() -> None:
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]

    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_compose_has_the_whole_cluster_and_profiles_for_the_rest() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}

    always = {name for name, chosen in profiles.items() if not chosen}
    assert always == {
        "postgres",
        "redis",
        "airflow-init",
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer",
        *WORKERS,
    }
    assert profiles["flower"] == ["flower"]
    assert profiles["local_aws"] == profiles["simulator"] == ["local"]


@every_service
def test_compose_service_has_a_health_check(name: str) -> None:
    check = SERVICES[name].get("healthcheck", {})

    assert check.get("test", [""])[0] in ("CMD", "CMD-SHELL"), f"Give {name} a healthcheck."
    assert not check.get("disable")
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


@every_service
def test_compose_service_has_a_memory_limit(name: str) -> None:
    limit = SERVICES[name].get("mem_limit", "")

    assert re.fullmatch(r"\d+[mg]", limit), f"Give {name} a mem_limit."


@every_service
def test_compose_service_listens_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{name} must publish 127.0.0.1:…, not {port}."


@every_service
def test_compose_service_runs_without_privileges(name: str) -> None:
    service = SERVICES[name]

    assert service.get("user", "root") not in ("root", "0", "0:0"), f"Give {name} a user."
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid"}


@every_service
def test_compose_service_takes_its_secrets_from_variables(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    secret = {key: value for key, value in environment.items() if SECRET_NAME.search(key)}

    for key, value in secret.items():
        is_harmless = value is None or key in NOT_SECRET or key.endswith("_FILE")
        assert is_harmless or REQUIRED.search(value), (
            f"{key} of {name} must come from .env, and be required."
        )
    assert "env_file" not in SERVICES[name]


def test_compose_keeps_every_secret_variable_out_of_command_lines() -> None:
    for name, service in SERVICES.items():
        command = service.get("command", [])
        text = command if isinstance(command, str) else "\n".join(command)

        found = [found for found in re.findall(r"\$\{(\w+)", text) if SECRET_NAME.search(found)]
        assert not found, f"{name} shows {found} to everybody who lists processes."


def test_compose_gives_each_secret_to_those_only_who_need_it() -> None:
    holders: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for secret in service.get("secrets", []):
            holders.setdefault(secret["source"], set()).add(name)

    assert holders.pop("connections") == {
        name for name, service in SERVICES.items() if "AIRFLOW__CORE__EXECUTOR" in str(service)
    }
    assert holders.pop("fernet_keys") == {*WORKERS, "simulator"}
    assert holders.pop("pseudonym_key") == set(WORKERS)
    assert set(holders) == {"admin_password", "op_password", "viewer_password"}
    assert all(names == {"airflow-init"} for names in holders.values())
    assert all("environment" in secret for secret in CLUSTER["secrets"].values())


@pytest.mark.parametrize("name", WORKERS)
def test_compose_worker_serves_the_queues_of_the_cluster(name: str) -> None:
    command = SERVICES[name]["command"]

    queues = tuple(command[command.index("--queues") + 1].split(","))

    assert queues == tuple(WORKERS[name])
    assert queues in QUEUES_OF_WORKERS.values()


DIFFERENT = {
    "AIRFLOW_HOME": "a container's folder",
    "AIRFLOW__CORE__DAGS_FOLDER": "a container's folder",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "another host",
    "AIRFLOW__API__BASE_URL": "the port is compose's",
    "AIRFLOW__API__HOST": "a container listens for the others; its port is published on loopback",
    "AIRFLOW__API__PORT": "compose publishes it",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "a container's folder",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "containers log to Docker",
    "AIRFLOW__OPENLINEAGE__TRANSPORT": "a container's folder",
    "AIRFLOW__COSMOS__CACHE_DIR": "a container's folder",
    "AIRFLOW__COSMOS__DBT_DOCS_PROJECTS": "a container's folder",
    "AIRFLOW__CELERY__FLOWER_HOST": "as AIRFLOW__API__HOST",
    "AIRFLOW__CELERY__FLOWER_PORT": "compose publishes it",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": "a container's folder",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": "where production's branch is the default",
    "AIRFLOW__SECRETS__BACKEND_KWARGS": "a container's folder",
}
"""What differs from `make cluster`, and why."""


def test_compose_runs_airflow_with_the_settings_of_make_cluster() -> None:
    image = dict(re.findall(r"(\w+)=(\S+)", DOCKERFILE))
    environment = SERVICES["scheduler"]["environment"]
    ours = image | {name: _defaults_of(str(value)) for name, value in environment.items()}
    cluster = Cluster(Laptop(ROOT / "none", 1, 2, 3), "postgresql", 4, 5, 6)
    theirs = {
        name: value
        for name, value in cluster.airflow().items()
        if name.startswith("AIRFLOW_") and not name.endswith("_CMD") and name not in DIFFERENT
    }

    wrong = {name: (ours.get(name), value) for name, value in theirs.items()}
    wrong = {name: pair for name, pair in wrong.items() if pair[0] != pair[1]}

    assert SHARED_SETTINGS.items() <= theirs.items()
    assert not wrong, f"Make docker-compose.yaml and cluster/settings.py equal: {wrong}"


def _defaults_of(text: str) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_compose_worker_is_given_every_setting() -> None:
    given = SERVICES["worker-ingest"]["environment"].keys()
    as_files = {secret["environment"] for secret in CLUSTER["secrets"].values()}

    missing = set(Settings.variables()) - given - as_files

    assert not missing, f"Pass {sorted(missing)} to the worker in docker-compose.yaml."
    assert not as_files & given, "They are files in the container: of each pair only one may be."


@pytest.mark.parametrize("name", ["FERNET_KEYS", "PSEUDONYM_KEY"])
def test_compose_worker_has_each_key_from_one_place_with_and_without_a_secret(name: str) -> None:
    template = SERVICES["worker-ingest"]["environment"]

    for chosen in ({name: "x"}, {name: "", f"{name}_FILE": "", f"{name}_SECRET": "daylight/x"}):
        given = {
            key: chosen.get(key, "") if value is None else _filled_in(value, chosen)
            for key, value in template.items()
            if key in (name, f"{name}_FILE", f"{name}_SECRET")
        }

        assert len([value for value in given.values() if value]) == 1, given


def _filled_in(text: str, variables: dict[str, str]) -> str:
    """Compose's ``${NAME-default}``: the default only where the variable is not set at all."""
    return re.sub(r"\$\{(\w+)-([^}]*)\}", lambda m: variables.get(m[1], m[2]), text)


def test_compose_airflow_is_not_open_to_everybody() -> None:
    for service in (
        service for service in SERVICES.values() if "AIRFLOW__CORE__EXECUTOR" in str(service)
    ):
        environment = service["environment"]

        assert environment["AIRFLOW__CORE__AUTH_MANAGER"].endswith("FabAuthManager")
        assert environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
        assert environment["AIRFLOW__API_AUTH__JWT_SECRET"] == "${AIRFLOW_JWT_SECRET:?run make env}"
    assert "BASIC_AUTH" in str(SERVICES["flower"]["environment"])


def test_compose_restarts_what_stops_except_the_migration() -> None:
    policies = {name: service["restart"] for name, service in SERVICES.items()}

    assert policies.pop("airflow-init") == "no"
    assert set(policies.values()) == {"unless-stopped"}
    for name in ("api-server", "scheduler", "dag-processor", "triggerer", *WORKERS):
        condition = SERVICES[name]["depends_on"]["airflow-init"]["condition"]
        assert condition == "service_completed_successfully"


def test_dockerfile_installs_the_locks_with_hashes_and_runs_as_nobody_special() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    finals = {
        stage.split()[2]: stage for stage in stages if stage.split()[2] in ("airflow", "local_aws")
    }

    assert finals.keys() == {"airflow", "local_aws"}
    for stage in finals.values():
        assert re.findall(r"^USER (.+)$", stage, flags=re.MULTILINE)[-1] == "daylight"
    for install in re.findall(r"pip sync.*", DOCKERFILE):
        assert "--require-hashes" in install
    assert "dbt parse" in finals["airflow"]
    # Or each start and each chosen model would fail to parse: dbt writes what it has parsed.
    assert "chown -R daylight:daylight /opt/daylight/dbt_project/target" in finals["airflow"]
    for service in SERVICES.values():
        if "build" in service:
            assert service["build"]["target"] in finals


def test_dockerfile_needs_no_newer_builder() -> None:
    assert not re.search(r"^#\s*syntax\s*=", DOCKERFILE, flags=re.MULTILINE)
    assert "<<" not in DOCKERFILE


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".daylight/secrets/fernet.keys",
        ".venv/bin/python",
        "local_aws/.venv/bin/python",
        "local_aws/tests/test_s3.py",
        "dbt_project/target/manifest.json",
        "tests/test_compose.py",
        "laptop/secret_files.py",
        "cluster/run.py",
    ],
)
def test_dockerignore_keeps_out(path: str) -> None:
    assert not _is_sent(path)


@pytest.mark.parametrize(
    "path",
    [
        "requirements.lock",
        "local_aws/requirements.lock",
        "local_aws/__main__.py",
        "dags/ingest_access_logs.py",
        "dbt_project/models/staging/any.sql",
        "ingestion/sources/any.py",
        "simulator/__main__.py",
        "expectations/any.css",
        "dashboard/any.py",
        "deploy/bundle.py",
        "laptop/preload/airflow_local_settings.py",
        "safety/users.py",
    ],
)
def test_dockerignore_lets_in(path: str) -> None:
    assert _is_sent(path)


def _is_sent(path: str) -> bool:
    """Apply .dockerignore as far as this file uses it: the last pattern that matches decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        if _matches(path, pattern):
            sent = line.startswith("!")
    return sent


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        pattern = pattern.removeprefix("**/")
        return any(fnmatch(part, pattern) for part in path.split("/"))
    if pattern.endswith("/**"):
        return path.startswith(pattern.removesuffix("**"))
    parts, wanted = path.split("/"), pattern.split("/")
    # A folder that matches takes everything inside it along.
    return len(parts) >= len(wanted) and all(map(fnmatch, parts, wanted))
