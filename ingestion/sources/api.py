"""The log API: pages of envelopes, by window or by cursor. Knows HTTP, and neither keys nor lake.

An answer is taken whole or not at all: what is late, cut, too large, no JSON or no array raises,
and nothing of that page is kept.
"""

import email.utils
import hashlib
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from ingestion.errors import ConfigError, SourceUnavailable
from ingestion.reasons import Reason
from ingestion.records import record_id
from ingestion.settings import Settings
from ingestion.sources.envelopes import Broken, parse_array
from ingestion.times import SourceClock

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_PAGES = 10_000
"""Pages of one run; the next run goes on where this one stopped."""

_TIMEOUT = urllib3.Timeout(connect=5, read=30)
_DEADLINE_SECONDS = 120
"""For one whole answer: a server that sends a byte now and then passes every read timeout."""

_WAITS_SECONDS = (0.5, 1.0, 2.0)
_MAX_WAIT_SECONDS = 30.0
"""A Retry-After beyond this is cut: the scheduler's next run waits better than a busy worker."""

_DAY_MILLISECONDS = 86_400_000

_REMEDIES = {
    401: "Put a valid bearer token into the file that SOURCE_TOKEN_FILE names.",
    403: "Ask the source's owner to allow this client, or set SOURCE_TOKEN_FILE.",
    404: "Set SOURCE_URL to the address of the log API.",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the API."""

    envelopes: list[object]
    cursor: int | None
    sha256: str
    status: int
    first_id: int | None = None
    """The smallest id that identifies a record (``records.record_id``)."""
    last_id: int | None = None
    span_seconds: float | None = None
    """Between the first and the last arrival; None where fewer than two records say when."""


def polling_interval(span_seconds: float | None) -> int | None:
    """Return how often, in seconds, a source that shows only a window has to be read.

    Half of the time that the window covers, so that one read that fails leaves no hole; at least
    one second. None where the window does not say what it covers.
    """
    return None if span_seconds is None else max(1, int(span_seconds / 2))


def span(envelopes: list[object], clock: SourceClock) -> float | None:
    """Return the seconds between the first and the last arrival, None if fewer than two say.

    A stamp further than a day from the median is taken for a wrong clock, so that one of them
    makes no window of fifty years. A window that does cover more counts as two days at most,
    which makes ``polling_interval`` only safer.
    """
    stamps = [
        stamp
        for envelope in envelopes
        if isinstance(envelope, dict)
        and (stamp := clock.arrival(envelope.get("ArrivalTimeStamp"))) is not None
    ]
    if not stamps:
        return None
    middle = statistics.median_low(stamps)
    near = [stamp for stamp in stamps if abs(stamp - middle) <= _DAY_MILLISECONDS]
    return (max(near) - min(near)) / 1_000 if len(near) > 1 else None


def read(
    settings: Settings, start: int | None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Page]:
    """Yield the pages that the source has to offer, in its order; ``start`` is for cursors only.

    Raises:
        ConfigError: if the source refuses us, so that a retry would too.
        SourceUnavailable: if it does not answer, or answers with anything but an array.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if settings.source_token_file is not None:
        headers["Authorization"] = f"Bearer {_token(settings)}"
    with urllib3.PoolManager(maxsize=1, retries=False, timeout=_TIMEOUT) as pool:
        clock = SourceClock(settings.source_time_zone, settings.source_false_z)
        client = _Client(pool, settings.source_url, headers, clock, sleep)
        if settings.source_paging == "window":
            yield client.page(None, {})
            return
        yield from _follow(client, start, settings.source_page_limit)


def _follow(client: "_Client", cursor: int | None, limit: int) -> Iterator[Page]:
    longest = 0
    for _ in range(MAX_PAGES):
        query = {"limit": str(limit)}
        if cursor is not None:
            query["after"] = str(cursor)
        page = client.page(cursor, query)
        if not page.envelopes:
            return
        if page.last_id is None or (cursor is not None and page.last_id <= cursor):
            raise SourceUnavailable(
                f"{client.url} was asked for records after {cursor} and brought none of them. "
                "If it does not page by ?after=, set SOURCE_PAGING=window."
            )
        yield page
        cursor = page.last_id
        # A page shorter than one before it was the last; a server may cap `limit` lower.
        if len(page.envelopes) < longest:
            return
        longest = max(longest, len(page.envelopes))
    logger.warning("stopped source=api pages=%d reason=page_cap", MAX_PAGES)


def _token(settings: Settings) -> str:
    path = settings.source_token_file
    assert path is not None
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"Cannot read SOURCE_TOKEN_FILE {path}.") from None
    if not token or not token.isprintable():
        raise ConfigError(f"SOURCE_TOKEN_FILE {path} must hold one line: the token.")
    return token


