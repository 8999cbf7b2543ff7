"""Writes batches into a lake as ingestion does: raw files, quarantine, and a marker at the end."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.ledger import IdRanges
from ingestion.tables import ACCESS_LOGS, PUBLISHED_BATCHES, QUARANTINED_RECORDS
from tests.oracle.lake import Lake, Row
from tests.proof.visitors import DAY, SEOUL
from tests.publishing import create_tables, marker, with_days_of

_NOTHING = pa.schema(
    [field.with_nullable(True) for field in list(ACCESS_LOGS.schema)[:-2]]
).empty_table()
"""No record, without the columns that a batch stamps it with."""


@dataclass
class Batch:
    """What one marker and its files hold; ``seq`` is given when it is shipped."""

    good: pa.Table = field(default_factory=lambda: _NOTHING)
    locked: pa.Table = field(default_factory=lambda: _NOTHING)
    """Records under a key that nobody has given yet: refused for now, replayed later."""
    conflicts: pa.Table = field(default_factory=lambda: _NOTHING)
    """Second bodies under ids that are taken."""
    without_id: int = 0
    """Envelopes that said no id, arrived on the first day of the batch."""
    duplicates: Counter[str] = field(default_factory=Counter)
    """Offered again, by day of arrival."""
    source: str = "api"
    supersedes: int | None = None
    landed_at: int = 0
    """Milliseconds since 1970; by default soon after the last arrival."""

    @property
    def count(self) -> int:
        return int(self.good.num_rows + self.locked.num_rows)


@dataclass
class Shipper:
    """The ingestion of one lake, as far as a reader can tell."""

    s3: Any
    glue: Any
    bucket: str
    database: str
    remembers: bool = True
    """Whether the oracle will be asked about this lake: a year of it need not be kept as rows."""
    lake: Lake = field(default_factory=Lake)
    shipped: list[Batch] = field(default_factory=list)
    settled: IdRanges = field(default_factory=IdRanges)
    landed_at: int = 0

    def create_tables(self) -> None:
        create_tables(self.s3, self.glue, self.bucket, self.database)

    def ship(self, batch: Batch) -> int:
        """Publish a batch and return its number."""
        self.shipped.append(batch)
        seq = len(self.shipped)
        arrived = [_ints(t["arrived_at"]) for t in (batch.good, batch.locked, batch.conflicts)]
        newest = max((int(times.max()) for times in arrived if len(times)), default=0)
        # Batches land in the order of their numbers.
        self.landed_at = max(self.landed_at + 1, batch.landed_at or newest + 60_000)
        stamp = {"batch_seq": seq, "landed_at": self.landed_at}
        good = _stamped(batch.good, stamp)
        event_days = self._put_raw(seq, good)
        refused = _refused(batch, stamp)
        if refused.num_rows:
            self._put_parquet(f"{QUARANTINED_RECORDS.prefix}seq={seq:012d}.parquet", refused)
        published = self._marker(seq, batch, refused, event_days)
        self._put(f"{PUBLISHED_BATCHES.prefix}{seq:012d}.json", json.dumps(published).encode())
        if self.remembers:
            self.lake.records += [{**row, "dt": _day_of(row)} for row in _aware(good)]
            self.lake.quarantined += _aware(refused)
        self.lake.batches.append(published)
        return seq

    def replay(self) -> int:
        """Publish one batch of all that was locked and can be read now."""
        old = {batch.supersedes for batch in self.shipped}
        standing = [b for seq, b in enumerate(self.shipped, 1) if seq not in old]
        known = set(self._replayed)
        locked = pa.concat_tables([b.locked for b in standing if b.source != "replay"])
        keep = [i not in known for i in locked["record_id"].to_pylist()]
        return self.ship(Batch(good=locked.filter(pa.array(keep, pa.bool_())), source="replay"))

    @property
    def _replayed(self) -> Iterable[int]:
        for batch in self.shipped:
            if batch.source == "replay":
                yield from batch.good["record_id"].to_pylist()

    def _put_raw(self, seq: int, good: pa.Table) -> list[Row]:
        """Write a file per day of the source's zone; return what the marker says of each."""
        at = _ints(good["occurred_at"])
        days = (at + SEOUL) // DAY
        listed = []
        for day in np.unique(days):
            rows = good.filter(pa.array(days == day))
            times = at[days == day]
            dt = _date_text(int(day))
            self._put_parquet(f"{ACCESS_LOGS.prefix}dt={dt}/seq={seq:012d}-0.parquet", rows)
            listed.append(
                {
                    "dt": dt,
                    "rows": rows.num_rows,
                    "first_at": _instant(int(times.min()), " "),
                    "last_at": _instant(int(times.max()), " "),
                }
            )
        return listed

    def _marker(self, seq: int, batch: Batch, refused: pa.Table, event_days: list[Row]) -> Row:
        is_replay = batch.source == "replay"
        good = _arrival_days(batch.good)
        quarantined = _arrival_days(batch.locked)
        if batch.without_id:
            quarantined[_first_day(batch)] += batch.without_id
        reasons = Counter(refused["reason"].to_pylist())
        taken = {"TOKEN_UNKNOWN_KEY": good.total()} if is_replay else {}
        missing: list[tuple[int, int]] = []
        if batch.supersedes is not None:
            old = self.lake.batches[batch.supersedes - 1]
            event_days = with_days_of([old], event_days)
            missing = [(gap["low"], gap["high"]) for gap in old["missing"]]
        elif not is_replay:
            settled = IdRanges([*self.settled, *_ranges(batch)])
            missing = settled.gaps_beyond(self.settled)
            self.settled = settled
        return marker(
            seq,
            batch.source,
            _instant(self.landed_at, "T"),
            event_days,
            {
                "good": good,
                "quarantined": quarantined,
                "duplicate": batch.duplicates,
                "conflict": _arrival_days(batch.conflicts),
                "replayed": good if is_replay else Counter(),
            },
            [
                {"reason": r, "quarantined": reasons[r], "replayed": taken.get(r, 0)}
                for r in sorted({*reasons, *taken})
            ],
            batch.good["key_fingerprint"].to_pylist(),
            supersedes=[] if batch.supersedes is None else [batch.supersedes],
            missing=[{"low": low, "high": high} for low, high in missing],
            missing_ids=self.settled.missing(),
        )

    def _put_parquet(self, key: str, table: pa.Table) -> None:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self._put(key, buffer.getvalue())

    def _put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)


