"""Staged batches in memory: clean rows, and what a manifest says of them."""

import hashlib
import io
import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.tables import ACCESS_LOGS, QUARANTINED_RECORDS
from tests.ingestion.lakes import MemoryLake

LANDED_AT = datetime(2026, 11, 2, 3, 0)
FOLDER = f"staging/access_logs/000000000007/{'ab' * 16}"
MANIFEST_KEY = f"{FOLDER}/manifest.json"


def good_row(record_id: int, **changes: object) -> dict[str, object]:
    occurred_at = datetime(2026, 11, 1, 16, 0) + timedelta(seconds=record_id)  # 2 Nov in Seoul
    return {
        "record_id": record_id,
        "user_id": hashlib.sha256(b"%d" % record_id).digest()[:16],
        "activity": "view",
        "url": "/api/products/product/",
        "method": "POST",
        "log_name": "json_logger",
        "level_name": "INFO",
        "message": "POST view",
        "occurred_at": occurred_at,
        "occurred_at_text": "2026-11-02T01:00:00.000Z",
        "arrived_at": LANDED_AT,
        "extra_fields": None,
        "key_fingerprint": "0123456789abcdef",
        "batch_seq": 7,
        "landed_at": LANDED_AT,
    } | changes


def refused_row(record_id: int, **changes: object) -> dict[str, object]:
    return {
        "batch_seq": 7,
        "record_id": record_id,
        "record_key": str(record_id),
        "reason": "TOKEN_UNKNOWN_KEY",
        "stage": "token",
        "envelope": '{"recordId":1,"ArrivalTimeStamp":1.0,"data":"gAAAAA"}',
        "key_fingerprint": None,
        "arrived_date": "2026-11-02",
        "landed_at": LANDED_AT,
    } | changes


def conflict_row(record_id: int, **changes: object) -> dict[str, object]:
    own = {"record_key": f"sha256:{record_id:064x}", "reason": "ID_CONFLICT", "stage": "envelope"}
    return refused_row(record_id, **own) | changes


def staged(
    good: list[dict[str, object]],
    refused: list[dict[str, object]],
    duplicate: int = 0,
    replayed: int = 0,
    claims: dict[str, Any] | None = None,
) -> MemoryLake:
    """Return a lake that holds one staged batch; ``claims`` replace what its manifest says."""
    objects: dict[str, bytes] = {}
    files = []
    for kind, rows, table, dt in (
        ("raw", good, ACCESS_LOGS, "2026-11-02"),
        ("quarantine", refused, QUARANTINED_RECORDS, None),
    ):
        if not rows:
            continue
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), sink)
        key = f"{FOLDER}/{kind}.parquet"
        objects[key] = sink.getvalue()
        digest = hashlib.sha256(objects[key]).hexdigest()
        files.append({"kind": kind, "src": key, "rows": len(rows), "sha256": digest, "dt": dt})
    reasons = Counter(str(row["reason"]) for row in refused)
    conflict = reasons["ID_CONFLICT"]
    counts = {
        "offered": len(good) + len(refused) + duplicate - replayed,
        "good": len(good),
        "quarantined": len(refused) - conflict,
        "duplicate": duplicate,
        "conflict": conflict,
        "replayed": replayed,
    }
    opened = Counter(row["key_fingerprint"] for row in [*good, *refused])
    manifest = {
        "seq": 7,
        "source": "api",
        **counts,
        "reasons": dict(reasons),
        "replayed_reasons": {"TOKEN_UNKNOWN_KEY": replayed} if replayed else {},
        "supersedes": [],
        "keys": {mark: count for mark, count in opened.items() if mark},
        "files": files,
        "event_days": [{"dt": "2026-11-02", "rows": len(good)}] if good else [],
        "arrival_days": [{"arrived_date": "2026-11-02", **counts}],
    } | (claims or {})
    objects[MANIFEST_KEY] = json.dumps(manifest).encode()
    lake = MemoryLake()
    lake.objects = objects
    return lake
