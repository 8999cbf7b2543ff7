"""Data files of Iceberg tables: written by DuckDB with field ids, described as Iceberg wants."""

from __future__ import annotations

import contextlib
import re
import secrets
import uuid
from collections.abc import Iterator, Sequence
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
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    TruncateTransform,
    YearTransform,
)
from pyiceberg.typedef import Record

from local_aws.engine.buckets import iceberg_bucket
from local_aws.engine.duck import Run
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.formats import Output
from local_aws.engine.iceberg_types import field_ids, to_file, to_trino
from local_aws.engine.partitions import partition_path
from local_aws.engine.types import Type, quote
from local_aws.engine.writing import PARTITION_LIMIT, copy
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
            elif name == "bucket" and second is not None:
                count, column = (first, second) if first.isdigit() else (second, first)
                transform, suffix = BucketTransform(int(count)), "_bucket"
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
    if isinstance(transform, BucketTransform):
        return iceberg_bucket(sql, kind, transform.num_buckets)
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


def write_files(
    run: Run, store: Store, select: str, metadata: TableMetadata, *,
    kept: Sequence[tuple[Record, str]] = (), stored: bool = False,
) -> list[NewFile]:  # fmt: skip
    """Run ``select`` (columns ``c0, c1, ...`` in the schema's order) into data files.

    ``kept`` are more rows, of which the partition is known. ``stored`` says that the rows of
    ``select`` lie in a table, so that it can be run once for each partition.
    """
    schema = metadata.schema()
    kinds = [to_trino(f.field_type) for f in schema.fields]
    codec = str(metadata.properties.get("write.parquet.compression-codec", "zstd"))
    output = Output([], [], codec=codec, field_ids=field_ids(schema))
    items = ", ".join(
        f"{to_file(f's_.c{i}', kind)} AS {quote(f.name)}"
        for i, (f, kind) in enumerate(zip(schema.fields, kinds, strict=True))
    )
    writer = _Writer(run, store, metadata, items, output)
    if not metadata.spec().fields:
        writer.write(Record(), [more for _, more in kept] + [select])
    elif stored:
        writer.write_partitions(f"({select})", kept)
    else:
        name = f"t_{secrets.token_hex(6)}"
        run.execute(f"CREATE TEMP TABLE {name} AS {select}")
        try:
            writer.write_partitions(name, kept)
        finally:
            run.evaluate(f"DROP TABLE {name}")
    return writer.files


class _Writer:
    def __init__(
        self, run: Run, store: Store, metadata: TableMetadata, items: str, output: Output
    ) -> None:
        self.run, self.store, self.schema = run, store, metadata.schema()
        self.fields = metadata.spec().fields
        self.items, self.output = items, output
        self.files: list[NewFile] = []

    def write(self, partition: Record, selects: list[str]) -> None:
        """One file; none if there is no row."""
        path = self.run.new_blob(self.store)
        rows = copy(
            self.run,
            " UNION ALL ".join(f"SELECT {self.items} FROM ({sql}) AS s_" for sql in selects),
            path, self.output,
        )  # fmt: skip
        if rows:
            self.files.append(NewFile(path, rows, partition, self._folder(partition)))
        else:
            path.unlink(missing_ok=True)

    def write_partitions(self, source: str, kept: Sequence[tuple[Record, str]]) -> None:
        """A file for each partition."""
        keys = self._keys()
        found = self.run.evaluate(
            f"SELECT DISTINCT {', '.join(keys)} FROM {source} AS t_ ORDER BY ALL "
            f"LIMIT {PARTITION_LIMIT + 1}"
        )
        if len(found) > PARTITION_LIMIT:
            raise QueryError(
                "ICEBERG_TOO_MANY_OPEN_PARTITIONS",
                f"Exceeded limit of {PARTITION_LIMIT} open writers for partitions",
            )
        selects: dict[tuple[Any, ...], list[str]] = {}
        for record, more in kept:
            values = tuple(record[i] for i in range(len(keys)))
            selects.setdefault(values, []).append(more)
        for values in found:
            condition = " AND ".join(
                f"{key} IS NOT DISTINCT FROM {_literal(value)}"
                for key, value in zip(keys, values, strict=True)
            )
            one = f"SELECT t_.* FROM {source} AS t_ WHERE {condition}"
            selects.setdefault(values, []).append(one)
        for values, listed in selects.items():
            self.write(Record(*values), listed)

    def _keys(self) -> list[str]:
        positions = {f.field_id: i for i, f in enumerate(self.schema.fields)}
        keys = []
        for field in self.fields:
            at = positions[field.source_id]
            kind = to_trino(self.schema.fields[at].field_type)
            sql = f"t_.c{at}" if kind.name != "timestamptz" else f"(t_.c{at}).i"
            keys.append(partition_sql(field.transform, sql, kind))
        return keys

    def _folder(self, partition: Record) -> str:
        shown = []
        for position, field in enumerate(self.fields):
            kind, value = self.schema.find_type(field.source_id), partition[position]
            shown.append("null" if value is None else field.transform.to_human_string(kind, value))
        return partition_path([field.name for field in self.fields], shown)


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
