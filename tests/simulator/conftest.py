"""What the simulator's tests share: keys, and a simulator started as a user starts it."""

from __future__ import annotations

import ast
import contextlib
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from simulator.tokens import Sealer
from tests.simulator.wire import RING

ROOT = Path(__file__).resolve().parents[2]


class Client:
    """Asks a running simulator, and reads its answers with nothing of the simulator's own."""

    def __init__(self, url: str, key: bytes) -> None:
        self.url = url
        self.fernet = Fernet(key)

    def get(self, query: str = "") -> list[dict[str, Any]]:
        with urllib.request.urlopen(self.url + query, timeout=10) as answer:
            body: list[dict[str, Any]] = json.load(answer)
        return body

    def plain(self, envelope: dict[str, Any]) -> dict[str, Any]:
        text = self.fernet.decrypt(envelope["data"]).decode()
        fields: dict[str, Any] = ast.literal_eval(text)
        return fields

    def records(self, query: str = "") -> list[dict[str, Any]]:
        return [self.plain(envelope) for envelope in self.get(query)]

    def walk(self, after: int, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := self.records(f"?after={after}&limit={limit}"):
            assert len(page) <= limit
            found += page
            after = page[-1]["record_id"]
        return found


Start = Callable[..., AbstractContextManager[Client]]


@pytest.fixture(scope="session")
def key() -> bytes:
    return Fernet.generate_key()


@pytest.fixture(scope="session")
def keys_file(tmp_path_factory: pytest.TempPathFactory, key: bytes) -> Path:
    path = tmp_path_factory.mktemp("keys") / "fernet.keys"
    path.write_text(f"# newest first\n{key.decode()}\n{Fernet.generate_key().decode()} # old\n")
    return path


@pytest.fixture(scope="session")
def run(keys_file: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "simulator", "--keys-file", str(keys_file), *flags],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def started(keys_file: Path, key: bytes) -> Start:
    @contextlib.contextmanager
    def started(*flags: str, stop: signal.Signals = signal.SIGTERM) -> Iterator[Client]:
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator", "--keys-file", keys_file, *flags, "--port", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("simulator: ready url="), line
            yield Client(line.split("url=")[1].strip(), key)
            process.send_signal(stop)
            assert process.wait(timeout=5) == 0
            assert process.stdout.read() == "simulator: stopped\n"
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    return started


@pytest.fixture(scope="session")
def sealer(tmp_path_factory: pytest.TempPathFactory) -> Sealer:
    """A sealer whose ring has a key in every state."""
    path = tmp_path_factory.mktemp("ring") / "ring.json"
    path.write_text(RING)
    return Sealer.from_file(path)
