"""What one record of the log API holds, before anything is encrypted."""

from __future__ import annotations

import functools
import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(NamedTuple):
    """One line of the log.

    Both times are the source's wall clock *read as if it were UTC*, in milliseconds: that is the
    source's own mistake, and keeping it in one place keeps it consistent.
    """

    record_id: int
    occurred_wall_ms: int
    arrived_wall_ms: int
    user: str
    activity: str
    url: str
    method: str
    level: str
    message: str


class RecordLog(Protocol):
    """Records in id order, of which a growing prefix is visible."""

    def latest(self, count: int) -> list[Record]:
        """Return the newest ``count`` visible records, oldest first."""

    def after(self, record_id: int, limit: int) -> list[Record]:
        """Return at most ``limit`` visible records with greater ids, ascending."""


def wall_text(wall_ms: int) -> str:
    """Write a wall time as the source does: with a ``Z`` that it has no right to."""
    wall = _EPOCH + timedelta(milliseconds=wall_ms)
    return f"{wall:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03d}Z"


def fields(record: Record) -> dict[str, object]:
    """Return the eight keys of the source's plaintext, in its order."""
    return {
        "user_id": _hashed(record.user),
        "record_id": record.record_id,
        "activity": record.activity,
        "url": record.url,
        "method": record.method,
        "name": "json_logger",
        "inDate": wall_text(record.occurred_wall_ms),
        "detail": {"message": record.message, "levelname": record.level},
    }


@functools.lru_cache(maxsize=20_000)
def _hashed(user: str) -> str:
    # Bare on purpose: the real source does the same, which is why ingestion must pseudonymise.
    return hashlib.sha256(user.encode()).hexdigest()
