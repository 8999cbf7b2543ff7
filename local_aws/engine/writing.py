"""CTAS and INSERT into tables of files: written aside, then visible whole, in one transaction."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from local_aws.engine import tree
from local_aws.engine.compiler import Column
from local_aws.engine.duck import Run
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.partitions import DEFAULT_PARTITION, partition_path
from local_aws.engine.types import Type, quote
from local_aws.store import Store

PARTITION_LIMIT = 100
"""Athena's limit of open writers in one statement."""

_CODECS = {"gzip": "gzip", "snappy": "snappy", "zstd": "zstd", "none": "uncompressed",
           "uncompressed": "uncompressed", "lz4": "lz4"}  # fmt: skip


@dataclass(slots=True)
class Written:
    """A file that waits for its place."""

    path: Path
    values: list[str]
    rows: int


@dataclass(slots=True)
class Output:
    """What to write: format and the names of columns and partition columns."""

    columns: list[tuple[str, Type]]
    partitions: list[tuple[str, Type]]
    format: str = "parquet"
    codec: str = "zstd"
    delimiter: str = "\x01"
    field_ids: str = ""


def constant(node: tree.Expr) -> Any:
    """A table property's value."""
    if isinstance(node, tree.Literal):
        if node.kind == "integer":
            return int(node.value)
        return (
            {"true": True, "false": False}.get(node.value, node.value)
            if (node.kind == "boolean")
            else node.value
        )
    if isinstance(node, tree.ArrayLiteral):
        return [constant(item) for item in node.items]
    if isinstance(node, tree.Call) and node.name == "array":
        return [constant(item) for item in node.args]
    raise QueryError("INVALID_TABLE_PROPERTY", "A table property must be a constant", node.at)


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
    if kind.name in ("timestamptz", "time", "json", "uuid", "interval_day_to_second",
                     "interval_year_to_month"):  # fmt: skip
        raise QueryError("NOT_SUPPORTED", f"Unsupported Hive type: {kind}")
    for inner in kind.of:
        check_hive_type(name, inner)


def codec(properties: dict[str, Any], default: str) -> str:
    """The compression that the properties ask for."""
    for key in ("write_compression", "parquet_compression", "orc_compression"):
        if key in properties:
            found = _CODECS.get(str(properties[key]).lower())
            if found is None:
                raise QueryError("INVALID_TABLE_PROPERTY", f"Unknown compression {properties[key]}")
            return found
    return default


def write(run: Run, store: Store, select: str, output: Output) -> list[Written]:
    """Run ``select`` (columns ``c0, c1, ...``) into files, one for each partition."""
    everything = [*output.columns, *output.partitions]
    if not output.partitions:
        path = run.new_blob(store)
        items = ", ".join(f"s_.c{i} AS {quote(name)}" for i, (name, _) in enumerate(everything))
        rows = copy(run, f"SELECT {items} FROM ({select}) AS s_", path, output)
        return [Written(path, [], rows)] if rows else _dropped(path)
    name = f"t_{secrets.token_hex(6)}"
    run.execute(f"CREATE TEMP TABLE {name} AS {select}")
    first = len(output.columns)
    keys = [f"c{first + i}" for i in range(len(output.partitions))]
    found = run.evaluate(
        f"SELECT {', '.join(f'CAST({k} AS VARCHAR)' for k in keys)}, count(*) FROM {name} "
        f"GROUP BY {', '.join(keys)} ORDER BY ALL LIMIT {PARTITION_LIMIT + 1}"
    )
    if len(found) > PARTITION_LIMIT:
        run.execute(f"DROP TABLE {name}")
        raise QueryError(
            "HIVE_TOO_MANY_OPEN_PARTITIONS",
            f"Exceeded limit of {PARTITION_LIMIT} open writers for partitions/buckets",
        )
    items = ", ".join(f"c{i} AS {quote(column)}" for i, (column, _) in enumerate(output.columns))
    written = []
    for *values, _ in found:
        condition = " AND ".join(
            f"CAST({key} AS VARCHAR) IS NOT DISTINCT FROM "
            + ("NULL" if value is None else "'" + str(value).replace("'", "''") + "'")
            for key, value in zip(keys, values, strict=True)
        )
        path = run.new_blob(store)
        rows = copy(run, f"SELECT {items} FROM {name} WHERE {condition}", path, output)
        shown = [DEFAULT_PARTITION if value is None else str(value) for value in values]
        written.append(Written(path, shown, rows))
    run.execute(f"DROP TABLE {name}")
    return written


def _dropped(path: Path) -> list[Written]:
    path.unlink(missing_ok=True)
    return []


def copy(run: Run, select: str, path: Path, output: Output) -> int:
    """One file; the number of its rows."""
    if output.format == "parquet":
        options = f"FORMAT parquet, COMPRESSION {output.codec}{output.field_ids}"
    elif output.format == "json":
        options = "FORMAT json"
    elif output.format == "text":
        delimiter = output.delimiter.replace("'", "''")
        options = (
            f"FORMAT csv, HEADER false, DELIMITER '{delimiter}', NULLSTR '\\N', QUOTE '', ESCAPE ''"
        )
    else:
        refuse(f"Writing {output.format} is not supported here")
    target = str(path).replace("'", "''")
    (count,) = run.execute(f"COPY ({select}) TO '{target}' ({options})").fetchone()
    return int(count)


def file_name(now: datetime) -> str:
    """A name like those that Athena gives to its files."""
    task = f"{secrets.randbelow(100_000):05d}_{secrets.token_hex(3)[:5]}"
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
        run.written.append(store.put(bucket, folder + file_name(now), file.path).uri)
        if file.values:
            partitions.append((file.values, f"s3://{bucket}/{folder}"))
    return partitions
