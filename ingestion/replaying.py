"""Takes records out of quarantine once their cause is gone: the key came, the decoder learned.

A replay is one more batch in the log. Nothing is removed: readers leave out a refusal once a later
batch has the record.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from ingestion import records
from ingestion.errors import ConfigError
from ingestion.headers import Head, run_lengths
from ingestion.isolation import derive
from ingestion.landing import MAX_BATCH_RECORDS, Landing
from ingestion.ledger import IdRanges
from ingestion.proposals import Entry, as_lists, entry
from ingestion.quarantine import Refused, refused
from ingestion.reasons import Reason
from ingestion.records import Rules
from ingestion.settings import Settings
from ingestion.sources.envelopes import parse_line
from ingestion.times import milliseconds

logger = logging.getLogger(__name__)

_TRIED_AT_ONCE = 10_000


def replay(settings: Settings, reason: str | None = None) -> list[str]:
    """Land again what quarantine holds and can be read now; return the unpublished manifests.

    Safe to repeat and to race: what one replay took, the next one does not find. A record keeps
    the time at which it was fetched, so nothing becomes good merely by waiting.

    Raises:
        ConfigError: if the settings or the keys are wrong, or there is no such reason.
    """
    if reason is not None and reason not in set(Reason):
        raise ConfigError(f"There is no reason {reason!r}; there are {', '.join(Reason)}.")
    with Landing(settings) as landing:
        landing.catch_up()
        rules = landing.deriver.rules

        def propose(head: Head) -> Entry | None:
            rows = (
                row
                for row in refused(landing.lake, landing.log, head)
                if row.has_its_own_id and reason in (None, row.reason)
            )
            return _entry(head, list(islice(_readable(rows, rules), MAX_BATCH_RECORDS)), landing)

        while made := landing.log.append(propose):
            logger.info("replayed seq=%d records=%d", made.header.seq, made.header.replayed)
            landing.stage(made)
        return landing.recover()


def _readable(rows: Iterable[Refused], rules: Rules) -> Iterator[Refused]:
    """Yield the rows whose record decodes now, tried in the child process like any batch."""
    remaining, tried, found = iter(rows), 0, 0
    while chunk := list(islice(remaining, _TRIED_AT_ONCE)):
        derived = derive(
            [parse_line(row.envelope.encode()) for row in chunk],
            rules,
            batch_seq=0,
            landed_at=0,
            fetched_at=[row.fetched_at for row in chunk],
        )
        good = {
            identifier
            for table in derived.raw.values()
            for identifier in table.column("record_id").to_pylist()
        }
        tried, found = tried + len(chunk), found + len(good)
        logger.info("trying quarantined=%d readable=%d", tried, found)
        yield from (row for row in chunk if row.record_id in good)


def _entry(head: Head, rows: list[Refused], landing: Landing) -> Entry | None:
    if not rows:
        return None
    envelopes = [parse_line(row.envelope.encode()) for row in rows]
    clock = landing.deriver.rules.clock
    for row, envelope in zip(rows, envelopes, strict=True):
        if records.arrival_day(envelope, clock, row.fetched_at) != row.arrived_date:
            raise ConfigError(
                f"Batch {row.batch_seq} was landed under another source time zone than "
                "SOURCE_TIME_ZONE names now: its sums per day would not come out. Set it back, "
                "replay, and change it then."
            )
    days = Counter(row.arrived_date for row in rows)
    return entry(
        head,
        envelopes,
        source="replay",
        run_id=landing.run_id,
        fetched_at=milliseconds(datetime.now(UTC)),
        pages=[],
        offered=0,
        duplicate=0,
        replayed=len(rows),
        replayed_reasons=dict(sorted(Counter(row.reason for row in rows).items())),
        replayed_ids=as_lists(IdRanges((i, i) for row in rows if (i := row.record_id) is not None)),
        days=[
            {"arrived_date": day, "offered": 0, "duplicate": 0, "replayed": days[day]}
            for day in sorted(days)
        ],
        times=run_lengths(row.fetched_at for row in rows),
        replays=[*head.replays, head.seq + 1],
    )
