"""A simulator inside the test's process, and a client that sees bytes: it trusts no HTTP library.

Keys, log and client are the test's own; only what is served is the simulator's.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from simulator import server
from simulator.faults import Faults
from simulator.records import Record
from simulator.tokens import Sealer

Address = tuple[str, int]

FIRST, LAST = 10_001, 10_030


def key_of(word: str) -> str:
    """Return a key that is the same in every run, so that a failure can be repeated."""
    return base64.urlsafe_b64encode(hashlib.sha256(word.encode()).digest()).decode()


KEYS = {state: key_of(state) for state in ("primary", "decrypt-only", "retired")}
RING = json.dumps({"keys": [{"key": key, "state": state} for state, key in KEYS.items()]})


class Log:
    """Records FIRST to LAST, all visible."""

    def __init__(self) -> None:
        self.all = [
            Record(
                record_id=number,
                occurred_wall_ms=1_700_000_000_123 + number * 1_000,
                arrived_wall_ms=1_700_000_090_456 + number * 1_000,
                user=str(number % 7),
                activity="view",
                url=f"/api/products/product/{number}",
                method="GET",
                level="INFO",
                message="GET view",
            )
            for number in range(FIRST, LAST + 1)
        ]

    def latest(self, count: int) -> list[Record]:
        return self.all[-count:]

    def after(self, record_id: int, limit: int) -> list[Record]:
        return [record for record in self.all if record.record_id > record_id][:limit]


@dataclass(frozen=True)
class Answer:
    """What came over the wire until the connection ended."""

    status: int
    headers: dict[str, str]
    body: bytes
    reset: bool

    @property
    def ids(self) -> list[int]:
        return [element["recordId"] for element in json.loads(self.body)]


@contextlib.contextmanager
def serving(sealer: Sealer, faults: Faults | None, **changes: Any) -> Iterator[Address]:
    """Serve the log with faults on a free port."""
    http = server.listen(
        server.Api(Log(), sealer, window=5, faults=faults, **changes), "127.0.0.1", 0
    )
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    try:
        host, port = http.server_address[:2]
        yield str(host), port
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def send(address: Address, query: str = "", path: str = "/api/data/log", **headers: str) -> Any:
    """Open a connection and send a request on it."""
    connection = socket.create_connection(address, timeout=20)
    lines = [f"GET {path}{query} HTTP/1.1", "Host: source", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return connection


def ask(address: Address, query: str = "", path: str = "/api/data/log", **headers: str) -> Answer:
    """Ask, and take all bytes there are."""
    received = bytearray()
    reset = False
    with send(address, query, path, **headers) as connection:
        try:
            while piece := connection.recv(1 << 20):
                received += piece
        except ConnectionResetError:
            reset = True
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    if not head:
        return Answer(0, {}, b"", reset)
    first, *lines = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    return Answer(
        int(first.split(" ")[1]), {name.lower(): text for name, text in pairs}, body, reset
    )


def opened(token: str, stranger: str) -> tuple[str, bytes, int]:
    """Return whose key opens a token, its plaintext and its time; ``nobody`` if none does."""
    for name, key in {**KEYS, "stranger": stranger}.items():
        with contextlib.suppress(InvalidToken, ValueError):
            plain = Fernet(key).decrypt(token)
            return name, plain, int.from_bytes(base64.urlsafe_b64decode(token)[1:9], "big")
    return "nobody", b"", 0
