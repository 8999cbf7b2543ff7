"""Hand-written records, published as ingestion's contract says and remembered for the oracle."""

import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion import tables
from tests.oracle import Lake, Row, utc, warehouse

SEOUL = "Asia/Seoul"


def record(number: int, user: int, occurred_at: datetime, **changed: Any) -> Row:
    return {
        "record_id": number,
        "user_id": bytes([user]) * 16,
        "activity": "view",
        "url": "/api/products/product/",
        "method": "POST",
        "log_name": "json_logger",
        "level_name": "INFO",
        "message": "POST view",
        "occurred_at": occurred_at,
        "occurred_at_text": occurred_at.isoformat(),
        "arrived_at": occurred_at + timedelta(seconds=2),
        "extra_fields": None,
        "key_fingerprint": "00000000000000aa",
        **changed,
    }


def rejects(count: int, first_id: int | None, arrived_date: str) -> list[Row]:
    return [
        {
            "record_id": None if first_id is None else first_id + n,
            "record_key": f"sha256:{n}" if first_id is None else str(first_id + n),
            "reason": "ID_MISSING" if first_id is None else "TOKEN_MALFORMED",
            "stage": "envelope" if first_id is None else "token",
            "envelope": "{}",
            "key_fingerprint": None,
            "arrived_date": arrived_date,
        }
        for n in range(count)
    ]


KINDS = ("good", "quarantined", "duplicate", "conflict", "replayed")
_SINCE_0_2 = {"conflict", "replayed", "supersedes", "reasons", "keys", "missing", "missing_ids"}
"""What markers of version 0.1 do not say; once written they stay as they are."""


def create_tables(s3: Any, glue: Any, bucket: str, database: str) -> None:
    """Make the bucket, the database and the tables that ingestion owns."""
    s3.create_bucket(Bucket=bucket)
    glue.create_database(DatabaseInput={"Name": database})
    for table in tables.TABLES:
        declaration = tables.glue_input(table, bucket)
        glue.create_table(DatabaseName=database, TableInput=declaration)


def marker(
    seq: int,
    source: str,
    landed_at: str,
    event_days: Sequence[Row],
    arrived: Mapping[str, Counter[str]],
    reasons: Sequence[Row],
    key_fingerprints: Iterable[str],
    **more: Any,
) -> Row:
    """Return what ingestion says of a published batch; ``arrived`` counts kinds by day."""
    arrived = {kind: arrived.get(kind, Counter()) for kind in KINDS}

    def counts(count: Callable[[Counter[str]], int]) -> Row:
        kinds = {kind: count(arrived[kind]) for kind in KINDS}
        return {"offered": sum(kinds.values()) - 2 * kinds["replayed"], **kinds}

    return {
        "seq": seq,
        "source": source,
        **counts(Counter.total),
        "landed_at": f"{landed_at}Z",
        "published_at": f"{landed_at}Z",
        "bytes": 1,
        "files": sum(day["rows"] > 0 for day in event_days),
        "key_fingerprints": sorted(set(key_fingerprints)),
        "event_days": event_days,
        "arrival_days": [
            {"arrived_date": day, **counts(itemgetter(day))}
            for day in sorted(set().union(*arrived.values()))
        ],
        "supersedes": [],
        "reasons": reasons,
        "keys": [],
        "missing": [],
        "missing_ids": 0,
        **more,
    }


def with_days_of(replaced: Iterable[Row], event_days: Iterable[Row]) -> list[Row]:
    """Return the days of a batch; one that replaces others names their days and instants too."""
    days = {day["dt"]: day for day in event_days}
    for old in (day for batch in replaced for day in batch["event_days"]):
        new = days.get(old["dt"], {**old, "rows": 0})
        days[old["dt"]] = {
            **new,
            "first_at": min(new["first_at"], old["first_at"]),
            "last_at": max(new["last_at"], old["last_at"]),
        }
    return [days[day] for day in sorted(days)]


