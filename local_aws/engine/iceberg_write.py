"""Data files of Iceberg tables: written by DuckDB with field ids, described as Iceberg wants."""

from __future__ import annotations

import contextlib
import re
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import (
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    TruncateTransform,
    YearTransform,
)
from pyiceberg.typedef import Record

from local_aws.engine.duck import Run
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.iceberg_types import field_ids, to_file, to_trino
from local_aws.engine.partitions import partition_path
from local_aws.engine.types import Type, quote
from local_aws.engine.writing import PARTITION_LIMIT, Output, copy
from local_aws.store import Store

_TRANSFORMS: dict[str, Any] = {
    "day": DayTransform, "days": DayTransform, "month": MonthTransform, "months": MonthTransform,
    "year": YearTransform, "years": YearTransform, "hour": HourTransform, "hours": HourTransform,
}  # fmt: skip


def partition_spec(schema: Schema, texts: list[str]) -> PartitionSpec:
    """A spec from ``day(x)``, ``truncate(x, 4)`` or a column's name."""
    fields = []
    for number, text in enumerate(texts):
        match = re.fullmatch(
            r'\s*(\w+)\s*\(\s*"?(\w+)"?\s*(?:,\s*"?(\w+)"?\s*)?\)\s*|\s*"?(\w+)"?\s*', text.lower()
        )
        if match is None:
            raise QueryError(
                "INVALID_TABLE_PROPERTY", f"Unable to parse partitioning value: {text}"
            )
        transform: Any = IdentityTransform()
        column, suffix = match[4], ""
        if column is None:
            name, first, second = match[1], match[2], match[3]
            if name in _TRANSFORMS and second is None:
                transform, column, suffix = _TRANSFORMS[name](), first, f"_{name.rstrip('s')}"
            elif name == "truncate" and second is not None:
                width, column = (first, second) if first.isdigit() else (second, first)
                transform, suffix = TruncateTransform(int(width)), "_trunc"
            else:
                refuse(f"Iceberg partitioning {text} is not supported here")
        try:
            field = schema.find_field(column, case_sensitive=False)
        except ValueError:
            raise QueryError("COLUMN_NOT_FOUND", f"Cannot find source column: {column}") from None
        fields.append(PartitionField(field.field_id, 1000 + number, transform, column + suffix))
    return PartitionSpec(*fields)


def partition_sql(transform: Any, sql: str, kind: Type) -> str:
    """A transform as Iceberg stores its result."""
    days = f"CAST({sql} AS DATE) - DATE '1970-01-01'"
    if isinstance(transform, DayTransform):
        return f"CAST({days} AS INTEGER)"
    if isinstance(transform, YearTransform):
        return f"CAST(year({sql}) - 1970 AS INTEGER)"
    if isinstance(transform, MonthTransform):
        return f"CAST((year({sql}) - 1970) * 12 + month({sql}) - 1 AS INTEGER)"
    if isinstance(transform, HourTransform):
        return f"CAST(local_floor_div(epoch_us({sql}), 3600000000) AS INTEGER)"
    if isinstance(transform, TruncateTransform):
        if kind.is_integer:
            return (
                f"({sql} - (({sql} % {transform.width}) + {transform.width}) % {transform.width})"
            )
        if kind.name == "varchar":
            return f"left({sql}, {transform.width})"
        refuse(f"truncate of {kind} is not supported here")
    if kind.name == "date":
        return f"CAST({days} AS INTEGER)"
    if kind.name == "timestamp":
        return f"epoch_us({sql})"
    if kind.name in ("boolean", "varchar") or kind.is_integer:
        return sql
    return refuse(f"Iceberg partitioning by {kind} is not supported here")


@dataclass(slots=True)
class NewFile:
    """A file that waits for its place and its entry in a manifest."""

    path: Path
    rows: int
    partition: Record
    folder: str


