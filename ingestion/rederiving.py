"""Derives published batches again from their landing bodies, after a decoder was put right.

The new batch supersedes the old one: readers change over when it is published, at once and whole.
"""

import logging
from collections import Counter
from collections.abc import Sequence

from ingestion.errors import ConfigError
from ingestion.headers import Head, Header, run_lengths
from ingestion.landing import Landing
from ingestion.ledger import IdRanges
from ingestion.proposals import Entry, as_lists, entry
from ingestion.quarantine import Refused, rows_of
from ingestion.records import arrival_day, record_id
from ingestion.settings import Settings
from ingestion.tables import QUARANTINED_RECORDS

logger = logging.getLogger(__name__)


def rederive(settings: Settings, seqs: Sequence[int]) -> list[str]:
    """Derive these batches again as new ones, and return the unpublished manifests.

    Needs their landing bodies, which ``expire`` leaves for KEEP_LANDING_DAYS. Safe to race; a batch
    that is superseded already is refused, so a repeated call does nothing twice.

    Raises:
        ConfigError: if a batch is not there, not published, or superseded already.
        ContractError: if a landing body is gone or was changed.
    """
    with Landing(settings) as landing:
        landing.catch_up()
        for place, seq in enumerate(seqs, 1):

            def propose(head: Head, seq: int = seq) -> Entry:
                _refuse_unsuitable(landing, head, seq)
                return _entry(landing, head, seq)

            made = landing.log.append(propose)
            assert made is not None  # a proposal is always made
            logger.info(
                "rederiving seq=%d as=%d batch=%d/%d", seq, made.header.seq, place, len(seqs)
            )
            landing.stage(made)
        return landing.recover()


def _refuse_unsuitable(landing: Landing, head: Head, seq: int) -> None:
    if not 1 <= seq <= head.seq:
        raise ConfigError(f"There is no batch {seq}: the log ends at {head.seq}.")
    if seq in head.superseded:
        raise ConfigError(
            f"Batch {seq} is superseded already; `python -m ingestion status` names the batches "
            "that count."
        )
    if landing.log.marker(seq) is None:
        raise ConfigError(
            f"Batch {seq} is not published yet: run `python -m ingestion land`, which derives it "
            "by the present code, and publish it."
        )


def _entry(landing: Landing, head: Head, seq: int) -> Entry:
    log = landing.log
    old = log.header(seq)
    taken = _taken_by_replays(landing, head, seq)
    left_out = {row.record_id for row in taken}
    end = old.new - old.conflict  # conflicts, at the end, have no id of their own to be replayed
    kept = [
        (envelope, time)
        for place, (envelope, time) in enumerate(
            zip(log.envelopes(old), old.fetched_times(), strict=True)
        )
        if place >= end or record_id(envelope) not in left_out
    ]
    clock = landing.deriver.rules.clock
    reasons = Counter(old.replayed_reasons)
    reasons.subtract(row.reason for row in taken)
    return entry(
        head,
        [envelope for envelope, _ in kept],
        source=old.source,
        run_id=landing.run_id,
        fetched_at=old.fetched_at,
        pages=[],
        offered=old.offered,
        duplicate=old.duplicate,
        conflict=old.conflict,
        missing=old.missing,
        replayed=old.replayed - len(taken),
        replayed_reasons={reason: count for reason, count in sorted(reasons.items()) if count},
        replayed_ids=_without(old.replayed_ids, left_out),
        days=_days(
            old,
            Counter(arrival_day(envelope, clock, time) for envelope, time in kept),
            Counter(row.arrived_date for row in taken),
        ),
        times=run_lengths(time for _, time in kept),
        supersedes=[seq],
        superseded=as_lists(head.superseded.union([seq])),
        replays=[*head.replays, *([head.seq + 1] if old.source == "replay" else [])],
    )


def _taken_by_replays(landing: Landing, head: Head, seq: int) -> list[Refused]:
    """Return what later replays took out of the batch's quarantine: they account for it now."""
    replays = [
        IdRanges(landing.log.header(replay).replayed_ids)
        for replay in head.active_replays()
        if replay > seq
    ]
    if not replays:
        return []
    return [
        row
        for row in rows_of(landing.lake, f"{QUARANTINED_RECORDS.prefix}seq={seq:012d}.parquet")
        if row.record_id is not None
        and row.has_its_own_id
        and any(row.record_id in ids for ids in replays)
    ]


def _without(ranges: list[list[int]], left_out: set[int | None]) -> list[list[int]]:
    ids = (i for low, high in ranges for i in range(low, high + 1))
    return as_lists(IdRanges((i, i) for i in ids if i not in left_out))


def _days(old: Header, kept: Counter[str], taken: Counter[str]) -> list[dict[str, object]]:
    """Return the counts per arrival day, by the clock as it is declared now.

    Duplicates, and what a replay took, stay on the days where they were counted before.

    Raises:
        ConfigError: if a replay would move to other days than those it took its records from.
    """
    duplicates = Counter({day["arrived_date"]: day["duplicate"] for day in old.days})
    replayed = Counter({day["arrived_date"]: day.get("replayed", 0) for day in old.days})
    replayed.subtract(taken)
    if old.source != "replay":
        offered = duplicates + kept
        offered.subtract(replayed)  # below zero: what replays took, now and from an earlier form
    elif +replayed == kept:
        offered = Counter()
    else:
        raise ConfigError(
            f"Batch {old.seq} is a replay under another source time zone than SOURCE_TIME_ZONE "
            "and SOURCE_FALSE_Z declare now: its sums per day would not come out. Set them back "
            "for this batch."
        )
    return [
        {
            "arrived_date": day,
            "offered": offered[day],
            "duplicate": duplicates[day],
            "replayed": replayed[day],
        }
        for day in sorted({*duplicates, *offered, *replayed})
    ]