class _Client:
    def __init__(
        self,
        pool: urllib3.PoolManager,
        url: str,
        headers: dict[str, str],
        clock: SourceClock,
        sleep: Callable[[float], None],
    ) -> None:
        self.url = url
        self._clock = clock
        self._pool = pool
        self._headers = headers
        self._sleep = sleep

    def page(self, cursor: int | None, query: dict[str, str]) -> Page:
        for wait in (*_WAITS_SECONDS, None):
            try:
                return self._request(cursor, query)
            except _Busy as busy:
                if wait is None:
                    raise SourceUnavailable(
                        f"{self.url} {busy.seen}, {len(_WAITS_SECONDS) + 1} times. Is the source "
                        "up, and SOURCE_URL right? Run again later."
                    ) from None
                pause = min(wait if busy.wait is None else busy.wait, _MAX_WAIT_SECONDS)
                logger.warning("waiting source=api seconds=%.1f because=%r", pause, busy.seen)
                self._sleep(pause)
        raise AssertionError("unreachable: the last wait is None")

    def _request(self, cursor: int | None, query: dict[str, str]) -> Page:
        try:
            response = self._pool.request(
                "GET",
                self.url,
                fields=query,
                headers=self._headers,
                redirect=False,
                preload_content=False,
            )
        except SSLError:
            raise ConfigError(
                f"{self.url} has no certificate that this machine trusts. Renew it, or add its "
                "authority to the machine's store."
            ) from None
        except HTTPError as error:
            raise _Busy(f"did not answer ({type(error).__name__})") from None
        try:
            self._check_status(response)
            body = self._body(response)
        finally:
            response.close()
        kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        seen = f"{len(body):,} bytes of {_name(kind, body)}"
        if kind and kind != "application/json" and not kind.endswith("+json"):
            raise SourceUnavailable(
                f"{self.url} answered with {seen} where a JSON array was expected. Is SOURCE_URL "
                "the log API itself, not a login or error page?"
            )
        try:
            envelopes = parse_array(body.decode("utf-8"))
        except Broken as broken:
            raise SourceUnavailable(
                f"{self.url} answered with {seen} that is no JSON array: {broken}."
            ) from None
        except UnicodeDecodeError as error:
            raise SourceUnavailable(
                f"{self.url} answered with {seen} that is not UTF-8, at byte {error.start:,}."
            ) from None
        ids = [i for i in map(record_id, envelopes) if not isinstance(i, Reason)]
        return Page(
            envelopes,
            cursor,
            hashlib.sha256(body).hexdigest(),
            response.status,
            min(ids, default=None),
            max(ids, default=None),
            span(envelopes, self._clock),
        )

    def _check_status(self, response: urllib3.BaseHTTPResponse) -> None:
        status = response.status
        if status == 200:
            return
        if status == 429 or status >= 500:
            wait = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
            raise _Busy(f"answered {status}", wait)
        if 300 <= status < 400:
            raise ConfigError(
                f"{self.url} answered {status}, a redirect, which is never followed: it could "
                "lead anywhere. Set SOURCE_URL to the final address."
            )
        if status in _REMEDIES:
            raise ConfigError(f"{self.url} answered {status}. {_REMEDIES[status]}")
        if 400 <= status < 500:
            raise ConfigError(
                f"{self.url} answered {status} to a plain GET. Check SOURCE_URL and SOURCE_PAGING."
            )
        raise SourceUnavailable(f"{self.url} answered {status} where 200 was expected.")

    def _body(self, response: urllib3.BaseHTTPResponse) -> bytes:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := response.read1(256 * 1024, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_BODY_BYTES:
                    raise SourceUnavailable(
                        f"{self.url} answered with more than {MAX_BODY_BYTES:,} bytes. Lower "
                        "SOURCE_PAGE_LIMIT."
                    )
                if time.monotonic() > deadline:
                    raise _Busy(f"took more than {_DEADLINE_SECONDS} s for one answer")
        except HTTPError as error:
            raise _Busy(f"broke off after {size:,} bytes ({type(error).__name__})") from None
        return b"".join(pieces)


class _Busy(Exception):
    """An answer that may be better in a moment."""

    def __init__(self, seen: str, wait: float | None = None) -> None:
        super().__init__(seen)
        self.seen = seen
        self.wait = wait


def retry_after(text: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None if it makes no sense."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        until = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _name(kind: str, body: bytes) -> str:
    start = body[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return kind if kind.replace("/", "").replace("-", "").replace("+", "").isalnum() else "no type"
