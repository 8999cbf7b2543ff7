"""Where the landing log stands: what operators look at. Reads, never writes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ingestion import ledger
from ingestion.commit import LandingLog
from ingestion.headers import Head, Header
from ingestion.keys import KeyRing
from ingestion.lake import Lake
from ingestion.settings import Settings
from ingestion.sources.api import polling_interval

_SHOWN_RANGES = 20
_LOOKED_BACK = 100
"""Batches searched for the newest one of the API, and for the last use of a key."""


def status(settings: Settings) -> dict[str, Any]:
    """Return head, watermark, unpublished batches, holes, sums, quarantine by reason, keys in use.

    Checks every link of the log behind the last checkpoint, and that the sums come out.

    Raises:
        ContractError: if they do not.
    """
    log = LandingLog(Lake(settings))
    waiting = log.unpublished()
    head = log.head()
    published = waiting[0] - 1 if waiting else head.seq
    sums = _sums(log, published)
    gaps = head.settled.gaps() if settings.source_consecutive_ids else []
    ends = list(head.settled)
    is_window = settings.source_paging == "window"
    return {
        "head": head.seq,
        "published": published,
        "unpublished": waiting,
        "checkpoint": log.checkpoint.seq,
        "superseded": head.superseded.count(),
        "lowest_id": ends[0][0] if ends else None,
        "highest_id": ends[-1][1] if ends else None,
        "missing_ids": head.settled.missing() if settings.source_consecutive_ids else None,
        "missing_ranges": [list(gap) for gap in gaps[-_SHOWN_RANGES:]],
        **{name: sums[name] for name in ledger.COUNTS},
        "quarantined_now": sums["quarantined"] - sums["replayed"],
        "quarantine": _part(sums, "reason."),
        "keys": _part(sums, "key."),
        "poll_every_seconds": _poll_every(log, head) if is_window else None,
    }


def keys(settings: Settings) -> list[dict[str, Any]]:
    """Return each key of the ring, and each one that only old records need: state and use.

    ``batches_ago``: how many batches ago it last opened a record; None if not in the last 100.
    """
    ring = KeyRing.of(settings)
    log = LandingLog(Lake(settings))
    waiting = log.unpublished()
    published = waiting[0] - 1 if waiting else log.head().seq
    used = _part(_sums(log, published), "key.")
    last_use: dict[str, int] = {}
    for back, marker in enumerate(_markers(log, published)):
        for row in marker.get("keys") or ():
            last_use.setdefault(row["fingerprint"], back)
    known = [
        {
            "fingerprint": entry.fingerprint,
            "id": entry.id,
            "state": entry.state,
            "not_before": entry.not_before.isoformat() if entry.not_before else None,
        }
        for entry in ring.entries
    ]
    in_ring = {entry.fingerprint for entry in ring.entries}
    known += [
        {"fingerprint": mark, "id": None, "state": "not in the ring", "not_before": None}
        for mark in used
        if mark not in in_ring
    ]
    return [
        key
        | {
            "records": used.get(str(key["fingerprint"]), 0),
            "batches_ago": last_use.get(str(key["fingerprint"])),
        }
        for key in known
    ]


def _sums(log: LandingLog, published: int) -> Counter[str]:
    """Return the tally over the published batches that count."""
    sums = Counter(log.verified(log.checkpoint, published).sums)
    if published:
        replaced = (
            seq for low, high in log.header(published).superseded for seq in range(low, high + 1)
        )
        sums.subtract(ledger.tally(log.marked(seq) for seq in replaced))
    ledger.check(sums, f"the batches up to {published}")
    return sums


def _part(sums: Counter[str], prefix: str) -> dict[str, int]:
    found = {name: count for name, count in sums.items() if name.startswith(prefix) and count}
    return {name.removeprefix(prefix): found[name] for name in sorted(found)}


def _markers(log: LandingLog, published: int) -> Iterator[dict[str, Any]]:
    return (log.marked(seq) for seq in range(published, max(0, published - _LOOKED_BACK), -1))


def _poll_every(log: LandingLog, head: Head) -> int | None:
    """Return how often the window has to be looked at, by what it covered last."""
    for seq in range(head.seq, max(0, head.seq - _LOOKED_BACK), -1):
        header: Header = log.header(seq)
        if header.source == "api" and header.pages:
            return polling_interval(header.pages[-1].get("span_seconds"))
    return None
