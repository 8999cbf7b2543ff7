"""The log API: pages of envelopes, by window or by cursor. Knows paging, and neither keys nor lake.

An answer is taken whole or not at all. The first one tells whether the address is right: if it is
no page, that is said at once. Behind a good page, a bad one is a passing fault and asked for again.

A cursor is always a number that we counted, sent to the address that the settings name: no link,
address or total that a server sends is read, so it can lead us neither elsewhere nor in a circle.
"""

import contextlib
import hashlib
import logging
import statistics
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ingestion.errors import ConfigError, SourceUnavailable
from ingestion.reasons import Reason
from ingestion.records import record_id
from ingestion.settings import Settings
from ingestion.sources.answers import MAX_BODY_BYTES, Again, Answer, Line, TooLarge, Unanswered
from ingestion.sources.envelopes import Broken, parse_array
from ingestion.sources.patience import ATTEMPTS, Patience
from ingestion.sources.reading import ahead
from ingestion.texts import Plain, plain_array
from ingestion.times import SourceClock

logger = logging.getLogger(__name__)

MAX_PAGES = 10_000
MAX_RUN_SECONDS = 1_800.0
"""Of one run, looked at between two requests; the next run goes on where this one stopped."""

MAX_VALUES = 1_000_000
"""JSON values of one answer: two bytes of text can become a hundred of memory."""

MAX_RECORDS = 100_000
"""Of one answer; as many as SOURCE_PAGE_LIMIT may ask for."""

MAX_PAGES_WITHOUT_IDS = 10
"""In a row; then a person has to look at the source."""

_DAY_SECONDS = 86_400

_KINDS = frozenset(
    f"application/{kind}" for kind in ("json", "x-ndjson", "xml", "octet-stream", "gzip")
) | frozenset(f"text/{kind}" for kind in ("html", "plain", "csv", "xml"))
"""Media types that a message may name; a server can write anything there."""