def cut(log: pa.Table, parts: int, seed: int) -> list[Batch]:
    """Cut a log in order of arrival into batches, with all that goes wrong on the way.

    A few records are held back until the next batch or the one after, some are locked, some come
    again under a taken id, some have no id, and some are offered twice.
    """
    rng = np.random.default_rng([seed, 2])
    place = np.arange(log.num_rows) * parts // max(1, log.num_rows)
    held_back = rng.random(len(place)) < 0.01
    place = np.minimum(place + held_back * rng.integers(1, 3, len(place)), parts - 1)
    is_locked = rng.random(len(place)) < 0.01
    batches = []
    for part in range(parts):
        mine = place == part
        batch = Batch(
            good=log.filter(pa.array(mine & ~is_locked)),
            locked=log.filter(pa.array(mine & is_locked)),
        )
        if batches and part % 3 == 1 and batches[-1].good.num_rows:
            again = batches[-1].good
            chosen = rng.integers(0, again.num_rows, 2)
            batch.conflicts = again.take(pa.array(np.unique(chosen)))
            batch.duplicates = _arrival_days(again.slice(0, 3))
            batch.without_id = 1
        batches.append(batch)
    return batches


def put_right(batch: Batch, seq: int, seed: int) -> Batch:
    """Return the batch as a better decoder reads it: some records move, some are refused now."""
    rng = np.random.default_rng([seed, seq])
    good = batch.good
    is_locked = pa.array(rng.random(good.num_rows) < 0.1)
    moved = _ints(good["occurred_at"]) - (rng.random(good.num_rows) < 0.2) * SEOUL
    place = good.schema.get_field_index("occurred_at")
    good = good.set_column(place, "occurred_at", pa.array(moved).cast(pa.timestamp("ms")))
    return Batch(
        good=good.filter(pc.invert(is_locked)),
        locked=pa.concat_tables([batch.locked, good.filter(is_locked)]),
        conflicts=batch.conflicts,
        without_id=batch.without_id,
        duplicates=batch.duplicates,
        supersedes=seq,
    )


