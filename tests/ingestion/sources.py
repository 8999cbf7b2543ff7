"""A log API for tests on a loopback port: scripted answers, each a function of the request."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = Callable[[BaseHTTPRequestHandler, dict[str, str]], None]


class Calls:
    """What was asked of a server, and over how many connections."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.opened = 0
        self._open = 0
        self._changed = threading.Condition()

    def count(self, step: int) -> None:
        with self._changed:
            self.opened += max(step, 0)
            self._open += step
            self._changed.notify_all()

    def await_hangup(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: not self._open, timeout=10)


@contextmanager
def listening(
    *answers: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[tuple[str, Calls]]:
    """Serve ``answers`` in turn, the last one for ever; yield the URL and the calls so far."""
    calls = Calls()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle(self) -> None:
            calls.count(1)
            try:
                super().handle()
            except OSError:
                pass  # the client hung up, as it should where an answer is too bad
            finally:
                calls.count(-1)

        def do_GET(self) -> None:
            query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            query |= {"path": urlsplit(self.path).path, "auth": self.headers["Authorization"] or ""}
            calls.asked.append(query)
            answers[min(len(calls.asked), len(answers)) - 1](self, query)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        scheme = "https" if tls else "http"
        yield f"{scheme}://{host}:{server.server_address[1]}/api/data/log", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve ``answers`` in turn, the last one for ever; yield the URL and the queries so far."""
    with listening(*answers) as (url, calls):
        yield url, calls.asked


def body(content: bytes, status: int = 200, **headers: str) -> Answer:
    """Answer with these bytes; headers by name, ``_`` for ``-``."""

    def answer(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        handler.send_response(status)
        named = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in named.items():
            if value:
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)
        # Behind an answer of another length than promised nobody finds the next one.
        handler.close_connection |= named["Content-Length"] != str(len(content))

    return answer


def page(envelopes: object) -> Answer:
    return body(json.dumps(envelopes).encode())


def cursor(envelopes: list[Any], most: int = 1_000) -> Answer:
    """Page through envelopes by ``?after=&limit=``, at most ``most`` at a time."""

    def answer(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        after = int(query.get("after", -1))
        rest = sorted((e for e in envelopes if e["recordId"] > after), key=lambda e: e["recordId"])
        page(rest[: min(int(query["limit"]), most)])(handler, query)

    return answer
