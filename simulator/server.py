"""The log API over HTTP, on loopback by default.

``GET /api/data/log`` answers with the latest records (a window), oldest first; with
``?after=<recordId>&limit=<count>`` with the records after that id (a cursor), ``[]`` at the end;
with ``?limit=`` alone with the first ones, which is where a cursor begins.
``GET /health`` says that the server runs.
"""

from __future__ import annotations

import errno
import gzip
import json
import re
import sys
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from simulator.errors import SimulatorError
from simulator.records import Record, RecordLog
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

    def answer(self, target: str) -> tuple[HTTPStatus, Any]:
        """Return status and JSON body for a request target."""
        parts = urlsplit(target)
        if parts.path == HEALTH_PATH:
            return HTTPStatus.OK, {"status": "ok"}
        if parts.path != LOG_PATH:
            return _refuse(
                HTTPStatus.NOT_FOUND, f"No such path; there are {LOG_PATH} and {HEALTH_PATH}."
            )
        try:
            records = self._select(parse_qsl(parts.query, keep_blank_values=True))
        except ValueError as error:
            return _refuse(HTTPStatus.BAD_REQUEST, str(error))
        return HTTPStatus.OK, self.sealer.envelopes(records)

    def _select(self, pairs: list[tuple[str, str]]) -> list[Record]:
        query = dict(pairs)
        if unknown := sorted(query.keys() - {"after", "limit"}):
            raise ValueError(f"Unknown parameters: {', '.join(unknown)}; use after and limit.")
        if len(query) < len(pairs):
            raise ValueError("A parameter was given twice.")
        if not query:
            return self.log.latest(self.window)
        # Without ``after`` a limit asks for the first page: a client begins with no cursor.
        after = _whole_number("after", query.get("after", "0"), 0, 2**63 - 1)
        limit = _whole_number("limit", query.get("limit", str(self.window)), 1, MAX_LIMIT)
        return self.log.after(after, limit)


def _whole_number(name: str, text: str, low: int, high: int) -> int:
    # int() alone would take "1_000", " 7" and Arabic digits.
    if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}.")
    return int(text)


def _refuse(status: HTTPStatus, reason: str) -> tuple[HTTPStatus, Any]:
    return status, {"error": reason}


def listen(api: Api, host: str, port: int) -> ThreadingHTTPServer:
    """Bind and return the server; the caller lets it serve and closes it."""

    class Handler(_Handler):
        pass

    Handler.api = api
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
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def version_string(self) -> str:
        """Name ourselves, and not the Python that runs us."""
        return "log-api"

    def do_GET(self) -> None:
        status, body = self.api.answer(self.path)
        self._send(status, body)

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what ``http.server`` itself refuses, as JSON and closing the connection."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(*_refuse(status, f"{status.phrase}."))

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: a poll every few seconds is no news."""

    def _send(self, status: HTTPStatus, body: Any) -> None:
        content = json.dumps(body, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if len(content) > 1_000 and _takes_gzip(self.headers.get("Accept-Encoding", "")):
            # Tokens are base64: a quarter is all there is to win, and level 1 wins it.
            content = gzip.compress(content, compresslevel=1, mtime=0)
            self.send_header("Content-Encoding", "gzip")
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
