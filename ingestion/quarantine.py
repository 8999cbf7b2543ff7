"""What is in quarantine now: refused records that no later batch took out. Reads, never writes."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import pyarrow.parquet as pq

from ingestion.commit import LandingLog
from ingestion.headers import Head
from ingestion.lake import Lake
from ingestion.ledger import IdRanges
from ingestion.tables import QUARANTINED_RECORDS
from ingestion.times import milliseconds

_FILE = re.compile(r"/seq=(\d{12})\.parquet\Z")


@dataclass(frozen=True, slots=True)
class Refused:
    """One row of ``quarantined_records``."""

    batch_seq: int
    record_id: int | None
    record_key: str
    reason: str
    stage: str
    envelope: str
    """The record as it was offered, still encrypted."""
    key_fingerprint: str | None
    arrived_date: str
    fetched_at: int
    """UTC milliseconds; by what the record is judged."""

    @property
    def has_its_own_id(self) -> bool:
        """Tell whether the record is known by its id: it could be taken into ``access_logs``."""
        return self.record_id is not None and self.record_key == str(self.record_id)


def refused(lake: Lake, log: LandingLog, head: Head) -> Iterator[Refused]:
    """Yield what is in quarantine as of ``head``, batch by batch.

    A row does not count if its batch is unpublished or superseded, or if a replay behind it took
    the record out: into ``access_logs``, or once more into quarantine with a row of its own.
    """
    replays = [(seq, IdRanges(log.header(seq).replayed_ids)) for seq in head.active_replays()]
    unpublished = set(log.unpublished())
    for key in lake.keys(QUARANTINED_RECORDS.prefix):
        match = _FILE.search(key)
        seq = int(match[1]) if match else 0
        if not 0 < seq <= head.seq or seq in unpublished or seq in head.superseded:
            continue
        taken = [ids for replay, ids in replays if replay > seq]
        for row in rows_of(lake, key):
            is_taken = row.record_id is not None and any(row.record_id in ids for ids in taken)
            if not (is_taken and row.has_its_own_id):
                yield row


def rows_of(lake: Lake, key: str) -> list[Refused]:
    """Return the rows of one quarantine file; none if there is no such file."""
    body = lake.get(key)
    if body is None:
        return []
    return [_row(row) for row in pq.read_table(io.BytesIO(body)).to_pylist()]


def _row(row: dict[str, Any]) -> Refused:
    return Refused(
        row["batch_seq"],
        row["record_id"],
        row["record_key"],
        row["reason"],
        row["stage"],
        row["envelope"],
        row["key_fingerprint"],
        row["arrived_date"],
        milliseconds(row["landed_at"].replace(tzinfo=UTC)),
    )