def write_files(run: Run, store: Store, select: str, metadata: TableMetadata) -> list[NewFile]:
    """Run ``select`` (columns ``c0, c1, ...`` in the schema's order) into data files."""
    schema = metadata.schema()
    kinds = [to_trino(f.field_type) for f in schema.fields]
    codec = str(metadata.properties.get("write.parquet.compression-codec", "zstd"))
    output = Output([], [], codec=codec, field_ids=field_ids(schema))
    items = ", ".join(
        f"{to_file(f's_.c{i}', kind)} AS {quote(f.name)}"
        for i, (f, kind) in enumerate(zip(schema.fields, kinds, strict=True))
    )
    spec = metadata.spec()
    if not spec.fields:
        path = run.new_blob(store)
        rows = copy(run, f"SELECT {items} FROM ({select}) AS s_", path, output)
        if not rows:
            path.unlink(missing_ok=True)
            return []
        return [NewFile(path, rows, Record(), "")]
    return _partitioned(run, store, select, metadata, items, output)


def _partitioned(
    run: Run, store: Store, select: str, metadata: TableMetadata, items: str, output: Output
) -> list[NewFile]:
    schema, spec = metadata.schema(), metadata.spec()
    positions = {f.field_id: i for i, f in enumerate(schema.fields)}
    keys = []
    for field in spec.fields:
        at = positions[field.source_id]
        kind = to_trino(schema.fields[at].field_type)
        sql = f"t_.c{at}" if kind.name != "timestamptz" else f"(t_.c{at}).i"
        keys.append(partition_sql(field.transform, sql, kind))
    name = f"t_{secrets.token_hex(6)}"
    listed = ", ".join(f"{key} AS p{i}" for i, key in enumerate(keys))
    run.execute(f"CREATE TEMP TABLE {name} AS SELECT t_.*, {listed} FROM ({select}) AS t_")
    try:
        columns = ", ".join(f"p{i}" for i in range(len(keys)))
        found = run.evaluate(
            f"SELECT DISTINCT {columns} FROM {name} ORDER BY ALL LIMIT {PARTITION_LIMIT + 1}"
        )
        if len(found) > PARTITION_LIMIT:
            raise QueryError(
                "ICEBERG_TOO_MANY_OPEN_PARTITIONS",
                f"Exceeded limit of {PARTITION_LIMIT} open writers for partitions",
            )
        files = []
        for values in found:
            condition = " AND ".join(
                f"s_.p{i} IS NOT DISTINCT FROM {_literal(value)}" for i, value in enumerate(values)
            )
            path = run.new_blob(store)
            rows = copy(run, f"SELECT {items} FROM {name} AS s_ WHERE {condition}", path, output)
            folder = partition_path(
                [f.name for f in spec.fields],
                ["null" if v is None else f.transform.to_human_string(
                    f.transform.result_type(schema.find_type(f.source_id))
                    if False else schema.find_type(f.source_id), v)
                 for f, v in zip(spec.fields, values, strict=True)],
            )  # fmt: skip
            files.append(NewFile(path, rows, Record(*values), folder))
        return files
    finally:
        run.execute(f"DROP TABLE {name}")


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


@contextlib.contextmanager
def placed_files(
    store: Store, metadata: TableMetadata, files: list[NewFile], now: datetime
) -> Iterator[list[DataFile]]:
    """The files, put under the table's location; gone again if the block (the commit) fails."""
    placed = _place(store, metadata, files, now)
    try:
        yield placed
    except BaseException:
        for file in placed:
            store.delete(*Store.parse_uri(file.file_path))
        raise


def _place(
    store: Store, metadata: TableMetadata, files: list[NewFile], now: datetime
) -> list[DataFile]:
    schema = metadata.schema()
    plan = compute_statistics_plan(schema, metadata.properties)
    mapping = parquet_path_to_id_mapping(schema)
    found = []
    for file in files:
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=pq.read_metadata(file.path),
            stats_columns=plan,
            parquet_column_mapping=mapping,
        )
        size = file.path.stat().st_size
        name = f"{now:%Y%m%d_%H%M%S}_{secrets.token_hex(3)}-{uuid.uuid4()}.parquet"
        uri = f"{metadata.location.rstrip('/')}/data/{file.folder}{name}"
        store.put(*Store.parse_uri(uri), file.path)
        found.append(
            DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=uri,
                file_format=FileFormat.PARQUET,
                partition=file.partition,
                file_size_in_bytes=size,
                sort_order_id=None,
                spec_id=metadata.default_spec_id,
                equality_ids=None,
                key_metadata=None,
                **statistics.to_serialized_dict(),
            )
        )
    return found
