"""A real server on a free port and a folder of its own, and real clients for it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """``python -m local_aws`` as a user starts it."""

    def __init__(self, data: Path, *options: str, port: int = 0) -> None:
        self.data = data
        # A file and no pipe: nobody reads while the server runs, and a full pipe would stop it.
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local_aws", "--data", str(data), "--port", str(port), *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline()
        found = re.search(r"http://[\d.]+:(\d+)", self.ready_line)
        self.port = int(found[1]) if found else 0
        self.url = f"http://127.0.0.1:{self.port}"

    def client(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32),
        )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; the exit code and what was written to stderr."""
        self.process.send_signal(how)
        self.process.communicate(timeout=20)
        self.log.seek(0)
        return self.process.returncode, self.log.read()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only need names of their own in it."""
    server = Server(tmp_path_factory.mktemp("aws"))
    assert server.port, server.stop()[1]
    yield server
    server.stop()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator:
    """Start servers on folders below this test's own; all are stopped at its end."""
    servers: list[Server] = []

    def start(folder: str = "data", *options: str, port: int = 0) -> Server:
        servers.append(Server(tmp_path / folder, *options, port=port))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture
def s3(shared_server: Server):
    return shared_server.client("s3")


@pytest.fixture
def glue(shared_server: Server):
    return shared_server.client("glue")


@pytest.fixture
def bucket(s3) -> str:
    name = f"bucket-{os.urandom(6).hex()}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def cloud(shared_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a user's shell; clients that read them need nothing else."""
    for name in ("PROFILE", "SESSION_TOKEN", "REGION", "ENDPOINT_URL_S3", "ENDPOINT_URL_ATHENA"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": shared_server.url,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def database(glue) -> str:
    name = f"db_{os.urandom(6).hex()}"
    glue.create_database(DatabaseInput={"Name": name})
    return name
