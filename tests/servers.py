"""Starts the servers that tests talk to, as a user would, on loopback and a free port."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60


@contextmanager
def local_aws(folder: Path) -> Iterator[str]:
    """Serve S3, Glue and Athena from ``folder``/data; yield the address."""
    python = ROOT / "local_aws/.venv/bin/python"
    if not python.exists():
        raise RuntimeError("local_aws has no environment: run `make setup` first")
    port = free_port()
    command = [python, "-m", "local_aws", "--data", folder / "data", "--port", str(port)]
    with _serving(command, port, folder / "local_aws.log") as url:
        yield url


@contextmanager
def simulator(log: Path, *arguments: object) -> Iterator[str]:
    """Serve the log API; yield the address of its log."""
    port = free_port()
    command = [sys.executable, "-m", "simulator", "--port", str(port), *map(str, arguments)]
    with _serving(command, port, log) as url:
        yield f"{url}/api/data/log"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _serving(command: Sequence[object], port: int, log: Path) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _await_health(process, url, log)
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
    raise RuntimeError(f"Nothing came up at {url}:\n{log.read_text('utf-8', 'replace')}")
