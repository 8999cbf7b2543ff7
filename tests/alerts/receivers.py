"""Slack and Teams on loopback: real HTTP servers that judge a body as the real ones document it."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T0SECRET/B0SECRET/xoxSECRETxox"


def slack_refuses(body: Any) -> str:
    """Return why Slack would answer 400 invalid_blocks or no_text; its documented limits."""
    if not isinstance(body.get("text"), str) or not body["text"]:
        return "no_text"
    blocks = body.get("blocks", [])
    if len(blocks) > 50:
        return "more than 50 blocks"
    for block in blocks:
        if block["type"] == "header":
            text = block["text"]
            if text["type"] != "plain_text" or not 1 <= len(text["text"]) <= 150:
                return "header: plain_text of 1 to 150"
        elif block["type"] == "section":
            fields = block.get("fields", [])
            if not fields and "text" not in block:
                return "section: text or fields"
            if len(fields) > 10 or any(not 1 <= len(one["text"]) <= 2000 for one in fields):
                return "section: at most 10 fields of 2000"
            if "text" in block and not 1 <= len(block["text"]["text"]) <= 3000:
                return "section: text of 3000"
            texts = [*fields, *([block["text"]] if "text" in block else [])]
            if any(one["type"] not in ("mrkdwn", "plain_text") for one in texts):
                return "section: type of text"
        elif block["type"] == "actions":
            if not 1 <= len(block["elements"]) <= 25:
                return "actions: 1 to 25 elements"
            ids = [one["action_id"] for one in block["elements"]]
            if len(set(ids)) < len(ids) or any(
                one["type"] != "button"
                or one["text"]["type"] != "plain_text"
                or not 1 <= len(one["text"]["text"]) <= 75
                or not re.fullmatch(r"https?://\S{1,2990}", one["url"])
                for one in block["elements"]
            ):
                return "actions: button"
        else:
            return f"unknown block {block['type']}"
    return ""


def teams_refuses(body: Any) -> str:
    """Return why Teams' workflow would fail: the card's schema and the 28 KB."""
    if len(json.dumps(body).encode()) > 28_000:
        return "larger than 28 KB"
    if body.get("type") != "message" or len(body.get("attachments", [])) != 1:
        return "one attachment of a message"
    attachment = body["attachments"][0]
    if attachment["contentType"] != "application/vnd.microsoft.card.adaptive":
        return "not an adaptive card"
    card = attachment["content"]
    if card["type"] != "AdaptiveCard" or card["version"] not in ("1.2", "1.3", "1.4", "1.5"):
        return "type and version"
    for element in card["body"]:
        if element["type"] == "TextBlock":
            if not element["text"] or element.get("color", "Default") not in (
                "Default",
                "Accent",
                "Good",
                "Warning",
                "Attention",
            ):
                return "text block"
        elif element["type"] == "FactSet":
            if any(set(fact) != {"title", "value"} for fact in element["facts"]):
                return "fact"
        else:
            return f"unknown element {element['type']}"
    for action in card.get("actions", []):
        if action["type"] != "Action.OpenUrl" or not action["url"].startswith("http"):
            return "action"
    return ""


class Receiver:
    """What a channel got, and how it answers: a list of scripted failures, then as the real one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bodies: list[dict[str, Any]] = []
        """What was accepted."""

        self.asked_at: list[float] = []
        self.failures: list[tuple[int, dict[str, str]] | str] = []
        """Each is used once: a status with headers, or ``slow``, ``drips`` or ``hangs up``."""

        self.address = ""

    @property
    def texts(self) -> list[str]:
        """Each accepted message as one text."""
        return [json.dumps(body, ensure_ascii=False) for body in self.bodies]


@contextmanager
def receiving(name: str) -> Iterator[Receiver]:
    """Run a receiver for as long as the block lasts."""
    receiver = Receiver(name)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.asked_at.append(time.monotonic())
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if receiver.failures:
                self.fail(receiver.failures.pop(0))
                return
            refused = slack_refuses(body) if name == "Slack" else teams_refuses(body)
            if not self.headers["Content-Type"].startswith("application/json"):
                refused = "content type"
            if self.path != f"/services/{SECRET}?sig=1":
                refused = "path"
            if not refused:
                receiver.bodies.append(body)
            self.answer(400, {}, refused.encode()) if refused else self.accept()

        def accept(self) -> None:
            # Slack: 200 and ok. A workflow: 202 and nothing.
            self.answer(200, {}, b"ok") if name == "Slack" else self.answer(202, {}, b"")

        def answer(self, status: int, headers: dict[str, str], text: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def fail(self, how: tuple[int, dict[str, str]] | str) -> None:
            if isinstance(how, tuple):
                self.answer(*how, b"not now")
            elif how == "hangs up":
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                with suppress(OSError):
                    for _ in range(200):
                        if how == "drips":
                            self.wfile.write(b"H")
                        if stopping.wait(0.05):
                            return

        def log_message(self, *_: object) -> None:
            pass

    stopping = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    receiver.address = f"http://127.0.0.1:{server.server_port}/services/{SECRET}?sig=1"
    try:
        yield receiver
    finally:
        stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
