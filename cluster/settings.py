"""Where the cluster's parts are, and the environment that each of them is started with."""

import os
from dataclasses import dataclass
from pathlib import Path

import deploy
from laptop.environment import REPOSITORY, Laptop, inherited

LOGS = "s3://daylight-lake/airflow-logs"
"""Task logs, beside the data: expire_history removes the old ones."""

QUEUES_OF_WORKERS = {"worker-1": ("ingest",), "worker-2": ("transform", "ingest")}
"""The first is never busy with the warehouse, so a poll waits for no build; the second helps with
loading while there is nothing to build."""

SHARED_SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__AUTH_MANAGER": (
        "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    ),
    # safety/users.py makes the roles, narrower than FAB would at each start.
    "AIRFLOW__FAB__UPDATE_FAB_PERMS": "False",
    "AIRFLOW__API__EXPOSE_CONFIG": "False",
    "AIRFLOW__API__EXPOSE_STACKTRACE": "False",
    # A task that names no queue must not wait for ever in one that nobody serves.
    "AIRFLOW__OPERATORS__DEFAULT_QUEUE": "ingest",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": LOGS,
    # What is in S3 is what the UI shows, also after the worker is gone.
    "AIRFLOW__LOGGING__DELETE_LOCAL_LOGS": "True",
    # Seconds without a sign of life after which a task's worker counts as dead; default 300.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    # A message that a dead worker had taken goes to another one after so long; default a day.
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "21600",
}
"""What docker-compose.yaml sets as well, word for word: a test compares the two."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One installation of the cluster form on one machine."""

    laptop: Laptop
    """Folder, ports and stand-ins, as in `make run`."""

    database: str
    """`postgresql` or `mysql` (MariaDB): what keeps Airflow's metadata."""

    database_port: int
    redis_port: int
    flower_port: int
    dags_repository: str = ""
    """Where the DAGs come from, each run with its commit; empty: from this folder."""

    dags_ref: str = "production"

    @property
    def home(self) -> Path:
        """Everything that lasts, but the servers' data where they refuse to run as root."""
        return self.laptop.home

    def ports(self) -> dict[str, int]:
        """Every port, by the variable that moves it."""
        return {
            "AWS_PORT": self.laptop.aws_port,
            "SIMULATOR_PORT": self.laptop.simulator_port,
            "AIRFLOW_PORT": self.laptop.airflow_port,
            "DATABASE_PORT": self.database_port,
            "REDIS_PORT": self.redis_port,
            "FLOWER_PORT": self.flower_port,
        }

    def urls(self, secret: dict[str, str]) -> dict[str, str]:
        """Return the addresses with a password in them, by the name of their secret file."""
        host = f"127.0.0.1:{self.database_port}/airflow"
        driver = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql"}[self.database]
        login = f"airflow:{secret['database.password']}"
        options = "?charset=utf8mb4" if self.database == "mysql" else ""
        return {
            "database.url": f"{driver}://{login}@{host}{options}",
            "results.url": f"db+{driver}://{login}@{host}{options}",
            "broker.url": f"redis://:{secret['redis.password']}@127.0.0.1:{self.redis_port}/0",
            "flower.login": f"admin:{secret['flower.password']}",
        }

    def airflow(self) -> dict[str, str]:
        """Airflow's configuration of every part; secrets are read from files by a command."""
        read = self.laptop.read_secret
        at_start = REPOSITORY / "laptop" / "preload"  # includes safety/at_start
        return (
            self.laptop.airflow_anywhere()
            | self.laptop.aws()  # for the task logs
            | SHARED_SETTINGS
            | {
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": read("database.url"),
                "AIRFLOW__CELERY__RESULT_BACKEND_CMD": read("results.url"),
                "AIRFLOW__CELERY__BROKER_URL_CMD": read("broker.url"),
                "AIRFLOW__CELERY__FLOWER_BASIC_AUTH_CMD": read("flower.login"),
                "AIRFLOW__CELERY__FLOWER_HOST": "127.0.0.1",
                "AIRFLOW__CELERY__FLOWER_PORT": str(self.flower_port),
                # Connections and variables from a file that only we read; AWS: Secrets Manager.
                "AIRFLOW__SECRETS__BACKEND": (
                    "airflow.secrets.local_filesystem.LocalFilesystemBackend"
                ),
                "AIRFLOW__SECRETS__BACKEND_KWARGS": self._secrets_files(),
                **self._bundles(),
                "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{at_start}",
            }
        )

    def _bundles(self) -> dict[str, str]:
        if not self.dags_repository:
            return {}
        bundles = deploy.bundles(self.dags_repository, self.dags_ref)
        storage = self.home / "airflow" / "bundles"
        return {
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(storage),
        }

    def _secrets_files(self) -> str:
        folder = self.laptop.secrets
        return (
            f'{{"connections_file_path": "{folder / "connections.json"}", '
            f'"variables_file_path": "{folder / "variables.json"}"}}'
        )

    def shell(self) -> dict[str, str]:
        """What every part is started with; only workers get `Laptop.daylight` on top."""
        return inherited(self.home, self.airflow())
