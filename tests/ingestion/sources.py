"""A log API for tests on a loopback port: scripted answers, each a function of the request."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = Callable[[BaseHTTPRequestHandler, dict[str, str]], None]


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve ``answers`` in turn, the last one for ever; yield the URL and the queries so far."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            query |= {"path": urlsplit(self.path).path, "auth": self.headers["Authorization"] or ""}
            asked.append(query)
            answers[min(len(asked), len(answers)) - 1](self, query)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api/data/log", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
        handler.close_connection = True

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