@dataclass
class Publisher:
    """Writes batches as ingestion's contract says, and remembers them for the oracle."""

    bucket: str
    database: str
    source_zone: str = SEOUL
    lake: Lake = field(default_factory=Lake)

    def create_tables(self) -> None:
        create_tables(boto3.client("s3"), boto3.client("glue"), self.bucket, self.database)

    def publish(
        self,
        seq: int,
        records: Sequence[Row],
        quarantined: Sequence[Row] = (),
        duplicates: dict[str, int] | None = None,
        landed_at: str = "2024-03-20T00:00:00.000",
        version: str = "0.2",
        supersedes: Sequence[int] = (),
        is_consecutive: bool = True,
    ) -> None:
        stamp = {"batch_seq": seq, "landed_at": utc(landed_at)}
        records = [{**row, **stamp, "dt": self._source_day(row["occurred_at"])} for row in records]
        quarantined = [{**row, **stamp} for row in quarantined]
        event_days = defaultdict(list)
        for row in records:
            event_days[row["dt"]].append(row)
        for day, rows in event_days.items():
            key = f"{tables.ACCESS_LOGS.prefix}dt={day}/seq={seq:012d}-0.parquet"
            self._put_parquet(key, rows, tables.ACCESS_LOGS.schema)
        if quarantined:
            key = f"{tables.QUARANTINED_RECORDS.prefix}seq={seq:012d}.parquet"
            self._put_parquet(key, quarantined, tables.QUARANTINED_RECORDS.schema)
        replaced = [batch for batch in self.lake.batches if batch["seq"] in supersedes]
        reasons = Counter(row["reason"] for row in quarantined)
        published = marker(
            seq,
            "rederive" if supersedes else "api",
            landed_at,
            with_days_of(replaced, _event_days(event_days)),
            {
                "good": Counter(self._source_day(row["arrived_at"]) for row in records),
                "quarantined": Counter(row["arrived_date"] for row in quarantined),
                "duplicate": Counter(duplicates or {}),
            },
            [
                {"reason": reason, "quarantined": count, "replayed": 0}
                for reason, count in sorted(reasons.items())
            ],
            (row["key_fingerprint"] for row in records),
            supersedes=list(supersedes),
            missing_ids=0 if is_consecutive else None,
        )
        if version == "0.1":
            for said in (published, *published["arrival_days"]):
                for name in _SINCE_0_2 & set(said):
                    del said[name]
        body = json.dumps(published).encode()
        self._put(f"{tables.PUBLISHED_BATCHES.prefix}{seq:012d}.json", body)
        self.lake.records += records
        self.lake.quarantined += quarantined
        self.lake.batches.append(published)

    def _source_day(self, instant: datetime) -> str:
        return instant.astimezone(ZoneInfo(self.source_zone)).date().isoformat()

    def _put_parquet(self, key: str, rows: Sequence[Row], schema: pa.Schema) -> None:
        rows = [
            {k: v.replace(tzinfo=None) if isinstance(v, datetime) else v for k, v in row.items()}
            for row in rows
        ]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
        self._put(key, buffer.getvalue())

    def _put(self, key: str, body: bytes) -> None:
        boto3.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)


class Batches(Publisher):
    """Publishes for the oracle's eyes only."""

    def __init__(self) -> None:
        super().__init__("nowhere", "nowhere")

    def _put(self, key: str, body: bytes) -> None:
        pass

    def tables(self, zone: str = SEOUL) -> dict[str, list[Row]]:
        return warehouse(self.lake, zone, SEOUL)


def _event_days(records_of: Mapping[str, Sequence[Row]]) -> list[Row]:
    return [
        {
            "dt": day,
            "rows": len(rows),
            "first_at": _instant_text(min(row["occurred_at"] for row in rows)),
            "last_at": _instant_text(max(row["occurred_at"] for row in rows)),
        }
        for day, rows in records_of.items()
    ]


def _instant_text(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
