"""Faults of the answer (1-32): refused, late, cut, packed wrongly, or not the page asked for.

Each is one function that answers a request in its own way. What would last for an hour or for ever
lasts for some requests or seconds (``--fault-requests``, ``--fault-seconds``) or until the client
leaves.
"""

from __future__ import annotations

import email.utils
import functools
import gzip
import json
import random
import select
import socket
import struct
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from simulator.key_ring import KeyRing
from simulator.record_faults import COMMON, element
from simulator.records import Record, RecordLog

JSON = "application/json"
NONE: Mapping[str, str] = {}

_BOMB_BYTES = 64 * 1024 * 1024
"""Unpacked; packed it is a thousandth."""

_DRIPS = 10
"""Bytes that a slow answer sends before it ends: at the default cap, one per second."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request for a page, and the means to answer it well or badly."""

    handler: BaseHTTPRequestHandler
    log: RecordLog
    after: int | None
    """The cursor; None asks for the window."""
    limit: int
    ring: KeyRing
    envelopes: Callable[[Sequence[Record], str | None], list[Any]]
    """Encrypt records, with the key given or else the primary one."""
    dice: random.Random
    """Seeded by fault seed and number of the request."""
    seconds: float
    cached: list[bytes]
    """The body of the last good answer, if there was one: what a proxy would keep."""

    def records(self) -> list[Record]:
        """Return what was asked for."""
        if self.after is None:
            return self.log.latest(self.limit)
        return self.log.after(self.after, self.limit)

    def earlier(self, count: int) -> list[Record]:
        """Return the last records before the page, oldest first."""
        if self.after is None:
            return self.log.latest(self.limit + count)[: -self.limit]
        # Ids need not be consecutive, so the range may hold fewer.
        known = self.log.after(max(0, self.after - count), count)
        return [record for record in known if record.record_id <= self.after]

    def body(self, records: Sequence[Record] | None = None) -> bytes:
        """Return the page of these records, or of those asked for."""
        return page(self.envelopes(self.records() if records is None else records, None))

    def reply(
        self,
        body: bytes,
        status: int = 200,
        kind: str = JSON,
        length: int | None = None,
        headers: Mapping[str, str] = NONE,
    ) -> None:
        """Send an answer; a length that is not the body's ends the connection."""
        self.head(status, kind, len(body) if length is None else length, headers)
        self.handler.wfile.write(body)
        if length is not None:
            self.handler.close_connection = True

    def head(
        self, status: int, kind: str, length: int | None, headers: Mapping[str, str] = NONE
    ) -> None:
        """Send status and headers."""
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", kind)
        if length is not None:
            self.handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def wait(self, seconds: float) -> bool:
        """Wait, and tell whether the client is still there."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            readable, _, _ = select.select([self.handler.connection], [], [], left)
            if readable:
                if not self.handler.connection.recv(1, socket.MSG_PEEK):
                    return False
                time.sleep(min(left, 0.05))  # it has sent its next request already
        return True


@dataclass(frozen=True, slots=True)
class HttpFault:
    """One way to answer badly, and the numbers under which the list of bad inputs has it."""

    name: str
    numbers: tuple[int, ...]
    does: str
    act: Callable[[Exchange], None]
    lasts: int | None = 1
    """How many requests in a row; None is ``--fault-requests``."""
    rate: float = COMMON
    needs: str | None = None
    """The state of a key that the ring must hold."""


def page(envelopes: Sequence[Any]) -> bytes:
    """Return a page's body; elements may be JSON text that json would not write."""
    return f"[{','.join(map(element, envelopes))}]".encode()


def _refused(
    name: str,
    number: int,
    does: str,
    status: int,
    retry_after: Callable[[], str] | None = None,
    lasts: int | None = 1,
) -> HttpFault:
    def act(exchange: Exchange) -> None:
        headers = {"Retry-After": retry_after()} if retry_after else NONE
        exchange.reply(b'{"error":"Not now."}', status, headers=headers)

    return HttpFault(name, (number,), does, act, lasts)


def _answered(
    name: str,
    number: int,
    does: str,
    answer: Callable[[Exchange], bytes],
    kind: str = JSON,
    packed: str | None = None,
) -> HttpFault:
    """Return a fault of the body, or of what is said about a good body."""
    headers = {"Content-Encoding": packed} if packed else NONE
    return HttpFault(
        name, (number,), does, lambda x: x.reply(answer(x), kind=kind, headers=headers)
    )


def _redirected(name: str, does: str, location: str) -> HttpFault:
    return HttpFault(
        name, (20,), f"302 to {does}", lambda x: x.reply(b"", 302, headers={"Location": location})
    )


def _soon() -> str:
    return email.utils.formatdate(time.time() + 2, usegmt=True)


def _no_content(exchange: Exchange) -> None:
    exchange.handler.send_response(204)
    exchange.handler.end_headers()


