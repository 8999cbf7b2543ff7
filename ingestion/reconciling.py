"""Reads the source once more and compares it with the lake, record by record.

What the lake lacks is landed like anything new. What it has is decoded again and compared with the
rows that readers see, so that a row that was lost or altered is found by somebody else's copy.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion import records
from ingestion.commit import LandingLog
from ingestion.errors import ContractError
from ingestion.headers import Head
from ingestion.isolation import derive
from ingestion.lake import Lake
from ingestion.landing import LATE_HORIZON_IDS, Landing
from ingestion.quarantine import refused
from ingestion.reasons import Reason
from ingestion.settings import Settings
from ingestion.sources import api
from ingestion.tables import ACCESS_LOGS
from ingestion.times import milliseconds

logger = logging.getLogger(__name__)

COMPARED = (
    "user_id",
    "activity",
    "url",
    "method",
    "log_name",
    "level_name",
    "message",
    "occurred_at",
    "occurred_at_text",
    "arrived_at",
    "extra_fields",
)
"""What the source alone determines; a batch's number and time, and the key, are ours."""

_SHOWN_IDS = 20


@dataclass(slots=True)
class Reconciliation:
    """What a comparison found; every record read is counted in one place."""

    manifests: list[str] = field(default_factory=list)
    """Unpublished batches, the one with the late records among them."""
    read: int = 0
    late: int = 0
    """Not in the lake until now; landed."""
    equal: int = 0
    differing: int = 0
    """In the lake, with another content than the source shows now."""
    quarantined: int = 0
    """In the lake, in quarantine."""
    unpublished: int = 0
    """Taken, in a batch that readers do not see yet."""
    lost: int = 0
    """Taken and published, but in no table: what must never be."""
    unidentified: int = 0
    """Without an id by which they could be compared."""
    repeated: int = 0
    """Shown more than once in this reading."""
    gone: int = 0
    """In the lake, between the first and the last id read, but no longer at the source."""
    days: dict[str, dict[str, int]] = field(default_factory=dict)
    """By arrival day: records at the source, and those of them that the lake has."""
    differing_ids: list[int] = field(default_factory=list)
    lost_ids: list[int] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Tell whether the lake holds what the source shows."""
        return not self.lost and not self.differing

    def refuse_unless_clean(self) -> None:
        """Raise where somebody has to look.

        Raises:
            ContractError: with the numbers, and the first ids.
        """
        if not self.is_clean:
            raise ContractError(
                f"Of {self.read} records at the source, {self.lost} are lost from the lake "
                f"{self.lost_ids} and {self.differing} differ {self.differing_ids}. Compare them; "
                "restore raw files from the bucket's versions, or derive the batch again."
            )


def reconcile(settings: Settings, days: int = 7) -> Reconciliation:
    """Read what the source shows of the last ``days`` days, compare it, and land what is late.

    A window source shows only its window. Safe to repeat and to race.

    Raises:
        ConfigError: if the settings, the keys or the source's address are wrong.
        SourceUnavailable: if the source does not answer as it should.
    """
    with Landing(settings) as landing:
        landing.catch_up()
        head = landing.log.head()
        start = None
        if settings.source_paging == "cursor":
            since = milliseconds(datetime.now(UTC) - timedelta(days=days))
            start = _cursor_before(landing.log, head, since)
        landing.begin("reconcile")
        comparison = _Comparison(landing, head)
        for page in api.read(settings, start):
            fetched_at = landing.candidate.fetched_at
            landing.take_page(page)
            comparison.take(page.envelopes, fetched_at)
            logger.info("compared read=%d late=%d", comparison.found.read, comparison.found.late)
        comparison.finish()
        landing.flush()
        comparison.found.manifests = landing.recover()
        return comparison.found


def _cursor_before(log: LandingLog, head: Head, since: int) -> int | None:
    """Return where the cursor stood at an instant: behind the last batch fetched before it."""
    low, high = 0, head.seq
    while low < high:
        middle = (low + high + 1) // 2
        if log.header(middle).fetched_at < since:
            low = middle
        else:
            high = middle - 1
    return log.head_of(log.header(low)).settled.cursor(LATE_HORIZON_IDS) if low else None


class _Comparison:
    """Compares envelopes, page by page, with what readers see as of one head."""

    def __init__(self, landing: Landing, head: Head) -> None:
        self.found = Reconciliation()
        self._landing = landing
        self._head = head
        self._unpublished = set(landing.log.unpublished())
        self._seen: set[int] = set()
        self._known = 0
        self._elsewhere: list[int] = []
        """Ids that are not among the good rows of the day where the source's copy belongs."""
        self._day: tuple[str, dict[int, tuple[Any, ...]]] = ("", {})

    def take(self, envelopes: Sequence[object], fetched_at: int) -> None:
        """Compare one page."""
        clock = self._landing.deriver.rules.clock
        known = []
        for envelope in envelopes:
            self.found.read += 1
            identifier = records.record_id(envelope)
            if isinstance(identifier, Reason):
                self.found.unidentified += 1
            elif identifier in self._seen:
                self.found.repeated += 1
            else:
                self._seen.add(identifier)
                is_known = identifier in self._head.settled
                arrived = records.arrival_day(envelope, clock, fetched_at)
                day = self.found.days.setdefault(arrived, {"source": 0, "lake": 0})
                day["source"] += 1
                day["lake"] += is_known
                if is_known:
                    known.append(envelope)
                else:
                    self.found.late += 1
        self._compare(known, fetched_at)

    def _compare(self, envelopes: list[object], fetched_at: int) -> None:
        self._known += len(envelopes)
        rules = self._landing.deriver.rules
        derived = derive(envelopes, rules, batch_seq=0, landed_at=fetched_at, fetched_at=fetched_at)
        self._elsewhere += derived.quarantine.column("record_id").to_pylist()
        for day, table in derived.raw.items():
            stored = self._stored(day)
            for identifier, row in _rows(table):
                if identifier not in stored:
                    self._elsewhere.append(identifier)
                elif stored[identifier] == row:
                    self.found.equal += 1
                else:
                    self._differs(identifier)

    def finish(self) -> None:
        """Find the records that were not where they belong, and what the source has no more."""
        if self._elsewhere:
            self._find_elsewhere()
        if self._seen:
            low, high = min(self._seen), max(self._seen)
            span = self._head.settled.count_within(low, high)
            self.found.gone = span - self._known

    def _find_elsewhere(self) -> None:
        lake, log = self._landing.lake, self._landing.log
        in_quarantine: set[object] = {row.record_id for row in refused(lake, log, self._head)}
        waiting: set[object] = {
            records.record_id(envelope)
            for seq in self._unpublished
            for envelope in log.envelopes(log.header(seq))
        }
        in_raw: set[int] = set()
        if any(i not in in_quarantine and i not in waiting for i in self._elsewhere):
            for table in self._tables(ACCESS_LOGS.prefix, ["record_id"]):
                in_raw.update(table.column("record_id").to_pylist())
        for identifier in self._elsewhere:
            if identifier in in_quarantine:
                self.found.quarantined += 1
            elif identifier in waiting:
                self.found.unpublished += 1
            elif identifier in in_raw:
                self._differs(identifier)
            else:
                self.found.lost += 1
                self.found.lost_ids = [*self.found.lost_ids, identifier][:_SHOWN_IDS]

    def _differs(self, identifier: int) -> None:
        self.found.differing += 1
        self.found.differing_ids = [*self.found.differing_ids, identifier][:_SHOWN_IDS]

    def _stored(self, day: str) -> dict[int, tuple[Any, ...]]:
        """Return the rows of a day; the last day is kept, because pages follow the days."""
        if self._day[0] != day:
            tables = self._tables(f"{ACCESS_LOGS.prefix}dt={day}/", ["record_id", *COMPARED])
            self._day = day, {i: row for table in tables for i, row in _rows(table)}
        return self._day[1]

    def _tables(self, prefix: str, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the rows below ``prefix`` that are published and that nothing supersedes.

        By their batch, not by the name of their file: compaction merges files. Where it took one
        away after we listed it, what it was merged into is in a new listing.
        """
        lake: Lake = self._landing.lake
        read: set[str] = set()
        is_whole = False
        while not is_whole:
            is_whole = True
            for key in [key for key in lake.keys(prefix) if key not in read]:
                body = lake.get(key)
                if body is None:
                    is_whole = False
                    continue
                read.add(key)
                table = pq.read_table(io.BytesIO(body), columns=[*columns, "batch_seq"])
                seqs = table.column("batch_seq").unique().to_pylist()
                shown = [seq for seq in seqs if self._is_shown(seq)]
                if len(shown) < len(seqs):
                    keep = pc.is_in(table.column("batch_seq"), pa.array(shown, pa.int64()))
                    table = table.filter(keep)
                yield table

    def _is_shown(self, seq: int) -> bool:
        is_published = 0 < seq <= self._head.seq and seq not in self._unpublished
        return is_published and seq not in self._head.superseded


def _rows(table: pa.Table) -> Iterator[tuple[int, tuple[Any, ...]]]:
    columns = [
        # As numbers: a time from memory and one from a file are then the same.
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in (table.column(name) for name in ("record_id", *COMPARED))
    ]
    return ((row[0], row[1:]) for row in zip(*columns, strict=True))
