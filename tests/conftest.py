"""Fixtures that every folder of tests may use: a real S3 and Glue, and settings on a fresh lake."""

import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ingestion import Settings

ROOT = Path(__file__).parent.parent
START_SECONDS = 60


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start local_aws on a free port and an empty folder, and yield its address."""
    python = ROOT / "local_aws/.venv/bin/python"
    if not python.exists():
        pytest.fail("local_aws has no environment: run `make setup` first")
    folder = tmp_path_factory.mktemp("local_aws")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        process = subprocess.Popen(
            [python, "-m", "local_aws", "--data", folder / "data", "--port", str(port)],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _await_health(process, url, folder / "log")
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            patch.setenv("AWS_REGION", "us-east-1")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            patch.setenv("AWS_ENDPOINT_URL", url)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_health(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"local_aws did not come up at {url}:\n{log.read_text('utf-8', 'replace')}")


@pytest.fixture(scope="session")
def fernet_key() -> str:
    """One Fernet key, made for this session."""
    return Fernet.generate_key().decode()


@pytest.fixture
def make_settings(
    tmp_path_factory: pytest.TempPathFactory, fernet_key: str
) -> Callable[..., Settings]:
    """Return a maker of Settings with key files of their own; no server is needed for them."""
    folder = tmp_path_factory.mktemp("secrets")
    keys = folder / "fernet.keys"
    keys.write_text(f"{fernet_key}\n")
    pseudonym = folder / "pseudonym.key"
    pseudonym.write_text("5a" * 32)

    def make(**variables: str) -> Settings:
        tag = secrets.token_hex(4)
        return Settings.from_env(
            {
                "SOURCE_URL": "http://127.0.0.1:9/api/data/log",
                "FERNET_KEYS_FILE": str(keys),
                "PSEUDONYM_KEY_FILE": str(pseudonym),
                "LAKE_BUCKET": f"lake-{tag}",
                "RAW_DATABASE": f"raw_{tag}",
                "WAREHOUSE_SCHEMA": f"warehouse_{tag}",
                "AWS_ENDPOINT_URL": os.environ.get("AWS_ENDPOINT_URL", ""),
                **variables,
            }
        )

    return make


@pytest.fixture
def lake_settings(local_aws: str, make_settings: Callable[..., Settings]) -> Settings:
    """Settings on a bucket and databases of this test's own, with one Fernet key."""
    return make_settings(AWS_ENDPOINT_URL=local_aws)
