"""How long to wait before a source is asked again, and what its Retry-After means."""

import email.utils
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

ATTEMPTS = 4
"""How often one page is asked for; what is down for longer waits for the next run."""

_FIRST_SECONDS = 1.0
MAX_STATED_SECONDS = 30.0
"""A Retry-After beyond this is cut: the scheduler's next run waits better than a busy worker."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The clock, the sleep and the dice of one run; tests bring their own."""

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    """From 0 to 1, evenly."""

    def seconds(self, attempt: int, stated: float | None) -> float:
        """Return the pause after the attempt of this number (from 0).

        Exponential with full jitter: clients that failed together do not come back together.
        What the server asks for comes on top, so that nobody comes back before it.
        """
        most: float = _FIRST_SECONDS * 2**attempt
        return min(stated or 0.0, MAX_STATED_SECONDS) + self.random() * most


def stated_seconds(headers: Iterable[str], now: datetime) -> float | None:
    """Return the seconds that Retry-After headers ask for, the longest of them that make sense.

    A header may hold whole seconds or a date; a date that has passed asks for no wait.
    """
    waits = [wait for text in headers if (wait := _seconds(text.strip(), now)) is not None]
    return max(waits, default=None)


def _seconds(text: str, now: datetime) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        until = email.utils.parsedate_to_datetime(text)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
