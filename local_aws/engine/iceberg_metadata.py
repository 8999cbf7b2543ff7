"""Iceberg's metadata tables: ``"t$snapshots"``, ``"t$files"`` and the others that Athena has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyiceberg import types as it
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.partitioning import PartitionField
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import IcebergType, NestedField

from local_aws.engine.iceberg_types import to_trino
from local_aws.engine.tables import Rows
from local_aws.engine.types import (
    BIGINT,
    BOOLEAN,
    INTEGER,
    TIMESTAMPTZ3,
    VARBINARY,
    VARCHAR,
    Type,
    array,
)
from local_aws.glue import Json
from local_aws.iceberg import StoreFileIO, all_files, metadata_of
from local_aws.store import Store

EPOCH = datetime(1970, 1, 1)


def metadata_table(store: Store, glue: Json, kind: str) -> Rows | None:
    """The metadata table of this name as it is now; None if Athena has none."""
    maker = _TABLES.get(kind)
    return maker(store, metadata_of(store, glue)) if maker is not None else None


# ------------------------------------------------------------------------ snapshots and refs


def _snapshots(store: Store, metadata: TableMetadata) -> Rows:
    columns = [
        ("committed_at", TIMESTAMPTZ3), ("snapshot_id", BIGINT), ("parent_id", BIGINT),
        ("operation", VARCHAR), ("manifest_list", VARCHAR), ("summary", _map(VARCHAR, VARCHAR)),
    ]  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for snapshot in sorted(metadata.snapshots, key=lambda s: s.sequence_number or 0):
        summary = snapshot.summary
        rows.append(
            (
                _moment(snapshot.timestamp_ms), snapshot.snapshot_id, snapshot.parent_snapshot_id,
                summary.operation.value if summary else None, snapshot.manifest_list,
                dict(summary.additional_properties) if summary else {},
            )
        )  # fmt: skip
    return Rows(columns, rows)


def _history(store: Store, metadata: TableMetadata) -> Rows:
    columns = [
        ("made_current_at", TIMESTAMPTZ3), ("snapshot_id", BIGINT), ("parent_id", BIGINT),
        ("is_current_ancestor", BOOLEAN),
    ]  # fmt: skip
    ancestors = set()
    snapshot = metadata.current_snapshot()
    while snapshot is not None:
        ancestors.add(snapshot.snapshot_id)
        parent = snapshot.parent_snapshot_id
        snapshot = metadata.snapshot_by_id(parent) if parent is not None else None
    rows: list[tuple[Any, ...]] = []
    for entry in metadata.snapshot_log:
        found = metadata.snapshot_by_id(entry.snapshot_id)
        rows.append(
            (
                _moment(entry.timestamp_ms), entry.snapshot_id,
                found.parent_snapshot_id if found else None, entry.snapshot_id in ancestors,
            )
        )  # fmt: skip
    return Rows(columns, rows)


def _refs(store: Store, metadata: TableMetadata) -> Rows:
    columns = [
        ("name", VARCHAR), ("type", VARCHAR), ("snapshot_id", BIGINT),
        ("max_reference_age_in_ms", BIGINT), ("min_snapshots_to_keep", INTEGER),
        ("max_snapshot_age_in_ms", BIGINT),
    ]  # fmt: skip
    return Rows(
        columns,
        [
            (name, ref.snapshot_ref_type.value.upper(), ref.snapshot_id, ref.max_ref_age_ms,
             ref.min_snapshots_to_keep, ref.max_snapshot_age_ms)
            for name, ref in metadata.refs.items()
        ],
    )  # fmt: skip


# ------------------------------------------------------------------------ manifests and files


def _manifests(store: Store, metadata: TableMetadata) -> Rows:
    summary = Type(
        "row", (), (BOOLEAN, BOOLEAN, VARCHAR, VARCHAR),
        ("contains_null", "contains_nan", "lower_bound", "upper_bound"),
    )  # fmt: skip
    columns = [
        ("path", VARCHAR), ("length", BIGINT), ("partition_spec_id", INTEGER),
        ("added_snapshot_id", BIGINT), ("added_data_files_count", INTEGER),
        ("added_rows_count", BIGINT), ("existing_data_files_count", INTEGER),
        ("existing_rows_count", BIGINT), ("deleted_data_files_count", INTEGER),
        ("deleted_rows_count", BIGINT), ("partition_summaries", array(summary)),
    ]  # fmt: skip
    snapshot = metadata.current_snapshot()
    manifests = snapshot.manifests(StoreFileIO(store)) if snapshot is not None else []
    return Rows(
        columns,
        [
            (m.manifest_path, m.manifest_length, m.partition_spec_id, m.added_snapshot_id,
             m.added_files_count, m.added_rows_count, m.existing_files_count,
             m.existing_rows_count, m.deleted_files_count, m.deleted_rows_count,
             _summaries(metadata, m))
            for m in manifests
        ],
    )  # fmt: skip


def _summaries(metadata: TableMetadata, manifest: ManifestFile) -> list[tuple[Any, ...]]:
    schema = metadata.schema()
    found = []
    for field, part in zip(
        metadata.specs()[manifest.partition_spec_id].fields, manifest.partitions or [], strict=True
    ):
        kind = _partition_type(schema, field)
        shown = [
            None if data is None else field.transform.to_human_string(
                schema.find_type(field.source_id), from_bytes(kind, data)
            )
            for data in (part.lower_bound, part.upper_bound)
        ]  # fmt: skip
        found.append((part.contains_null, part.contains_nan, *shown))
    return found


def _files(store: Store, metadata: TableMetadata) -> Rows:
    counts, bounds = _map(INTEGER, BIGINT), _map(INTEGER, VARCHAR)
    columns = [
        ("content", INTEGER), ("file_path", VARCHAR), ("file_format", VARCHAR),
        ("record_count", BIGINT), ("file_size_in_bytes", BIGINT), ("column_sizes", counts),
        ("value_counts", counts), ("null_value_counts", counts), ("nan_value_counts", counts),
        ("lower_bounds", bounds), ("upper_bounds", bounds), ("key_metadata", VARBINARY),
        ("split_offsets", array(BIGINT)), ("equality_ids", array(INTEGER)),
    ]  # fmt: skip
    schema = metadata.schema()
    rows: list[tuple[Any, ...]] = []
    for file in all_files(store, metadata):
        rows.append(
            (
                int(file.content), file.file_path, str(file.file_format.value), file.record_count,
                file.file_size_in_bytes, file.column_sizes, file.value_counts,
                file.null_value_counts, file.nan_value_counts,
                _shown_bounds(schema, file.lower_bounds), _shown_bounds(schema, file.upper_bounds),
                file.key_metadata, file.split_offsets, file.equality_ids,
            )
        )  # fmt: skip
    return Rows(columns, rows)


def _shown_bounds(schema: Schema, bounds: dict[int, bytes] | None) -> dict[int, str] | None:
    if bounds is None:
        return None
    shown = {}
    for number, data in bounds.items():
        try:
            kind = schema.find_type(number)
        except ValueError:
            continue  # a column that is there no more
        shown[number] = IdentityTransform().to_human_string(kind, from_bytes(kind, data))
    return shown


# ------------------------------------------------------------------------ partitions


def _partitions(store: Store, metadata: TableMetadata) -> Rows:
    schema = metadata.schema()
    fields = {f.field_id: f for spec in metadata.specs().values() for f in spec.fields}
    identity = {f.source_id for f in fields.values() if isinstance(f.transform, IdentityTransform)}
    plain = [
        f for f in schema.fields if f.field_type.is_primitive and f.field_id not in identity
    ]  # fmt: skip
    partition = Type(
        "row", (), tuple(_partition_trino(schema, f) for f in fields.values()),
        tuple(f.name for f in fields.values()),
    )  # fmt: skip
    data = Type("row", (), tuple(_statistics_type(f) for f in plain), tuple(f.name for f in plain))
    groups: dict[tuple[Any, ...], list[DataFile]] = {}
    for file in all_files(store, metadata):
        if int(file.content) == 0:
            values = dict.fromkeys(fields)
            for position, field in enumerate(metadata.specs()[file.spec_id].fields):
                values[field.field_id] = file.partition[position]
            key = tuple(_partition_value(schema, fields[n], v) for n, v in values.items())
            groups.setdefault(key, []).append(file)
    columns = [("record_count", BIGINT), ("file_count", BIGINT), ("total_size", BIGINT)]
    rows: list[tuple[Any, ...]] = []
    for key, files in groups.items():
        row: tuple[Any, ...] = (
            sum(f.record_count for f in files), len(files),
            sum(f.file_size_in_bytes for f in files),
        )  # fmt: skip
        rows.append(
            ((key,) if fields else ())
            + row
            + ((tuple(_statistics(f, files) for f in plain),) if plain else ())
        )
    if fields:
        columns.insert(0, ("partition", partition))
    return Rows([*columns, ("data", data)] if plain else columns, rows)


def _statistics_type(field: NestedField) -> Type:
    kind = to_trino(field.field_type)
    return Type(
        "row", (), (kind, kind, BIGINT, BIGINT), ("min", "max", "null_count", "nan_count")
    )  # fmt: skip


def _statistics(field: NestedField, files: Iterable[DataFile]) -> tuple[Any, ...]:
    """Smallest and largest value, nulls, NaNs; None where a file does not say."""
    number, kind = field.field_id, field.field_type
    lows: list[Any] = []
    highs: list[Any] = []
    nulls: list[int | None] = []
    nans: list[int | None] = []
    known = True
    for file in files:
        null, total = _get(file.null_value_counts, number), _get(file.value_counts, number)
        low, high = _get(file.lower_bounds, number), _get(file.upper_bounds, number)
        nulls.append(null)
        nans.append(_get(file.nan_value_counts, number))
        if low is not None and high is not None:
            lows.append(from_bytes(kind, low))
            highs.append(from_bytes(kind, high))
        elif null is None or null != total:
            known = False
    ends = (min(lows), max(highs)) if known and lows else (None, None)
    return (*(_value(kind, end) for end in ends), _total(nulls), _total(nans))


def _get(values: dict[int, Any] | None, number: int) -> Any:
    return None if values is None else values.get(number)


def _total(counts: list[int | None]) -> int | None:
    found = [count for count in counts if count is not None]
    return sum(found) if len(found) == len(counts) else None


def _partition_type(schema: Schema, field: PartitionField) -> IcebergType:
    return field.transform.result_type(schema.find_type(field.source_id))


def _partition_trino(schema: Schema, field: PartitionField) -> Type:
    if isinstance(field.transform, DayTransform):
        return to_trino(it.DateType())
    return to_trino(_partition_type(schema, field))


def _partition_value(schema: Schema, field: PartitionField, value: Any) -> Any:
    if isinstance(field.transform, DayTransform):
        return _value(it.DateType(), value)
    return _value(_partition_type(schema, field), value)


def _value(kind: IcebergType, value: Any) -> Any:
    """What Iceberg stores as a number, as Python's date or time."""
    if isinstance(value, int) and not isinstance(value, bool):
        if isinstance(kind, it.DateType):
            return date(1970, 1, 1) + timedelta(days=value)
        if isinstance(kind, it.TimestampType):
            return EPOCH + timedelta(microseconds=value)
        if isinstance(kind, it.TimestamptzType):
            return EPOCH.replace(tzinfo=UTC) + timedelta(microseconds=value)
    return value


def _moment(milliseconds: int) -> datetime:
    return EPOCH.replace(tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def _map(key: Type, value: Type) -> Type:
    return Type("map", (), (key, value))


_TABLES: dict[str, Callable[[Store, TableMetadata], Rows]] = {
    "snapshots": _snapshots, "history": _history, "refs": _refs, "manifests": _manifests,
    "files": _files, "partitions": _partitions,
}  # fmt: skip
