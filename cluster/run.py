"""`make cluster`: the main job on two Celery workers, then on schedule until Ctrl-C."""

from typing import Self
from urllib.parse import urlsplit

import boto3

from cluster import secret_files
from cluster.servers import Servers
from cluster.settings import LOGS, QUEUES_OF_WORKERS, Cluster
from laptop.airflow_api import AirflowApi
from laptop.environment import EXECUTABLES, REPOSITORY
from laptop.main_job import report, wait_for_airflow
from laptop.processes import Part, Processes, assert_ports_free, stop_leftovers
from laptop.stand_ins import (
    OnlyRun,
    Options,
    note_migration,
    parse_dbt,
    start_local_aws,
    start_world,
)

PATIENCE = 180.0
"""Seconds for which a question to the API is repeated: a killed server is started again."""


class RunningCluster:
    """All parts of one cluster, from entering to leaving; nothing outlives it.

    Parts that die are started again when ``tend`` is called, which ``api`` does while it waits.
    """

    def __init__(self, cluster: Cluster, options: Options) -> None:
        self.cluster = cluster
        self._options = options
        self._lock = OnlyRun(cluster.home)
        self.processes = Processes(cluster.shell(), REPOSITORY, cluster.home / "logs", report)

    def __enter__(self) -> Self:
        self._lock.__enter__()
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def part(self, name: str) -> Part:
        """Return a part by the name of its log: `redis`, `postgresql`, `scheduler`, `worker-1`…"""
        return next(part for part in self.processes.parts if part.name == name)

    def api(self, user: str = "admin") -> AirflowApi:
        """Return Airflow's API as one of its users."""
        return AirflowApi(
            self.cluster.laptop.airflow_url,
            LOGS,
            login=(user, self.cluster.laptop.secrets / f"{user}.password"),
            meanwhile=self.processes.tend,
            patience=PATIENCE,
        )

    def _start(self) -> None:
        cluster, laptop, processes = self.cluster, self.cluster.laptop, self.processes
        if leftovers := stop_leftovers(cluster.home):
            report(f"stopped {leftovers} processes that an earlier run left behind")
        assert_ports_free(cluster.ports(), "make cluster")
        passwords = secret_files.ensure(cluster)
        Servers(cluster, processes, passwords).start()
        report(f"servers: Redis and {cluster.database}")
        migrate = [EXECUTABLES / "airflow", "db", "migrate"]
        migration = processes.start("airflow-migrate", migrate, is_job=True)
        start_local_aws(laptop, processes, is_kept=True)
        _make_logs_bucket(laptop.aws_url)
        start_world(laptop, self._options, processes, is_kept=True)
        parse_dbt(laptop, processes)
        processes.finish(migration)
        note_migration(cluster.home)
        users = [EXECUTABLES / "python", "-m", "safety.users", laptop.secrets]
        processes.run("airflow-users", users)
        report("airflow: users admin, op, viewer; their passwords are in " + str(laptop.secrets))
        self._start_airflow()

    def _start_airflow(self) -> None:
        airflow = EXECUTABLES / "airflow"
        parts = {
            "api-server": ["api-server"],
            "scheduler": ["scheduler", "--skip-serve-logs"],
            "dag-processor": ["dag-processor"],
            "triggerer": ["triggerer", "--skip-serve-logs"],
        }
        server, *_ = (
            self.processes.start(name, [airflow, *words], is_kept=True)
            for name, words in parts.items()
        )
        for name, queues in QUEUES_OF_WORKERS.items():
            words = ["--queues", ",".join(queues), "--celery-hostname", f"{name}@daylight"]
            words += ["--skip-serve-logs", "--without-gossip", "--without-mingle"]
            self.processes.start(
                name,
                [airflow, "celery", "worker", *words],
                env=self.cluster.laptop.daylight(),  # only here are the data's keys known
                is_kept=True,
            )
        self.processes.start("flower", [airflow, "celery", "flower"], is_kept=True)
        wait_for_airflow(self.api(), self.processes, server)

    def _stop(self) -> None:
        report("stopping")
        self.processes.stop()
        stop_leftovers(self.cluster.home)
        self._lock.__exit__()
        report("stopped; nothing is left running")


def _make_logs_bucket(aws_url: str) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=aws_url,
        region_name="us-east-1",
        aws_access_key_id="laptop",
        aws_secret_access_key="laptop",
    )
    s3.create_bucket(Bucket=urlsplit(LOGS).netloc)