def _cut_body(exchange: Exchange) -> None:
    body = exchange.body()
    exchange.reply(body[: len(body) // 2], length=len(body))


def _cut_chunk(exchange: Exchange) -> None:
    body = exchange.body()
    exchange.head(200, JSON, None, {"Transfer-Encoding": "chunked"})
    exchange.handler.wfile.write(b"%x\r\n%s" % (len(body), body[: len(body) // 2]))
    exchange.handler.close_connection = True


def _drip(exchange: Exchange) -> None:
    body = exchange.body()
    exchange.handler.close_connection = True
    exchange.head(200, JSON, len(body))
    for place in range(min(_DRIPS, len(body) - 1)):
        exchange.handler.wfile.write(body[place : place + 1])
        if not exchange.wait(exchange.seconds / _DRIPS):
            return


def _hang(exchange: Exchange) -> None:
    exchange.handler.close_connection = True
    exchange.wait(exchange.seconds)


def _reset(exchange: Exchange) -> None:
    exchange.head(200, JSON, len(exchange.body()))
    handler = exchange.handler
    handler.close_connection = True
    # A close that waits for nothing is a reset; the reader holds the socket open until it goes.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.rfile.close()
    handler.connection.close()


@functools.lru_cache(maxsize=1)
def _bomb() -> bytes:
    """Return an empty page with a great many spaces in it, packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    spaces = b" " * 1_048_576
    pieces = [packer.compress(b"[")]
    pieces += [packer.compress(spaces) for _ in range(_BOMB_BYTES // len(spaces))]
    return b"".join([*pieces, packer.compress(b"]"), packer.flush()])


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=1, mtime=0)


def _pack_wrongly(exchange: Exchange) -> bytes:
    packed = bytearray(_pack(exchange.body()))
    packed[-8] ^= 1  # the last eight bytes are checksum and length
    return bytes(packed)


def _latin_1(exchange: Exchange) -> bytes:
    envelopes = exchange.envelopes(exchange.records(), None)
    note = '{"note":"caf\u00e9"}'.encode("latin-1")
    return page(envelopes)[:-1] + (b"," if envelopes else b"") + note + b"]"


FAULTS = (
    _refused("retry-after-seconds", 1, "429 with Retry-After: 1", 429, lambda: "1"),
    _refused("retry-after-date", 2, "429 with a date in two seconds as Retry-After", 429, _soon),
    _refused("retry-after-huge", 3, "429 with Retry-After: 1000000000", 429, lambda: "1000000000"),
    _refused("retry-after-negative", 3, "429 with Retry-After: -5", 429, lambda: "-5"),
    _refused("retry-after-garbage", 3, "429 with Retry-After: soon", 429, lambda: "soon"),
    _refused("error-500-twice", 4, "500 for two requests", 500, lasts=2),
    _refused("outage-503", 5, "503 for --fault-requests requests", 503, lasts=None),
    _answered(
        "html-page",
        6,
        "200 with a login page",
        lambda _: b"<!doctype html><title>Sign in</title><form method=post></form>",
        kind="text/html; charset=utf-8",
    ),
    _answered("empty-body", 7, "200 and no body", lambda _: b""),
    HttpFault("no-content", (8,), "204", _no_content),
    HttpFault("body-cut", (9,), "the body ends before its Content-Length", _cut_body),
    HttpFault("chunk-cut", (10,), "the body ends within a chunk", _cut_chunk),
    HttpFault("slow-answer", (11,), "ten bytes in --fault-seconds seconds, then the end", _drip),
    HttpFault("hang", (12,), "no answer within --fault-seconds seconds, then the end", _hang),
    HttpFault("reset", (13,), "the connection is reset behind the headers", _reset),
    _answered(
        "wrong-content-type", 14, "a good page called an image", Exchange.body, kind="image/png"
    ),
    _answered(
        "gzip-claimed",
        15,
        "a plain body that is called gzip",
        Exchange.body,
        packed="gzip",
    ),
    _answered(
        "gzip-bomb",
        16,
        "64 KB of gzip that unpack to 64 MB",
        lambda _: _bomb(),
        packed="gzip",
    ),
    _answered(
        "gzip-nested",
        17,
        "packed twice, and called so",
        lambda x: _pack(_pack(x.body())),
        packed="gzip, gzip",
    ),
    _answered(
        "gzip-nested-secretly",
        17,
        "packed twice, and called packed once",
        lambda x: _pack(_pack(x.body())),
        packed="gzip",
    ),
    _answered("gzip-checksum", 18, "gzip with a wrong checksum", _pack_wrongly, packed="gzip"),
    _answered(
        "charset-lie",
        19,
        "UTF-8 that is called UTF-16",
        Exchange.body,
        kind=f"{JSON}; charset=utf-16",
    ),
    _answered(
        "body-utf-16",
        19,
        "UTF-16 that is called UTF-8",
        lambda x: x.body().decode().encode("utf-16"),
        kind=f"{JSON}; charset=utf-8",
    ),
    _answered(
        "body-latin-1",
        19,
        "a page with one more element, in Latin-1, that is called UTF-8",
        _latin_1,
        kind=f"{JSON}; charset=utf-8",
    ),
    _redirected("redirect-host", "another host", "http://elsewhere.invalid/api/data/log"),
    _redirected("redirect-file", "a file", "file:///etc/passwd"),
    _redirected("redirect-metadata", "the cloud's metadata", "http://169.254.169.254/latest/"),
    _refused("unauthorized-once", 22, "401 for one request", 401),
    _answered("body-null", 32, "null instead of the array", lambda _: b"null"),
    _answered(
        "body-object", 32, "the array inside an object", lambda x: b'{"data":' + x.body() + b"}"
    ),
    _answered(
        "body-text", 32, "the array inside a text", lambda x: json.dumps(x.body().decode()).encode()
    ),
)
