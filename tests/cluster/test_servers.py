import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest
import redis

from cluster import secret_files, servers
from cluster.servers import Servers
from cluster.settings import Cluster
from laptop.environment import Laptop
from laptop.processes import Processes, StartError
from tests.children import ROOT
from tests.servers import free_ports


def lacking(database: str) -> str:
    return "; ".join(servers.missing(database))


def is_there(database: str) -> Any:
    return pytest.mark.skipif(bool(lacking(database)), reason=lacking(database) or "installed")


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="daylight-") as folder:
        Path(folder).chmod(0o711)  # the servers' own users have to get through
        yield Path(folder) / "home"


class Started:
    """The servers of one home; left in order, or killed."""

    def __init__(self, home: Path, database: str) -> None:
        home.mkdir(exist_ok=True)
        ports = free_ports(3)
        self.cluster = Cluster(Laptop(home, 0, 0, 0), database, *ports)
        self.processes = Processes(os.environ, ROOT, home / "logs")
        self.passwords = secret_files.ensure(self.cluster)

    def __enter__(self) -> "Started":
        Servers(self.cluster, self.processes, self.passwords).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.stop()

    def query(self, *statements: str, password: str | None = None) -> Any:
        where = {
            "host": "127.0.0.1",
            "port": self.cluster.database_port,
            "user": "airflow",
            "password": self.passwords["database.password"] if password is None else password,
            "database": "airflow",
        }
        driver = psycopg2 if self.cluster.database == "postgresql" else pymysql
        connection = driver.connect(**where)
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        connection.close()
        return rows


@pytest.mark.parametrize(
    "database",
    [
        pytest.param("postgresql", marks=is_there("postgresql")),
        pytest.param("mysql", marks=is_there("mysql")),
    ],
)
def test_servers_ask_for_a_password_and_keep_their_data_through_a_kill(database, home: Path):
    with Started(home, database) as started:
        queue = redis.Redis(port=started.cluster.redis_port)
        with pytest.raises(redis.AuthenticationError):
            queue.ping()
        with pytest.raises((psycopg2.OperationalError, pymysql.OperationalError)):
            started.query("select 1", password="wrong")

        started.query("create table kept (n int)", "insert into kept values (7)")
        mine = redis.Redis(
            port=started.cluster.redis_port, password=started.passwords["redis.password"]
        )
        mine.lpush("queue", "task")
        time.sleep(1.1)  # Redis writes its log once a second
        for part in started.processes.parts:
            part.kill_tree()

    with Started(home, database) as again:
        assert list(again.query("select n from kept")) == [(7,)]
        mine = redis.Redis(
            port=again.cluster.redis_port, password=again.passwords["redis.password"]
        )
        assert mine.lrange("queue", 0, -1) == [b"task"]
        assert is_closed_elsewhere(again.cluster.database_port)
        assert is_closed_elsewhere(again.cluster.redis_port)
        commands = subprocess.check_output(["ps", "-eo", "args"], text=True)
        assert not [word for word in again.passwords.values() if word in commands]


def test_what_is_missing_is_said_at_once_with_what_to_install(home, monkeypatch):
    monkeypatch.setattr(servers, "find", lambda program: None)

    with pytest.raises(StartError) as error, Started(home, "postgresql"):
        pass

    assert "redis-server is not installed (Debian: apt install redis-server; macOS:" in str(
        error.value
    )
    assert "postgres is not installed (Debian: apt install postgresql;" in str(error.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that servers cannot reach")
def test_a_folder_that_servers_cannot_reach_gets_one_they_can_and_strays_are_removed(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    first = servers._folder(closed)
    (closed / "servers").unlink()  # as `make clean` does
    second = servers._folder(closed)

    try:
        assert first != second
        assert not first.exists()
        assert second == (closed / "servers").resolve()
        assert servers._folder(closed) == second
    finally:
        (second / "of").unlink()
        second.rmdir()


def is_closed_elsewhere(port: int) -> bool:
    """Tell whether this machine's other addresses refuse a connection."""
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        return True
    if address.startswith("127."):
        return True
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) != 0
