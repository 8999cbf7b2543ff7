"""An HTTP proxy between one runner and everything it talks to, that commits one fault at a time.

It counts whole requests. At the one it was armed for, it kills the runner before the request gets
through or before the reply does, loses the reply, answers with a failure of its own, or lets the
runner sleep until others have passed it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

KILL_BEFORE, KILL_AFTER, DROP_REPLY = "kill before", "kill after", "drop reply"
SLOW_DOWN, ERROR_500, RESET, TRUNCATE = "503 SlowDown", "500", "RST", "truncated body"
ERROR_IN_200, DENY = "200 with an error", "403 AccessDenied"
HOLD = "held back"
KILLS = (KILL_BEFORE, KILL_AFTER)

SOURCE_PATH = "/api/data/log"
_RESET = struct.pack("ii", 1, 0)
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Request:
    """What the proxy saw of one request, and what came of it."""

    name: str
    """Method, operation and a key without its numbers, to read in a report."""
    status: int = 0
    fault: str = ""


@dataclass(slots=True)
class Fault:
    """One fault, and whether it has happened."""

    kind: str
    at: int
    """The number of the request, from 1, among those that ``matches`` accepts."""
    matches: Callable[[str], bool] = lambda name: True
    happened: str = ""
    """The request that it hit."""
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    """A request that is held back goes on when somebody sets this."""


@dataclass(slots=True)
class Watch:
    """One run of one runner, as the proxy sees it."""

    pid: int = 0
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)

    def next_fault(self, name: str) -> Fault | None:
        """Count a request, and return the fault that it is to meet."""
        for number, fault in enumerate(self.faults):
            if fault.matches(name):
                self.counts[number] = self.counts.get(number, 0) + 1
                if self.counts[number] == fault.at and not fault.happened:
                    return fault
        return None


class Proxy:
    """One listening port for one runner at a time."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self.source: Callable[[], bytes] = lambda: b"[]"
        """What the log API answers, made anew for each request."""
        self._lock = threading.Lock()
        self.watch = Watch()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def arm(self, pid: int, *faults: Fault) -> Watch:
        """Watch a new run; what still comes from an earlier one meets no fault any more."""
        with self._lock:
            self.watch = Watch(pid, list(faults))
        return self.watch

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=[client, self.watch], daemon=True).start()

    def _serve(self, client: socket.socket, watch: Watch) -> None:
        connection = _Connection(self, client, watch)
        with contextlib.suppress(OSError, _Gone):
            while connection.exchange():
                pass
        connection.close()

    def answer_of_source(self) -> bytes:
        """Return one whole answer of the log API."""
        body = self.source()
        return _response(200, body, "application/json")

    def dial(self) -> socket.socket:
        """Connect to what is behind the proxy."""
        server = socket.create_connection(self._upstream, _SECONDS)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def fault_for(self, watch: Watch, name: str) -> Fault | None:
        """Count a request under the lock, because a client may have several connections."""
        with self._lock:
            return watch.next_fault(name)


class _Gone(Exception):
    """The other side has closed."""