def _stamped(table: pa.Table, stamp: dict[str, int]) -> pa.Table:
    count = table.num_rows
    return (
        table.append_column("batch_seq", pa.array(np.full(count, stamp["batch_seq"], "int64")))
        .append_column(
            "landed_at",
            pa.array(np.full(count, stamp["landed_at"], "int64")).cast(pa.timestamp("ms")),
        )
        .cast(ACCESS_LOGS.schema)
    )


def _refused(batch: Batch, stamp: dict[str, int]) -> pa.Table:
    rows: list[Row] = []
    for kind, reason in ((batch.locked, "TOKEN_UNKNOWN_KEY"), (batch.conflicts, "ID_CONFLICT")):
        days = (_ints(kind["arrived_at"]) + SEOUL) // DAY
        for number, day in zip(kind["record_id"].to_pylist(), days, strict=True):
            is_conflict = reason == "ID_CONFLICT"
            key = f"sha256:conflict-{stamp['batch_seq']}-{number}" if is_conflict else str(number)
            rows.append(_refusal(number, key, reason, "token", _date_text(int(day))))
    for number in range(batch.without_id):
        key = f"sha256:{stamp['batch_seq']}-{number}"
        rows.append(_refusal(None, key, "ID_MISSING", "envelope", _first_day(batch)))
    landed = datetime.fromtimestamp(stamp["landed_at"] / 1000, UTC).replace(tzinfo=None)
    rows = [{**row, "batch_seq": stamp["batch_seq"], "landed_at": landed} for row in rows]
    return pa.Table.from_pylist(rows, schema=QUARANTINED_RECORDS.schema)


def _refusal(number: int | None, key: str, reason: str, stage: str, day: str) -> Row:
    return {
        "record_id": number,
        "record_key": key,
        "reason": reason,
        "stage": stage,
        "envelope": "{}",
        "key_fingerprint": None,
        "arrived_date": day,
    }


def _first_day(batch: Batch) -> str:
    return min({*_arrival_days(batch.good), *_arrival_days(batch.locked)}, default="2024-01-01")


def _arrival_days(table: pa.Table) -> Counter[str]:
    days, counts = np.unique((_ints(table["arrived_at"]) + SEOUL) // DAY, return_counts=True)
    return Counter({_date_text(int(d)): int(n) for d, n in zip(days, counts, strict=True)})


def _ranges(batch: Batch) -> list[tuple[int, int]]:
    tables_with_ids = [batch.good, batch.locked]
    ids = np.sort(np.concatenate([_ints(table["record_id"]) for table in tables_with_ids]))
    if not len(ids):
        return []
    ends = np.flatnonzero(np.diff(ids) > 1)
    lows, highs = ids[np.r_[0, ends + 1]], ids[np.r_[ends, len(ids) - 1]]
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def _aware(table: pa.Table) -> list[Row]:
    """Return rows as the oracle takes them: with times that say that they are UTC."""
    for place, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            times = table[column.name].cast(pa.timestamp("ms", "UTC"))
            table = table.set_column(place, column.name, times)
    return list(table.to_pylist())


def _day_of(row: Row) -> str:
    """Return the partition that a record lies in."""
    return (row["occurred_at"] + timedelta(milliseconds=SEOUL)).date().isoformat()


def _ints(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.int64()))


def _date_text(day: int) -> str:
    return (datetime(1970, 1, 1) + timedelta(days=day)).date().isoformat()


def _instant(ms: int, separator: str) -> str:
    at = datetime(1970, 1, 1) + timedelta(milliseconds=ms)
    return at.isoformat(sep=separator, timespec="milliseconds")