_REMEDIES = {
    401: "Put a valid bearer token into the file that SOURCE_TOKEN_FILE names.",
    403: "Ask the source's owner to allow this client, or set SOURCE_TOKEN_FILE.",
    404: "Set SOURCE_URL to the address of the log API.",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the API."""

    envelopes: Sequence[object]
    cursor: int | None
    sha256: str
    status: int
    first_id: int | None = None
    """The smallest id that identifies a record (``records.record_id``)."""
    last_id: int | None = None
    span_seconds: float | None = None
    """Between the first and the last arrival; None where fewer than two records say when."""
    unidentified: int = 0
    """How many records have no id that identifies them."""


def polling_interval(span_seconds: float | None) -> int | None:
    """Return how often, in seconds, a source that shows only a window has to be read.

    Half of the time that the window covers, so that one read that fails leaves no hole; at least
    one second. None where the window does not say what it covers.
    """
    return None if span_seconds is None else max(1, int(span_seconds / 2))


def span(envelopes: Sequence[object], clock: SourceClock) -> float | None:
    """Return the seconds between the first and the last arrival, None if fewer than two say.

    A stamp further than a day from the median is taken for a wrong clock, so that one of them
    makes no window of fifty years. A window that does cover more counts as two days at most,
    which makes ``polling_interval`` only safer.
    """
    if isinstance(envelopes, Plain):
        envelopes = envelopes.outermost(_DAY_SECONDS)
        return _extent(_stamps(envelopes, clock))
    stamps = _stamps(envelopes, clock)
    if not stamps:
        return None
    middle = statistics.median_low(stamps)
    return _extent([stamp for stamp in stamps if abs(stamp - middle) <= _DAY_SECONDS * 1_000])


def _stamps(envelopes: Sequence[object], clock: SourceClock) -> list[int]:
    return [
        stamp
        for envelope in envelopes
        if isinstance(envelope, dict)
        and (stamp := clock.arrival(envelope.get("ArrivalTimeStamp"))) is not None
    ]


def _extent(stamps: Sequence[int]) -> float | None:
    return (max(stamps) - min(stamps)) / 1_000 if len(stamps) > 1 else None


def read(settings: Settings, start: int | None, patience: Patience | None = None) -> Iterator[Page]:
    """Yield the pages that the source has to offer, in its order; ``start`` is for cursors only.

    Reading by cursor ends with an empty page, with a page less than half as long as one before it
    (or a busy source would be followed for ever), or at a cap. What a server holds back behind
    such a page is not lost: the next run asks for it again, from the same place.

    Raises:
        ConfigError: if the source refuses us, so that a retry would too.
        SourceUnavailable: if it does not answer, or answers with anything but an array.
    """
    pages = _pages(settings, start, patience or Patience())
    # The next page while this one is taken. Not several at a time: where a page begins is known
    # only when the one before it has come.
    return ahead(pages) if settings.source_paging == "cursor" else pages


def _pages(
    settings: Settings, start: int | None, patience: Patience
) -> Generator[Page, None, None]:
    with contextlib.closing(Line(settings.source_url)) as line:
        client = _Client(settings, line, patience)
        if settings.source_paging == "window":
            yield client.page(None, None)
        else:
            limit, is_dense = settings.source_page_limit, settings.source_consecutive_ids
            yield from _follow(client, start, limit, is_dense)


def _follow(client: "_Client", cursor: int | None, most: int, is_dense: bool) -> Iterator[Page]:
    limit = most
    longest = pages = without_ids = 0
    stop = "page_cap"
    while pages < MAX_PAGES:
        try:
            page = client.page(cursor, limit)
            if is_dense and _overtakes(page, cursor):
                with contextlib.suppress(SourceUnavailable):  # what is in hand is good
                    page = _earlier(page, client.page(cursor, limit))
        except _TooLarge as error:
            if limit > 1:
                # One giant must not block the others; they come in shorter pages.
                limit, longest = max(1, limit // 10), 0
                logger.warning("shrinking source=api limit=%d because=too_large", limit)
                continue
            if not error.is_one_element:
                raise
            page = _stand_in(cursor)
        except _OutOfTime:
            if not pages:
                raise
            stop = "time_cap"
            break
        if not page.envelopes:
            return
        yield page
        pages += 1
        if page.last_id is not None and (cursor is None or page.last_id > cursor):
            cursor, without_ids = page.last_id, 0
        else:
            # Nothing here says how far we are. But n records behind the cursor have n different
            # ids above it, so the last of them is cursor + n at least: going on from there
            # overtakes nothing, and spoiled ids do not block what stands behind them.
            cursor = (-1 if cursor is None else cursor) + page.unidentified
            without_ids += 1
        if 2 * len(page.envelopes) < longest:
            return
        longest = max(longest, len(page.envelopes))
        if without_ids == MAX_PAGES_WITHOUT_IDS:
            stop = "no_ids"
            break
        if limit < most:
            limit, longest = min(most, 2 * limit), 0
    logger.warning("stopped early source=api pages=%d because=%s", pages, stop)


def _overtakes(page: Page, cursor: int | None) -> bool:
    """Tell whether ids that follow each other are left out where a page begins."""
    if cursor is None or page.first_id is None:
        return False
    return page.first_id - cursor - 1 > page.unidentified


def _earlier(page: Page, again: Page) -> Page:
    if page.first_id is None or again.first_id is None:
        return page
    return again if again.first_id < page.first_id else page


def _stand_in(cursor: int | None) -> Page:
    """Return the page of one record that is too large to be read: a text, to be quarantined."""
    logger.error("refused source=api record_after=%s because=too_large", cursor)
    text = f"A record of more than {MAX_BODY_BYTES:,} bytes, after {cursor}."
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Page([text], cursor, digest, 200, unidentified=1)


class _TooLarge(SourceUnavailable):
    is_one_element = False


class _OutOfTime(SourceUnavailable):
    pass


class _Client:
    """Asks for pages until it has them, or says why it has not."""

    def __init__(self, settings: Settings, line: Line, patience: Patience) -> None:
        parts = urlsplit(settings.source_url)
        self._name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._line = line
        self._patience = patience
        self._end = patience.monotonic() + MAX_RUN_SECONDS
        self._clock = SourceClock(settings.source_time_zone, settings.source_false_z)
        self._token_file = settings.source_token_file
        # No compression. Tokens are base64 of noise: gzip saves 171 of a record's 541 bytes, for
        # 1.8 us of CPU here and 11 us at the server (level 1, measured), which is faster only on
        # a line below 100 Mbit/s, and line time is hidden by reading ahead.
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        self._had_a_page = False
        self._authorize()

    def page(self, cursor: int | None, limit: int | None) -> Page:
        """Return the page behind a cursor; without a limit, the window.

        Raises ``_TooLarge`` and ``_OutOfTime``, too.
        """
        query = {} if limit is None else {"limit": str(limit)}
        if cursor is not None:
            query["after"] = str(cursor)
        if self._had_a_page and self._patience.monotonic() >= self._end:
            raise _OutOfTime(f"{self._name} was read for {MAX_RUN_SECONDS:g} s.")
        has_authorized_again = False
        for attempt in range(ATTEMPTS):
            outcome = self._outcome(cursor, query)
            if isinstance(outcome, Page):
                self._had_a_page = True
                return outcome
            times = f", {attempt + 1} times" if attempt else ""
            error, advice, again = outcome.error, outcome.advice, outcome.again
            if again == "behind a page" and self._had_a_page:
                error, again = SourceUnavailable, "always"
                advice = "Pages before it were good, so this may pass: run again later."
            elif again == "with a new token" and not has_authorized_again:
                # It may have been replaced while we ran, or is being replaced just now.
                has_authorized_again, again = True, "always"
            message = f"{self._name} {outcome.seen}{times}. {advice}"
            if isinstance(outcome, TooLarge):
                too_large = _TooLarge(message)
                too_large.is_one_element = outcome.is_one_element
                raise too_large
            if again != "always" or attempt + 1 == ATTEMPTS:
                raise error(message)
            pause = self._patience.seconds(attempt, outcome.wait)
            if self._patience.monotonic() + pause >= self._end:
                raise _OutOfTime(message)
            logger.warning("waiting source=api seconds=%.1f because=%r", pause, outcome.seen)
            self._patience.sleep(pause)
            if has_authorized_again:
                self._authorize()
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _authorize(self) -> None:
        if self._token_file is not None:
            self._headers["Authorization"] = f"Bearer {_token(self._token_file)}"

    def _outcome(self, cursor: int | None, query: dict[str, str]) -> Page | Unanswered:
        # An exception of a parser holds the text that it failed on, so none of them may become
        # the context of what is raised: failures are values up to here.
        try:
            answer = self._line.get(query, self._headers)
            _check_status(answer)
            page = self._parsed(answer, cursor)
        except Unanswered as unanswered:
            return unanswered
        is_behind = page.last_id is None or (cursor is not None and page.last_id <= cursor)
        if cursor is not None and is_behind and page.envelopes and not page.unidentified:
            return Unanswered(
                f"was asked for records after {cursor} and brought none of them",
                "If it does not page by ?after=, set SOURCE_PAGING=window.",
                again="behind a page",
            )
        return page

    def _parsed(self, answer: Answer, cursor: int | None) -> Page:
        body = answer.body
        seen = f"answered with {len(body):,} bytes of {_kind(answer)}"
        if answer.kind not in ("", "application/json") and not answer.kind.endswith("+json"):
            raise Unanswered(
                f"{seen} where a JSON array was expected",
                "Is SOURCE_URL the log API itself, not a login or error page?",
                again="behind a page",
            )
        # Every value but the first stands behind one of these, or behind another value's.
        if body.count(b",") + body.count(b":") + body.count(b"[") > MAX_VALUES:
            raise TooLarge(f"answered with more than {MAX_VALUES:,} values")
        envelopes: Sequence[object] | None = plain_array(bytes(body).strip(b" \t\r\n"))
        try:
            if envelopes is None:
                # Whatever charset the header claims: JSON is UTF-8, and what is not is refused.
                envelopes = parse_array(body.decode("utf-8-sig"))
        except Broken as broken:
            wrong = f"that is no JSON array: {broken}"
        except UnicodeDecodeError as error:
            wrong = f"that is not UTF-8, at byte {error.start:,}"
        else:
            if len(envelopes) > MAX_RECORDS:
                raise TooLarge(f"answered with more than {MAX_RECORDS:,} records")
            if isinstance(envelopes, Plain):
                ids = envelopes.ids
            else:
                ids = [i for i in map(record_id, envelopes) if not isinstance(i, Reason)]
            return Page(
                envelopes,
                cursor,
                hashlib.sha256(body).hexdigest(),
                answer.status,
                min(ids, default=None),
                max(ids, default=None),
                span(envelopes, self._clock),
                len(envelopes) - len(ids),
            )
        raise Unanswered(f"{seen} {wrong}", again="behind a page")


def _check_status(answer: Answer) -> None:
    status = answer.status
    if status == 200:
        return
    seen = f"answered {status}"
    if status in (408, 425, 429) or status >= 500:
        raise Unanswered(seen, wait=answer.wait)
    if 300 <= status < 400:
        raise Unanswered(
            f"{seen}, a redirect, which is never followed: it could lead anywhere",
            "Set SOURCE_URL to the final address.",
            again="behind a page",
            error=ConfigError,
        )
    if 400 <= status < 500:
        again: Again = "behind a page"
        if status == 401:
            again = "with a new token"
        elif status == 403:
            again = "never"
        advice = _REMEDIES.get(status, "Check SOURCE_URL and SOURCE_PAGING.")
        raise Unanswered(seen, advice, again=again, error=ConfigError)
    raise Unanswered(f"{seen} where 200 was expected", again="behind a page")


def _kind(answer: Answer) -> str:
    if bytes(answer.body[:512]).lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if not answer.kind:
        return "no type"
    return answer.kind if answer.kind in _KINDS else "another type"


def _token(path: Path) -> str:
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"Cannot read SOURCE_TOKEN_FILE {path}.") from None
    if not token or not token.isprintable():
        raise ConfigError(f"SOURCE_TOKEN_FILE {path} must hold one line: the token.")
    return token
