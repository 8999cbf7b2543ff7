"""Where things are on this machine, and the environment that every part is started with."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
EXECUTABLES = REPOSITORY / ".venv" / "bin"
LOCAL_AWS_PYTHON = REPOSITORY / "local_aws" / ".venv" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Laptop:
    """One installation of the embedded default: its folder, its ports, its simulated world."""

    home: Path
    """Everything that lasts: secrets, lake, Airflow's database, logs. Git ignores it."""

    aws_port: int
    simulator_port: int
    airflow_port: int

    @property
    def secrets(self) -> Path:
        """The folder of secret files."""
        return self.home / "secrets"

    @property
    def aws_url(self) -> str:
        """The endpoint of S3, Glue, Athena and Secrets Manager."""
        return f"http://127.0.0.1:{self.aws_port}"

    @property
    def simulator_url(self) -> str:
        """The address of the simulated log API's server."""
        return f"http://127.0.0.1:{self.simulator_port}"

    @property
    def airflow_url(self) -> str:
        """The address of Airflow's UI and API."""
        return f"http://127.0.0.1:{self.airflow_port}"

    def daylight(self) -> dict[str, str]:
        """What ingestion, expectations, dashboard and dbt read. On AWS ``aws`` is unset."""
        return self.aws() | {
            "ATHENA_POLL_INTERVAL": "0.05",  # seconds; local_aws answers at once
            "LAKE_BUCKET": "daylight-lake",
            "SOURCE_URL": f"{self.simulator_url}/api/data/log",
            # With a cursor a laptop that slept for a week fetches the whole week.
            "SOURCE_PAGING": "cursor",
            "FERNET_KEYS_FILE": str(self.secrets / "fernet.keys"),
            "PSEUDONYM_KEY_FILE": str(self.secrets / "pseudonym.key"),
            "AIRFLOW_URL": self.airflow_url,
            "DBT_PROFILES_DIR": str(REPOSITORY / "dbt_project"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DO_NOT_TRACK": "1",
        }

    def aws(self) -> dict[str, str]:
        """Where AWS is: here, local_aws."""
        return {
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ACCESS_KEY_ID": "laptop",
            "AWS_SECRET_ACCESS_KEY": "laptop",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
        }

    def airflow_anywhere(self) -> dict[str, str]:
        """Airflow's configuration on one machine, whatever runs its tasks and keeps its users."""
        home = self.home / "airflow"
        return {
            "AIRFLOW__CORE__FERNET_KEY_CMD": self.read_secret("airflow_fernet.key"),
            "AIRFLOW__API_AUTH__JWT_SECRET_CMD": self.read_secret("airflow_jwt.key"),
            "AIRFLOW__API__SECRET_KEY_CMD": self.read_secret("airflow_api.key"),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # Seconds between two looks while nothing happens: half of it waits behind each model.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.airflow_port),
            "AIRFLOW__API__WORKERS": "1",
            # A busy machine answers late; after five times five seconds a task would be red.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            # What ran and what it read, for the site; build_site shortens the file.
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "daylight",
            "AIRFLOW__OPENLINEAGE__DISABLE_SOURCE_CODE": "True",
            # In the task itself: a fork for each event cost as much as the rest of the event.
            "AIRFLOW__OPENLINEAGE__EXECUTE_IN_THREAD": "True",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(home / "openlineage"), "append": True}
            ),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
            "AIRFLOW__COSMOS__CACHE_DIR": str(home / "cosmos"),
            # Airflow's UI shows under Browse what build_site has put there.
            "AIRFLOW__COSMOS__DBT_DOCS_PROJECTS": json.dumps(
                {"daylight": {"dir": str(self.home / "dbt_docs"), "name": "dbt docs"}}
            ),
        }

    def airflow(self) -> dict[str, str]:
        """Airflow's configuration of `make run`: SQLite, no login, loopback only."""
        database = f"sqlite:///{self.home / 'airflow' / 'airflow.db'}?timeout=60"
        return self.airflow_anywhere() | {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "3",
            # No login: the API listens on loopback and nowhere else.
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            # SQLite has one writer at a time; on a busy machine its turn may take longer than the
            # five seconds after which the others would fail.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            # What expire_history cleans; from Airflow's own setting tasks are cut off.
            "AIRFLOW_CONN_DAYLIGHT_METADATA": json.dumps(
                {"conn_type": "generic", "password": database}
            ),
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'laptop' / 'preload'}",
        }

    def read_secret(self, name: str) -> str:
        """Return the command by which Airflow reads a secret, so that no environment has it."""
        return f"cat '{self.secrets / name}'"

    def shell(self) -> dict[str, str]:
        """What every part of `make run` is started with."""
        return inherited(self.home, self.daylight() | self.airflow())

    def write_activate(self) -> Path:
        """Write the file that a user sources to work on this lake from a shell."""
        lines = ["# Written by `make run`. Source it: . .daylight/activate"]
        variables = self.daylight() | {"DAYLIGHT_HOME": str(self.home)}
        lines += [f"export {name}='{value}'" for name, value in variables.items()]
        lines += [f"export PATH='{EXECUTABLES}':\"$PATH\"", ""]
        path = self.home / "activate"
        path.write_text("\n".join(lines))
        return path


def inherited(home: Path, ours: Mapping[str, str]) -> dict[str, str]:
    """The user's own environment with ours on top, and our commands first on the path."""
    users = dict(os.environ)  # noqa: TID251  the edge: what children inherit
    # OpenTelemetry's own variable is the one setting for Airflow's metrics.
    is_measured = "OTEL_EXPORTER_OTLP_ENDPOINT" in users
    metrics = {"AIRFLOW__METRICS__OTEL_ON": "True"} if is_measured else {}
    path = f"{EXECUTABLES}{os.pathsep}{users.get('PATH', '')}"
    return users | dict(ours) | metrics | {"DAYLIGHT_HOME": str(home), "PATH": path}
