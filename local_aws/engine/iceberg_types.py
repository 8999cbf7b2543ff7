"""Iceberg's types and ours."""

from __future__ import annotations

from itertools import count
from typing import Any

from pyiceberg import types as it
from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, NestedField

from local_aws.engine.errors import QueryError
from local_aws.engine.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    REAL,
    TIMESTAMP6,
    TIMESTAMPTZ6,
    VARBINARY,
    VARCHAR,
    Type,
    array,
    decimal,
    quote,
)

_PLAIN: list[tuple[Any, Type]] = [
    (it.BooleanType, BOOLEAN), (it.IntegerType, INTEGER), (it.LongType, BIGINT),
    (it.FloatType, REAL), (it.DoubleType, DOUBLE), (it.DateType, DATE),
    (it.TimestampType, TIMESTAMP6), (it.TimestamptzType, TIMESTAMPTZ6),
    (it.StringType, VARCHAR), (it.BinaryType, VARBINARY), (it.FixedType, VARBINARY),
]  # fmt: skip


def to_trino(kind: IcebergType) -> Type:
    """Iceberg's type as ours."""
    for iceberg, found in _PLAIN:
        if isinstance(kind, iceberg):
            return found
    if isinstance(kind, it.DecimalType):
        return decimal(kind.precision, kind.scale)
    if isinstance(kind, it.ListType):
        return array(to_trino(kind.element_type))
    if isinstance(kind, it.MapType):
        return Type("map", (), (to_trino(kind.key_type), to_trino(kind.value_type)))
    if isinstance(kind, it.StructType):
        return Type(
            "row", (), tuple(to_trino(f.field_type) for f in kind.fields),
            tuple(f.name for f in kind.fields),
        )  # fmt: skip
    raise QueryError("NOT_SUPPORTED", f"Iceberg type {kind} is not supported here")


def to_iceberg(kind: Type, ids: Any) -> IcebergType:
    """Our type as Iceberg's; nested fields take fresh numbers from ``ids``."""
    for iceberg, found in _PLAIN:
        if found == kind and iceberg is not it.FixedType:
            plain: IcebergType = iceberg()
            return plain
    if kind.name in ("varchar", "char"):
        return it.StringType()
    if kind.name == "decimal":
        return it.DecimalType(*kind.numbers)
    if kind.name == "array":
        number = next(ids)
        return it.ListType(number, to_iceberg(kind.of[0], ids), element_required=False)
    if kind.name == "map":
        key, value = next(ids), next(ids)
        return it.MapType(
            key, to_iceberg(kind.of[0], ids), value, to_iceberg(kind.of[1], ids),
            value_required=False,
        )  # fmt: skip
    if kind.name == "row":
        numbers = [next(ids) for _ in kind.of]
        return it.StructType(
            *(
                NestedField(n, name, to_iceberg(t, ids), required=False)
                for n, name, t in zip(numbers, kind.struct_names, kind.of, strict=True)
            )
        )
    if kind.name in ("timestamp", "timestamptz"):
        raise QueryError(
            "NOT_SUPPORTED",
            f"Timestamp precision ({kind.numbers[0]}) not supported for Iceberg. "
            'Use "timestamp(6)" instead.',
        )
    raise QueryError("NOT_SUPPORTED", f"Type not supported for Iceberg: {kind}")


def schema_of(columns: list[tuple[str, Type]], comments: dict[str, str]) -> Schema:
    """A new table's schema; top-level fields are numbered first, as Iceberg does."""
    numbers = count(len(columns) + 1)
    return Schema(
        *(
            NestedField(i, name, to_iceberg(kind, numbers), required=False, doc=comments.get(name))
            for i, (name, kind) in enumerate(columns, 1)
        )
    )


def read_type(kind: Type) -> str:
    """The DuckDB type in which a file's column is read."""
    return "TIMESTAMPTZ" if kind.name == "timestamptz" else kind.duck


def from_file(sql: str, kind: Type) -> str:
    """A column as it is read, as our value."""
    if kind.name == "timestamptz":
        return f"local_at_utc(timezone('UTC', {sql}))"
    return sql


def to_file(sql: str, kind: Type) -> str:
    """Our value as the file wants it."""
    if kind.name == "timestamptz":
        return f"timezone('UTC', ({sql}).i)"
    return sql


def field_ids(schema: Schema) -> str:
    """COPY's FIELD_IDS for a schema."""
    listed = ", ".join(f"{quote(f.name)}: {_ids(f.field_id, f.field_type)}" for f in schema.fields)
    return f", FIELD_IDS {{{listed}}}"


def _ids(number: int, kind: IcebergType) -> str:
    inner = []
    if isinstance(kind, it.ListType):
        inner = [f"element: {_ids(kind.element_id, kind.element_type)}"]
    elif isinstance(kind, it.MapType):
        inner = [
            f"key: {_ids(kind.key_id, kind.key_type)}",
            f"value: {_ids(kind.value_id, kind.value_type)}",
        ]
    elif isinstance(kind, it.StructType):
        inner = [f"{quote(f.name)}: {_ids(f.field_id, f.field_type)}" for f in kind.fields]
    if not inner:
        return str(number)
    return f"{{__duckdb_field_id: {number}, {', '.join(inner)}}}"


def leaves(kind: IcebergType, number: int) -> list[int]:
    """Numbers of the leaf columns of a field."""
    if isinstance(kind, it.ListType):
        return leaves(kind.element_type, kind.element_id)
    if isinstance(kind, it.MapType):
        return leaves(kind.key_type, kind.key_id) + leaves(kind.value_type, kind.value_id)
    if isinstance(kind, it.StructType):
        return [n for f in kind.fields for n in leaves(f.field_type, f.field_id)]
    return [number]
