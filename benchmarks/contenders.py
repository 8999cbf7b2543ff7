"""The same pages in, the bytes of files out: our way, the original's, and pandas'."""

from __future__ import annotations

import ast
import base64
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
from cryptography.fernet import Fernet

from ingestion import compacting, files, isolation, kernel, records
from ingestion.keys import KeyRing
from ingestion.privacy import Pseudonyms
from ingestion.records import Derived, Rules
from ingestion.times import SourceClock

BATCH = 50_000
"""As many records as a batch of ``ingestion.landing`` has at most."""

_PART = isolation.MAX_REQUEST_RECORDS // 1_000
"""Pages of a thousand that are decoded at once."""

LANDED_AT = 1_704_200_000_000
FETCHED_AT = 1_893_456_000_000
"""After every record, whenever the simulator wrote it."""


def rules(key: str) -> Rules:
    """Return what ingestion decodes by, as its settings say it for this source."""
    pseudonyms = Pseudonyms(bytes([0x5A]) * 32)
    return Rules(KeyRing([key]), pseudonyms, SourceClock("Asia/Seoul", True))


def derived(pages: Sequence[bytes], by: Rules, seq: int = 1) -> Derived:
    """Return one batch, decoded in parts as large as ``isolation`` sends to a child."""
    parts = []
    for begin in range(0, len(pages), _PART):
        some = [memoryview(page)[1:-1] for page in pages[begin : begin + _PART]]
        envelopes = records.parse(b"[%b]" % b",".join(some))
        parts.append(
            records.derive(envelopes, by, batch_seq=seq, landed_at=LANDED_AT, fetched_at=FETCHED_AT)
        )
    return isolation.combined(parts)


def ours(pages: Sequence[bytes], by: Rules) -> tuple[int, int, int]:
    """Return rows, refused ones among them, and bytes of files."""
    batch = derived(pages, by)
    tables = [*batch.raw.values(), batch.quarantine]
    size = sum(len(files.encode(table)) for table in tables if table.num_rows)
    return sum(table.num_rows for table in tables), batch.quarantine.num_rows, size


def without_kernel(pages: Sequence[bytes], by: Rules) -> tuple[int, int, int]:
    """Do what ``ours`` does in Python and its libraries alone."""
    library, kernel.LIBRARY = kernel.LIBRARY, None
    try:
        return ours(pages, by)
    finally:
        kernel.LIBRARY = library


def in_batches(pages: Iterator[bytes], size: int = BATCH) -> Iterator[list[bytes]]:
    """Yield pages of a thousand, as many as make a batch."""
    batch: list[bytes] = []
    for page in pages:
        batch.append(page)
        if len(batch) * 1_000 >= size:
            yield batch
            batch = []
    if batch:
        yield batch


# ---------- the original's way


def original(pages: Sequence[bytes], fernet: Fernet, is_json: bool) -> list[bytes]:
    """Return one gzip JSON array per page, as the original stored what a poll brought.

    It read with ``eval``; ``ast.literal_eval`` is what does the same without running the text.
    """
    read = json.loads if is_json else ast.literal_eval
    written = []
    for page in pages:
        rows = []
        for envelope in json.loads(page):
            fields = read(fernet.decrypt(envelope["data"]).decode())
            rows.append(_recoded(fields))
        written.append(gzip.compress(json.dumps(rows).encode(), 9))
    return written


def _recoded(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields as the original shortened them: url and method lose what they said."""
    user = bytes.fromhex(fields["user_id"])
    return {
        **fields,
        "user_id": base64.urlsafe_b64encode(user[16:] + user[:16]).decode(),
        "method": {"GET": 1, "POST": 2}.get(fields["method"], 0),
        "url": {"/api/products/product/": 1}.get(fields["url"], 0),
        "inDate": "".join(filter(str.isdigit, fields["inDate"]))[2:],
    }


# ---------- pandas


def pandas_apply(pages: Sequence[bytes], fernet: Fernet, is_json: bool) -> int:
    """Return the bytes of one Parquet file, written the way one writes it in a notebook."""
    read = json.loads if is_json else ast.literal_eval
    frame = pd.concat([pd.DataFrame(json.loads(page)) for page in pages], ignore_index=True)
    opened = frame["data"].apply(lambda token: read(fernet.decrypt(token).decode()))
    fields = pd.json_normalize(opened.tolist())
    fields["occurred_at"] = pd.to_datetime(fields["inDate"]) - pd.Timedelta(hours=9)
    arrived_at = pd.to_datetime(frame["ArrivalTimeStamp"], unit="s")
    fields["arrived_at"] = arrived_at - pd.Timedelta(hours=9)
    sink = io.BytesIO()
    fields.to_parquet(sink, compression="zstd")
    return len(sink.getvalue())


def merged(batches: Sequence[Derived]) -> list[int]:
    """Return the bytes of the files into which compaction merges several batches."""
    days: dict[str, list[pa.Table]] = {}
    for batch in batches:
        for day, table in batch.raw.items():
            days.setdefault(day, []).append(table)
    return [
        size for tables in days.values() for size in _merged_day(tables, compacting.TARGET_BYTES)
    ]


def _merged_day(tables: Sequence[pa.Table], most: int) -> Iterator[int]:
    order = [(name, "ascending") for name in ("occurred_at", "record_id", "batch_seq")]
    group: list[pa.Table] = []
    size = 0
    for table in (*tables, None):
        more = len(files.encode(table)) if table else 0
        if group and (table is None or size + more > most):
            yield len(files.encode(pa.concat_tables(group).sort_by(order)))
            group, size = [], 0
        group.append(table)
        size += more
