"""The log API over HTTP, on loopback by default.

``GET /api/data/log`` answers with the latest records (a window), oldest first; with
``?after=<recordId>&limit=<count>`` with the records after that id (a cursor), ``[]`` at the end;
with ``?limit=`` alone with the first ones, which is where a cursor begins.
``GET /health`` says that the server runs.
"""

from __future__ import annotations

import errno
import gzip
import itertools
import json
import random
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from simulator import http_faults
from simulator.errors import SimulatorError
from simulator.faults import HTTP, Faults
from simulator.records import RecordLog
from simulator.tokens import Sealer

LOG_PATH = "/api/data/log"
HEALTH_PATH = "/health"

MAX_LIMIT = 10_000
"""Records per answer, whatever a client asks for: about 6 MB."""

_IDLE_SECONDS = 60
"""A kept connection that is silent for so long is closed, or its thread would stay for ever."""


@dataclass(frozen=True, slots=True)
class Api:
    """What the server serves."""

    log: RecordLog
    sealer: Sealer
    window: int
    token: str | None = field(default=None, repr=False)
    """What a client has to show as its bearer token, if anything."""
    faults: Faults | None = None

    def admits(self, authorization: str) -> bool:
        """Tell whether a client may read the log."""
        expected = f"Bearer {self.token}"
        return self.token is None or compare_digest(authorization.encode(), expected.encode())

    def cursor(self, pairs: list[tuple[str, str]]) -> tuple[int | None, int]:
        """Return the id after which the page begins (None: the window), and its size.

        Raises:
            ValueError: with a sentence for the client, if the query makes no sense.
        """
        query = dict(pairs)
        if unknown := sorted(query.keys() - {"after", "limit"}):
            raise ValueError(f"Unknown parameters: {', '.join(unknown)}; use after and limit.")
        if len(query) < len(pairs):
            raise ValueError("A parameter was given twice.")
        if not query:
            return None, self.window
        # Without ``after`` a limit asks for the first page: a client begins with no cursor.
        after = _whole_number("after", query.get("after", "0"), 0, 2**63 - 1)
        return after, _whole_number("limit", query.get("limit", str(self.window)), 1, MAX_LIMIT)

    def page(self, after: int | None, limit: int) -> bytes:
        """Return a page's body."""
        records = self.log.latest(limit) if after is None else self.log.after(after, limit)
        if self.faults is None:
            return _json(self.sealer.envelopes(records))
        return http_faults.page(self.faults.envelopes(self.sealer, records))


def _whole_number(name: str, text: str, low: int, high: int) -> int:
    # int() alone would take "1_000", " 7" and Arabic digits.
    if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}.")
    return int(text)


def _refuse(status: HTTPStatus, reason: str) -> tuple[HTTPStatus, bytes]:
    return status, _json({"error": reason})


def _json(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def listen(api: Api, host: str, port: int) -> ThreadingHTTPServer:
    """Bind and return the server; the caller lets it serve and closes it."""

    class Handler(_Handler):
        pass

    Handler.api = api
    Handler.numbers = itertools.count(1)
    Handler.cached = []
    try:
        return _Server((host, port), Handler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SimulatorError(
                f"Port {port} on {host} is taken; stop what listens there or choose another --port."
            ) from error
        raise SimulatorError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
    except OverflowError as error:
        raise SimulatorError(f"There is no port {port}; choose one from 0 to 65535.") from error


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep the traceback of a bug, but a client that hangs up is not one."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    api: Api
    numbers: Iterator[int]
    """Of the requests for a page; only they can meet a fault of the server."""
    cached: list[bytes]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each small page on a kept connection waits for 40 ms
    timeout = _IDLE_SECONDS

    def version_string(self) -> str:
        """Name ourselves, and not the Python that runs us."""
        return "log-api"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == HEALTH_PATH:
            self._send(HTTPStatus.OK, _json({"status": "ok"}))
        elif parts.path != LOG_PATH:
            self._send(
                *_refuse(
                    HTTPStatus.NOT_FOUND, f"No such path; there are {LOG_PATH} and {HEALTH_PATH}."
                )
            )
        elif not self.api.admits(self.headers.get("Authorization", "")):
            self._send(
                *_refuse(HTTPStatus.UNAUTHORIZED, "Show the bearer token."),
                {"WWW-Authenticate": "Bearer"},
            )
        else:
            try:
                after, limit = self.api.cursor(parse_qsl(parts.query, keep_blank_values=True))
            except ValueError as error:
                self._send(*_refuse(HTTPStatus.BAD_REQUEST, str(error)))
            else:
                self._answer(after, limit)

    do_HEAD = do_GET

    def _answer(self, after: int | None, limit: int) -> None:
        faults = self.api.faults
        if faults is None or not faults.of_http or self.command != "GET":
            self._send(HTTPStatus.OK, self.api.page(after, limit))
            return
        number = next(self.numbers)
        name = faults.of_request(number)
        if name is None:
            body = self.api.page(after, limit)
            self.cached[:] = [body]
            self._send(HTTPStatus.OK, body)
            return
        sealer = self.api.sealer
        exchange = http_faults.Exchange(
            handler=self,
            log=self.api.log,
            after=after,
            limit=limit,
            ring=sealer.ring(),
            envelopes=lambda records, key: faults.envelopes(sealer, records, key),
            dice=random.Random(f"{faults.seed}/answer/{number}"),
            seconds=faults.seconds,
            cached=self.cached,
        )
        HTTP[name].act(exchange)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what ``http.server`` itself refuses, as JSON and closing the connection."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(*_refuse(status, f"{status.phrase}."))

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: a poll every few seconds is no news."""

    def _send(
        self, status: HTTPStatus, content: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if len(content) > 1_000 and _takes_gzip(self.headers.get("Accept-Encoding", "")):
            # Tokens are base64: a quarter is all there is to win, and level 1 wins it.
            content = gzip.compress(content, compresslevel=1, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Vary", "Accept-Encoding")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _takes_gzip(accepted: str) -> bool:
    offers = [offer.replace(" ", "").lower() for offer in accepted.split(",")]
    return any(re.fullmatch(r"(gzip|\*)(;q=(1(\.0*)?|0\.0*[1-9]\d*))?", offer) for offer in offers)