class _Connection:
    def __init__(self, proxy: Proxy, client: socket.socket, watch: Watch) -> None:
        self._proxy = proxy
        self._client = _Wire(client)
        self._server: _Wire | None = None
        self._watch = watch

    def close(self) -> None:
        self._client.close()
        if self._server is not None:
            self._server.close()

    def exchange(self) -> bool:
        """Serve one request; False if the connection is to be closed behind it."""
        head = self._client.head()
        method, path, headers = _parsed(head)
        if b"100-continue" in headers.get(b"expect", b"").lower():
            self._client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            lines = head.split(b"\r\n")
            head = b"\r\n".join(line for line in lines if not line.lower().startswith(b"expect:"))
        body = self._client.body(headers)
        name = _named(method, path, headers)
        fault = self._proxy.fault_for(self._watch, name)
        if fault is None:
            reply = self._forward(head + body, method, path)
            self._note(name, reply)
            self._client.send(reply)
            return True
        return self._commit(fault, name, head + body, method, path, headers)

    def _commit(
        self,
        fault: Fault,
        name: str,
        request: bytes,
        method: str,
        path: str,
        headers: dict[bytes, bytes],
    ) -> bool:
        reply = b""
        if fault.kind in (KILL_AFTER, DROP_REPLY, TRUNCATE):
            reply = self._forward(request, method, path)
        fault.happened = name
        fault.reached.set()
        if fault.kind == HOLD:
            fault.released.wait(_SECONDS)
            reply = self._forward(request, method, path)
            self._note(name, reply, fault.kind)
            self._client.send(reply)
            return True
        self._note(name, reply, fault.kind)
        if fault.kind in KILLS:
            os.kill(self._watch.pid, signal.SIGKILL)
        elif fault.kind == RESET:
            self._client.reset()
        elif fault.kind == TRUNCATE:
            head, _, content = reply.partition(b"\r\n\r\n")
            self._client.send(head + b"\r\n\r\n" + content[: len(content) // 2])
        elif fault.kind != DROP_REPLY:
            self._client.send(failure(fault.kind, method, path, headers))
            return method != "HEAD"
        return False

    def _forward(self, request: bytes, method: str, path: str) -> bytes:
        if path.startswith(SOURCE_PATH):
            return self._proxy.answer_of_source()
        if self._server is None:
            self._server = _Wire(self._proxy.dial())
        self._server.send(request)
        head = self._server.head()
        return head + self._server.body(_fields(head), method == "HEAD" or b" 304 " in head[:16])

    def _note(self, name: str, reply: bytes, fault: str = "") -> None:
        status = int(reply[9:12]) if reply else 0
        self._watch.requests.append(Request(name, status, fault))


class _Wire:
    """A socket that is read in messages."""

    def __init__(self, wire: socket.socket) -> None:
        self._socket = wire
        self._buffer = b""

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def close(self) -> None:
        self._socket.close()

    def head(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._more()
        return self._take(end + 4)

    def body(self, headers: dict[bytes, bytes], is_bodiless: bool = False) -> bytes:
        if is_bodiless:
            return b""
        if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            return self._chunks()
        size = int(headers.get(b"content-length", b"0"))
        while len(self._buffer) < size:
            self._more()
        return self._take(size)

    def _chunks(self) -> bytes:
        whole = b""
        while True:
            while (end := self._buffer.find(b"\r\n")) < 0:
                self._more()
            size = int(self._buffer[:end].split(b";")[0], 16)
            while len(self._buffer) < end + 2 + size + 2:
                self._more()
            whole += self._take(end + 2 + size + 2)
            if size == 0:
                return whole

    def _more(self) -> None:
        piece = self._socket.recv(1 << 18)
        if not piece:
            raise _Gone
        self._buffer += piece

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def _parsed(head: bytes) -> tuple[str, str, dict[bytes, bytes]]:
    method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    return method, path, _fields(head)


def _fields(head: bytes) -> dict[bytes, bytes]:
    lines = head.split(b"\r\n")[1:]
    pairs = (line.partition(b":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _named(method: str, path: str, headers: dict[bytes, bytes]) -> str:
    if path.startswith(SOURCE_PATH):
        return "GET source"
    if target := headers.get(b"x-amz-target"):
        return target.decode().split(".")[-1]
    key, _, query = path.partition("?")
    _, _, key = key[1:].partition("/")
    if "list-type=2" in query:
        prefix = query.split("prefix=")[-1].split("&")[0].replace("%2F", "/")
        return f"LIST {prefix.split('/')[0]}"
    if not key:
        return f"{method} bucket"
    if b"x-amz-copy-source" in headers:
        return f"COPY {key.split('/')[0]}"
    condition = " if absent" if b"if-none-match" in headers else ""
    tail = key.rsplit("/", 1)[-1]
    detail = f"/{tail}" if tail in ("manifest.json", "checked.json") else ""
    return f"{method} {key.split('/')[0]}{detail}{condition}"


def failure(kind: str, method: str, path: str, headers: dict[bytes, bytes]) -> bytes:
    """Return the answer of a service that fails as ``kind`` says, in that service's own words."""
    status, code = {
        SLOW_DOWN: (503, "SlowDown"),
        ERROR_500: (500, "InternalError"),
        ERROR_IN_200: (200, "InternalError"),
        DENY: (403, "AccessDenied"),
    }[kind]
    if path.startswith(SOURCE_PATH):
        return _response(status, b"no", "text/plain", b"Retry-After: 0\r\n")
    if b"x-amz-target" in headers:
        if kind == DENY:
            status, code = 400, "AccessDeniedException"
        elif kind == SLOW_DOWN:
            status, code = 400, "ThrottlingException"
        content = f'{{"__type":"{code}","message":"made by the proxy"}}'
        return _response(status, content.encode(), "application/x-amz-json-1.1")
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        "<Message>made by the proxy</Message><RequestId>0</RequestId></Error>"
    )
    body = b"" if method == "HEAD" else content.encode()
    return _response(status, body, "application/xml")


def _response(status: int, body: bytes, kind: str, more: bytes = b"") -> bytes:
    return (
        f"HTTP/1.1 {status} Proxy\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    ).encode() + (more + b"\r\n" + body)
