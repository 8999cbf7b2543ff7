"""Starts the servers that tests talk to, as a user would, on loopback and a free port."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.children import ROOT, Server


@contextmanager
def local_aws(folder: Path) -> Iterator[str]:
    """Serve S3, Glue and Athena from ``folder``/data; yield the address."""
    python = ROOT / "local_aws/.venv/bin/python"
    if not python.exists():
        raise RuntimeError("local_aws has no environment: run `make setup` first")
    command = [python, "-m", "local_aws", "--data", folder / "data", "--port", 0]
    with Server(command, folder / "local_aws.log") as server:
        yield server.url


@contextmanager
def simulator(log: Path, *arguments: object) -> Iterator[str]:
    """Serve the log API; yield the address of its log."""
    with Server([sys.executable, "-m", "simulator", *arguments, "--port", 0], log) as server:
        yield server.url


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
