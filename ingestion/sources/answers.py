"""One GET of the source: a whole and bounded body, or why there is none. Knows no records.

Nothing that a server sends can hold a run, fill its memory or lead it elsewhere: every phase has
its deadline, every size its cap, and a connection reaches one host only.
"""

import contextlib
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from ingestion.errors import ConfigError, IngestionError, SourceUnavailable
from ingestion.sources.gzipped import MAX_RATIO, Bomb, Damaged, Unpacker
from ingestion.sources.patience import stated_seconds

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Of one answer, as sent and as unpacked."""

ANSWER_SECONDS = 120.0
"""For one whole answer: a server that sends a byte now and then passes every read timeout."""

CONNECT_SECONDS = 5.0
"""For one address of the host, with TLS."""

READ_SECONDS = 30.0
"""Between two bytes."""

_PIECE = 64 * 1024
_FIRST_OBJECT = re.compile(rb"\s*+\[\s*+\{")
_END_OF_OBJECT = re.compile(rb"\}\s*+,")

# It warns of malformed headers by quoting them, and whatever stands there would be in our logs.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


Again = Literal["always", "behind a page", "with a new token", "never"]
"""Whether it is worth while to ask again in a moment."""


class Unanswered(Exception):
    """There is no answer that could be used; carries what was seen, and nothing that was sent."""

    def __init__(
        self,
        seen: str,
        advice: str = "Is the source up, and SOURCE_URL right? Run again later.",
        *,
        again: Again = "always",
        wait: float | None = None,
        error: type[IngestionError] = SourceUnavailable,
    ) -> None:
        """Say what was seen, what to do, when to ask again (``wait``: seconds that the server
        asks for), and what to raise where that does not help.
        """
        super().__init__(seen)
        self.seen = seen
        self.advice = advice
        self.again = again
        self.wait = wait
        self.error = error


class TooLarge(Unanswered):
    """A page beyond our caps; a shorter one may be within them."""

    def __init__(self, seen: str, is_one_element: bool = False) -> None:
        """Say what was seen, and whether a single element of an array is at fault."""
        super().__init__(seen, "No page of a log is that large: see what it really sends.")
        self.is_one_element = is_one_element


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the body only of a 200."""

    status: int
    kind: str
    """The media type that the server claims, in lower case."""
    body: bytes | bytearray
    wait: float | None
    """Seconds that a Retry-After asks for."""


class Line:
    """The one connection to the source's host, kept from answer to answer."""

    def __init__(self, url: str) -> None:
        """Prepare it; the first ``get`` connects."""
        parts = parse_url(url)
        self._path = parts.path or "/"
        self._pool = urllib3.connection_from_url(url, maxsize=1, retries=False)
        self._pool.ConnectionCls = _Secure if parts.scheme == "https" else _Plain

    def close(self) -> None:
        """Hang up."""
        self._pool.close()

    def get(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Ask once. No redirect is followed.

        Raises:
            Unanswered: if what came is not a whole answer.
        """
        end = time.monotonic() + ANSWER_SECONDS
        try:
            response = self._pool.request(
                "GET",
                self._path,
                fields=query,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in error.args):
                raise Unanswered(
                    "has no certificate that this machine trusts",
                    "Renew it, or add its authority to the machine's store.",
                    again="never",
                    error=ConfigError,
                ) from None
            if time.monotonic() > end:
                raise Unanswered(_late()) from None
            raise Unanswered(f"did not answer ({type(error).__name__})") from None
        try:
            body = _body(response, end) if response.status == 200 else b""
        except BaseException:
            response.close()
            raise
        if response.status != 200:
            response.close()
        kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        stated = stated_seconds(response.headers.getlist("Retry-After"), datetime.now(UTC))
        return Answer(response.status, kind, body, stated)


def _body(response: urllib3.BaseHTTPResponse, end: float) -> bytearray:
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip", "x-gzip"):
        raise Unanswered(
            "answered in a Content-Encoding that nobody asked for",
            "Only gzip is understood, and only once.",
            again="behind a page",
        )
    unpacker = Unpacker() if coding.endswith("gzip") else None
    body = bytearray()
    received = 0
    try:
        with _cut_after(end - time.monotonic(), response.shutdown) as cut:
            while piece := response.read1(_PIECE, decode_content=False):
                received += len(piece)
                for part in unpacker.unpack(piece) if unpacker else (piece,):
                    body += part
                    if max(len(body), received) > MAX_BODY_BYTES:
                        seen = f"answered with more than {MAX_BODY_BYTES:,} bytes"
                        raise TooLarge(seen, _is_one_element(body))
        is_late = cut.is_set() or time.monotonic() > end
        if unpacker and not is_late:
            unpacker.finish()
    except HTTPError as error:
        is_late = cut.is_set() or time.monotonic() > end
        if not is_late:
            broken = f"broke off after {received:,} bytes ({type(error).__name__})"
            raise Unanswered(broken) from None
    except Damaged:
        raise Unanswered(f"sent gzip that is damaged or cut, in {received:,} bytes") from None
    except Bomb:
        raise Unanswered(
            f"answered with what unpacks to more than {MAX_RATIO} times its size",
            "No text does: see what the server really sends.",
            again="behind a page",
        ) from None
    if is_late:
        raise Unanswered(_late())
    return body


def _is_one_element(body: bytearray) -> bool:
    """Tell whether an array of objects is cut before its first object ends."""
    return bool(_FIRST_OBJECT.match(body)) and not _END_OF_OBJECT.search(body)


def _late() -> str:
    return f"took more than {ANSWER_SECONDS:g} s for one answer"


@contextlib.contextmanager
def _cut_after(seconds: float, cut: Callable[[], object]) -> Iterator[threading.Event]:
    """Cut a connection under whoever waits for it; what is yielded says that it was."""
    is_cut = threading.Event()

    def fire() -> None:
        is_cut.set()
        # It may have ended by itself in this moment.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            cut()

    timer = threading.Timer(max(seconds, 0.0), fire)
    timer.daemon = True
    timer.start()
    try:
        yield is_cut
    finally:
        timer.cancel()
        timer.join()


# A read timeout begins anew with every byte, also of a header, and urllib3 has no other.
class _Plain(HTTPConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3
        with _cut_after(ANSWER_SECONDS, lambda: _shut(self)):
            return super().getresponse()


class _Secure(HTTPSConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3
        with _cut_after(ANSWER_SECONDS, lambda: _shut(self)):
            return super().getresponse()


def _shut(connection: HTTPConnection) -> None:
    if connection.sock is not None:
        connection.sock.shutdown(socket.SHUT_RDWR)
