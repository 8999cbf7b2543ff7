"""Turns a staged batch into the frames that the raw suites look at. Pure: bytes in, frames out.

Great Expectations validates one file of a file asset and says nothing about the others, so the
whole batch is put into one frame.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.errors import ContractError

_CLOCK_SLACK = timedelta(days=1)
"""How far ahead of its landing a record may lie; the decoder quarantines what is further ahead."""

_COUNTS = ("offered", "good", "quarantined", "duplicate")


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """One batch as staged, ready to be looked at."""

    seq: int
    source: str
    good: pa.Table | None
    """All rows for ``raw.access_logs``, or None if the manifest claims none and there are none."""
    quarantined: pa.Table | None
    """All rows for ``raw.quarantined_records``, or None likewise."""
    sums: pa.Table
    """One row: what the manifest claims and how far the files differ from it."""


def read_manifest(body: bytes) -> dict[str, Any]:
    """Parse a manifest.

    Raises:
        ContractError: if it is not a JSON object with the fields that the check needs.
    """
    try:
        manifest = json.loads(body)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise ContractError("The manifest is not a JSON object. Land the batch again.")
    needed = ("seq", "source", "files", "event_days", "arrival_days", *_COUNTS)
    missing = [name for name in needed if name not in manifest]
    if missing:
        raise ContractError(
            f"The manifest lacks {', '.join(missing)}. It was written by another version: "
            "land the batch again."
        )
    return manifest


def read(
    manifest: Mapping[str, Any], fetch: Callable[[str], bytes | None], source_time_zone: str
) -> StagedBatch:
    """Read every file of ``manifest`` through ``fetch`` (key → bytes, None if absent).

    Raises:
        ContractError: naming the files that are absent or no Parquet.
    """
    seq = int(manifest["seq"])
    tables: dict[str, list[pa.Table]] = {"raw": [], "quarantine": []}
    absent: list[str] = []
    altered = 0
    for file in manifest["files"]:
        body = fetch(file["src"])
        try:
            table = None if body is None else pq.read_table(pa.BufferReader(body))
        except pa.ArrowInvalid:
            table = None
        if body is None or table is None:
            absent.append(file["src"])
            continue
        altered += (
            hashlib.sha256(body).hexdigest() != file["sha256"] or table.num_rows != file["rows"]
        )
        if file["kind"] == "raw":
            table = _described(table, file["dt"], source_time_zone)
        tables[file["kind"]].append(
            table.append_column("manifest_seq", pa.array([seq] * table.num_rows, pa.int64()))
        )
    if absent:
        raise ContractError(
            f"Batch {seq} has {len(absent)} staged files that are missing or unreadable, the first "
            f"is {absent[0]}. Land the batch again: it is staged anew from the landing log."
        )
    good, quarantined = (_joined(tables[kind]) for kind in ("raw", "quarantine"))
    return StagedBatch(
        seq=seq,
        source=str(manifest["source"]),
        good=good if good is not None or not manifest["good"] else pa.table({}),
        quarantined=(
            quarantined if quarantined is not None or not manifest["quarantined"] else pa.table({})
        ),
        sums=_sums(manifest, good, quarantined, altered),
    )


def _described(table: pa.Table, dt: str | None, source_time_zone: str) -> pa.Table:
    """Add the partition a file goes to, the day each row belongs to, and its latest plausible time.

    A pseudonym is replaced by its length: what is not in the frame cannot get into a result. A
    table without one of these columns gets none derived: the suite reports what is missing.
    """
    if "user_id" in table.column_names:
        lengths = pc.binary_length(table["user_id"])
        table = table.append_column("user_id_bytes", lengths).drop_columns(["user_id"])
    table = table.append_column("dt", pa.array([dt] * table.num_rows, pa.string()))
    if "occurred_at" in table.column_names:
        utc = pc.assume_timezone(table["occurred_at"], "UTC")
        local = utc.cast(pa.timestamp("ms", tz=source_time_zone))
        table = table.append_column("occurred_date", pc.strftime(local, format="%Y-%m-%d"))
    if "landed_at" in table.column_names:
        latest = pc.add(table["landed_at"], pa.scalar(_CLOCK_SLACK, pa.duration("ms")))
        table = table.append_column("latest_plausible_at", latest)
    return table


def _joined(tables: list[pa.Table]) -> pa.Table | None:
    return pa.concat_tables(tables, promote_options="default") if tables else None


def _sums(
    manifest: Mapping[str, Any],
    good: pa.Table | None,
    quarantined: pa.Table | None,
    altered: int,
) -> pa.Table:
    """One row of counts; every ``*_unaccounted`` and ``*_not_staged`` should be 0."""
    count = {name: int(manifest[name]) for name in _COUNTS}
    settled = count["good"] + count["quarantined"]
    by_arrival = {name: sum(int(day[name]) for day in manifest["arrival_days"]) for name in _COUNTS}
    row = {
        "seq": int(manifest["seq"]),
        **count,
        "settled": settled,
        "unaccounted": count["offered"] - settled - count["duplicate"],
        "good_not_staged": count["good"] - (good.num_rows if good is not None else 0),
        "quarantined_not_staged": count["quarantined"]
        - (quarantined.num_rows if quarantined is not None else 0),
        "event_days_unaccounted": count["good"]
        - sum(int(day["rows"]) for day in manifest["event_days"]),
        # Absolute, so that two errors cannot cancel each other.
        "arrival_days_unaccounted": sum(abs(count[name] - by_arrival[name]) for name in _COUNTS),
        "reasons_unaccounted": count["quarantined"]
        - sum(int(n) for n in manifest.get("reasons", {}).values()),
        "altered_files": altered,
        "quarantined_share": count["quarantined"] / settled if settled else 0.0,
    }
    return pa.Table.from_pylist([row])
