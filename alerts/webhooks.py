"""Posts one body to one webhook, within a bounded time. Knows HTTP and nothing of what is said.

The standard library's client, because the address is the secret: other clients write its path
into their debug log, and the text of their errors names it. Nothing here logs, and what comes back
is a word or two that never hold the address.
"""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

ATTEMPTS = 3
ATTEMPT_SECONDS = 5.0
PATIENCE_SECONDS = 15.0
"""For all attempts together. Airflow kills a DAG's callback after 50 s: two channels fit twice."""

_PAUSE_SECONDS = 1.0
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_ANSWER_BYTES = 2_000


class AddressError(ValueError):
    """The address cannot be a webhook's; the text never holds it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt ended."""

    problem: str
    """What went wrong, in words that hold no address; empty when it was delivered."""

    is_curable: bool = False
    """Whether another attempt soon may do better."""

    wait_seconds: float | None = None
    """For how long the receiver asked us to wait."""


def deliver(address: str, body: dict[str, Any], sleep: Callable[[float], None] = time.sleep) -> str:
    """Post ``body``; return what went wrong, or nothing if it was accepted.

    A receiver that is away, too slow, broken (5xx) or busy (429) is asked again, after the time
    for which it asked, as long as that fits into ``PATIENCE_SECONDS``.
    """
    try:
        _checked(address)
    except AddressError as error:
        return str(error)
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = _PAUSE_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        answer = _within(min(ATTEMPT_SECONDS, deadline - time.monotonic()), address, body)
        if not answer.problem:
            return ""
        wait = pause if answer.wait_seconds is None else answer.wait_seconds
        fits = time.monotonic() + wait < deadline
        if not answer.is_curable or attempt == ATTEMPTS or not fits:
            break
        sleep(wait)
        pause *= 2
    return f"{answer.problem} ({attempt} {'attempt' if attempt == 1 else 'attempts'})"


def _checked(address: str) -> None:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise AddressError("the connection's password is not an address") from None
    if not host or parts.scheme not in ("http", "https"):
        raise AddressError("the connection's password is not an address")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise AddressError("the address is not https://, so everybody on the way could read it")


def _within(seconds: float, address: str, body: dict[str, Any]) -> Answer:
    # A timeout of the socket starts anew with each byte, so a receiver that drips would hold us
    # for ever. The thread is left behind then; it ends with its process.
    answers: list[Answer] = []
    thread = threading.Thread(
        target=lambda: answers.append(_post(address, body, seconds)), daemon=True
    )
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else Answer("no answer in time", is_curable=True)


def _post(address: str, body: dict[str, Any], seconds: float) -> Answer:
    parts = urlsplit(address)
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)
    try:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        connection.request("POST", target, json.dumps(body).encode(), headers)
        with connection.getresponse() as response:
            text = response.read(_ANSWER_BYTES).decode("utf-8", "replace")
            return _judged(response.status, text, response.getheader("Retry-After"))
    except TimeoutError:
        return Answer("no answer in time", is_curable=True)
    except ssl.SSLError:
        return Answer("no TLS connection that can be trusted")
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"no connection: {type(error).__name__}", is_curable=True)
    except Exception as error:  # an address with a space, for one; the text could hold it
        return Answer(f"could not be sent: {type(error).__name__}")
    finally:
        connection.close()


def _judged(status: int, text: str, retry_after: str | None) -> Answer:
    if 200 <= status < 300:
        # Teams' older webhooks answer 200 even so, with the refusal in the text.
        refused = "HTTP error" in text
        return (
            Answer("refused in the text of its answer", is_curable=True) if refused else Answer("")
        )
    is_curable = status in (408, 425, 429) or status >= 500
    return Answer(f"HTTP {status}{_phrase(status)}", is_curable, _seconds(retry_after))


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _seconds(retry_after: str | None) -> float | None:
    if not retry_after:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
