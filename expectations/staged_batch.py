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
from ingestion.reasons import Reason

_CLOCK_SLACK = timedelta(days=1)
"""How far ahead of its landing a record may lie; the decoder quarantines what is further ahead."""

COUNTS = ("offered", "good", "quarantined", "duplicate", "conflict", "replayed")
"""What a batch is counted by: offered + replayed = good + quarantined + duplicate + conflict."""

_EARLIER = {
    "conflict": 0,
    "replayed": 0,
    "reasons": {},
    "replayed_reasons": {},
    "supersedes": [],
    "keys": None,
}
"""What a manifest does not say that version 0.1 staged; it may stand in a plan already."""


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
    manifest = _EARLIER | manifest
    needed = ("seq", "source", "files", "event_days", "arrival_days", *COUNTS)
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
    refused = manifest["quarantined"] + manifest["conflict"]
    return StagedBatch(
        seq=seq,
        source=str(manifest["source"]),
        good=good if good is not None or not manifest["good"] else pa.table({}),
        quarantined=(quarantined if quarantined is not None or not refused else pa.table({})),
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
    """One row of counts; all but the counts and the shares should be 0."""
    count = {name: int(manifest[name]) for name in COUNTS}
    refused = count["quarantined"] + count["conflict"]
    settled = count["good"] + refused
    days = [{name: int(day.get(name, 0)) for name in COUNTS} for day in manifest["arrival_days"]]
    by_arrival = {name: sum(day[name] for day in days) for name in COUNTS}
    conflicts = _rows_of(quarantined, "reason", Reason.ID_CONFLICT.value)
    staged = sum(table.num_rows for table in (quarantined,) if table is not None)
    opened = sum(_known(table, "key_fingerprint") for table in (good, quarantined))
    keys = manifest["keys"]
    row = {
        "seq": int(manifest["seq"]),
        **count,
        # A batch that replaces one whose records have all been replayed has none left.
        "idle": int(not settled and not manifest["supersedes"]),
        "unaccounted": _imbalance(count),
        "good_not_staged": count["good"] - (good.num_rows if good is not None else 0),
        "quarantined_not_staged": count["quarantined"] - (staged - conflicts),
        "conflicts_not_staged": count["conflict"] - conflicts,
        "replays_unexplained": int(not _is_explained(manifest, count)),
        "event_days_unaccounted": count["good"]
        - sum(int(day["rows"]) for day in manifest["event_days"]),
        # Absolute, here and below, so that two errors cannot cancel each other.
        "arrival_days_unaccounted": sum(abs(count[name] - by_arrival[name]) for name in COUNTS),
        "arrival_days_unbalanced": sum(abs(_imbalance(day)) for day in days),
        "reasons_unaccounted": abs(refused - sum(map(int, manifest["reasons"].values())))
        + abs(count["replayed"] - sum(map(int, manifest["replayed_reasons"].values()))),
        "keys_unaccounted": 0 if keys is None else opened - sum(map(int, keys.values())),
        "altered_files": altered,
        "quarantined_share": count["quarantined"] / settled if settled else 0.0,
        "conflict_share": count["conflict"] / settled if settled else 0.0,
    }
    return pa.Table.from_pylist([row])


def _imbalance(count: Mapping[str, int]) -> int:
    ends = count["good"] + count["quarantined"] + count["duplicate"] + count["conflict"]
    return count["offered"] + count["replayed"] - ends


def _is_explained(manifest: Mapping[str, Any], count: Mapping[str, int]) -> bool:
    """Tell whether offered and replayed are what the kind of batch allows.

    A replay takes records out of quarantine and is offered none. Any other batch takes none out,
    unless it replaces one whose quarantine a replay has emptied: it leaves those records away.
    """
    if manifest["source"] == "replay":
        return not count["offered"] and count["replayed"] >= 0
    return not count["replayed"] or (count["replayed"] < 0 and bool(manifest["supersedes"]))


def _rows_of(table: pa.Table | None, column: str, value: str) -> int:
    if table is None or column not in table.column_names:
        return 0
    return int(pc.sum(pc.equal(table[column], value)).as_py() or 0)


def _known(table: pa.Table | None, column: str) -> int:
    if table is None or column not in table.column_names:
        return 0
    return int(pc.count(table[column]).as_py())
