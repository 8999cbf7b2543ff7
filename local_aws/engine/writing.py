"""CTAS and INSERT into tables of files: written aside, then visible whole, in one transaction."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from local_aws.engine.buckets import hive_bucket
from local_aws.engine.compiler import Column
from local_aws.engine.duck import Run, translated
from local_aws.engine.errors import QueryError
from local_aws.engine.formats import Output
from local_aws.engine.partitions import DEFAULT_PARTITION, partition_path
from local_aws.engine.types import Type, quote, quote_text
from local_aws.store import Store

PARTITION_LIMIT = 100
"""Athena's limit of open writers in one statement."""


@dataclass(slots=True)
class Written:
    """A file that waits for its place."""

    path: Path
    values: list[str]
    rows: int
    suffix: str = ""
    bucket: int | None = None


def check_columns(columns: list[Column], names: list[str]) -> list[tuple[str, Type]]:
    """Names and types of a new table; Athena's errors if one is missing or twice there."""
    if names and len(names) != len(columns):
        raise QueryError(
            "MISMATCHED_COLUMN_ALIASES",
            f"Column alias list has {len(names)} entries but subquery has {len(columns)} columns",
        )
    found: list[tuple[str, Type]] = []
    for i, column in enumerate(columns):
        name = names[i] if names else column.name
        if name is None:
            raise QueryError(
                "MISSING_COLUMN_NAME", f"Column name not specified at position {i + 1}"
            )
        if name in [n for n, _ in found]:
            raise QueryError(
                "DUPLICATE_COLUMN_NAME", f"Column name '{name}' specified more than once"
            )
        if column.type.name == "unknown":
            raise QueryError("COLUMN_TYPE_UNKNOWN", f"Column type is unknown: {name}")
        found.append((name, column.type))
    return found


def check_hive_type(name: str, kind: Type) -> None:
    """Fail for what a Hive table cannot hold."""
    if kind.name == "timestamp" and kind.numbers[0] != 3:
        raise QueryError(
            "NOT_SUPPORTED",
            f"Incorrect timestamp precision for {kind}; the configured precision is MILLISECONDS; "
            f"column name: {name}",
        )
    if kind.name in ("timestamptz", "time", "json", "uuid", "char", "interval_day_to_second",
                     "interval_year_to_month"):  # fmt: skip
        raise QueryError("NOT_SUPPORTED", f"Unsupported Hive type: {kind}")
    for inner in kind.of:
        check_hive_type(name, inner)


def write(run: Run, store: Store, select: str, output: Output) -> list[Written]:
    """Run ``select`` (columns ``c0, c1, ...``) into files, one for each partition and bucket."""
    everything = [*output.columns, *output.partitions]
    if not output.partitions and not output.bucketed_by:
        path = run.new_blob(store)
        items = ", ".join(f"s_.c{i} AS {quote(name)}" for i, (name, _) in enumerate(everything))
        rows = copy(run, f"SELECT {items} FROM ({select}) AS s_", path, output)
        return [Written(path, [], rows, output.suffix)] if rows else _dropped(path)
    name = f"t_{secrets.token_hex(6)}"
    if output.bucketed_by:
        names = [column for column, _ in output.columns]
        hashed = [(f"s_.c{names.index(b)}", dict(output.columns)[b]) for b in output.bucketed_by]
        select = f"SELECT s_.*, {hive_bucket(hashed, output.bucket_count)} AS b FROM ({select}) s_"
    run.execute(f"CREATE TEMP TABLE {name} AS {select}")
    try:
        return _write_parts(run, store, name, output)
    finally:
        run.evaluate(f"DROP TABLE {name}")


def _write_parts(run: Run, store: Store, name: str, output: Output) -> list[Written]:
    first = len(output.columns)
    keys = [f"c{first + i}" for i in range(len(output.partitions))]
    keys += ["b"] if output.bucketed_by else []
    found = run.evaluate(
        f"SELECT {', '.join(f'CAST({k} AS VARCHAR)' for k in keys)} FROM {name} "
        f"GROUP BY {', '.join(keys)} ORDER BY ALL LIMIT {PARTITION_LIMIT + 1}"
    )
    if len(found) > PARTITION_LIMIT:
        raise QueryError(
            "HIVE_TOO_MANY_OPEN_PARTITIONS",
            f"Exceeded limit of {PARTITION_LIMIT} open writers for partitions/buckets",
        )
    items = ", ".join(f"c{i} AS {quote(column)}" for i, (column, _) in enumerate(output.columns))
    written = []
    for values in found:
        condition = " AND ".join(
            f"CAST({key} AS VARCHAR) IS NOT DISTINCT FROM "
            + ("NULL" if value is None else quote_text(str(value)))
            for key, value in zip(keys, values, strict=True)
        )
        path = run.new_blob(store)
        rows = copy(run, f"SELECT {items} FROM {name} WHERE {condition}", path, output)
        shown = [DEFAULT_PARTITION if value is None else str(value) for value in values]
        bucket = int(shown.pop()) if output.bucketed_by else None
        written.append(Written(path, shown, rows, output.suffix, bucket))
    return written


def _dropped(path: Path) -> list[Written]:
    path.unlink(missing_ok=True)
    return []


def copy(run: Run, select: str, path: Path, output: Output) -> int:
    """One file; the number of its rows."""
    if output.format == "orc":
        return _copy_orc(run, select, path, output.codec)
    if output.format == "parquet":
        options = f"FORMAT parquet, COMPRESSION {output.codec}{output.field_ids}"
        if output.level is not None:
            options += f", COMPRESSION_LEVEL {output.level}"
    elif output.format == "json":
        options = f"FORMAT json, COMPRESSION {output.codec}"
    else:
        options = (
            f"FORMAT csv, HEADER false, DELIMITER {quote_text(output.delimiter)}, "
            f"NULLSTR {quote_text(output.null)}, QUOTE '', ESCAPE '', COMPRESSION {output.codec}"
        )
    sql = f"COPY ({select}) TO {quote_text(str(path))} ({options})"
    (count,) = run.execute(sql).fetchone()
    return int(count)


def _copy_orc(run: Run, select: str, path: Path, compression: str) -> int:
    import pyarrow as pa
    from pyarrow import orc

    rows = 0
    with translated():
        reader = run.execute(select).to_arrow_reader(100_000)
        with orc.ORCWriter(str(path), compression=compression) as writer:
            for batch in reader:
                rows += batch.num_rows
                writer.write(pa.Table.from_batches([batch]))
    return rows


def file_name(now: datetime, bucket: int | None = None) -> str:
    """A name like those that Athena gives to its files; a bucket's begins with its number."""
    task = f"{secrets.randbelow(100_000):05d}_{secrets.token_hex(3)[:5]}"
    if bucket is not None:
        return f"{bucket:06d}_0_{now:%Y%m%d_%H%M%S}_{task}"
    return f"{now:%Y%m%d_%H%M%S}_{task}_{uuid.uuid4()}"


def place(
    run: Run, store: Store, location: tuple[str, str], written: list[Written], names: list[str],
    now: datetime,
) -> list[tuple[list[str], str]]:  # fmt: skip
    """Put the files under the location (inside the caller's transaction); partitions and places."""
    bucket, prefix = location
    partitions = []
    run.written = run.written or []
    for file in written:
        folder = prefix + partition_path(names, file.values)
        run.written.append(
            store.put(bucket, folder + file_name(now, file.bucket) + file.suffix, file.path).uri
        )
        if file.values:
            partitions.append((file.values, f"s3://{bucket}/{folder}"))
    return partitions
