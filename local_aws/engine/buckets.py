"""Which bucket a row belongs to, as SQL: Iceberg's ``bucket(n, x)`` and Hive's bucketed tables."""

from __future__ import annotations

from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.types import Type


def iceberg_bucket(sql: str, kind: Type, count: int) -> str:
    """Iceberg's: murmur3 (32 bits) of the value, without its sign, modulo ``count``."""
    if kind.is_integer:
        hashed = f"bucket_of_long({sql})"
    elif kind.name == "date":
        hashed = f"bucket_of_long(CAST({sql} AS DATE) - DATE '1970-01-01')"
    elif kind.name in ("timestamp", "timestamptz"):
        hashed = f"bucket_of_long(epoch_us({sql}))"
    elif kind.name == "varchar":
        hashed = f"bucket_of_bytes(bucket_bytes(encode({sql})))"
    elif kind.name == "varbinary":
        hashed = f"bucket_of_bytes(bucket_bytes({sql}))"
    else:
        refuse(f"bucket() of {kind} is not supported here")
    return f"CASE WHEN {sql} IS NULL THEN NULL ELSE {_index(hashed, count)} END"


def hive_bucket(columns: list[tuple[str, Type]], count: int) -> str:
    """Hive's (version 1, which Athena writes), of columns as SQL with their types."""
    total = "CAST(0 AS BIGINT)"
    for sql, kind in columns:
        total = f"(({total} * 31 + coalesce({_hive_hash(sql, kind)}, 0)) & 4294967295)"
    return _index(total, count)


def _hive_hash(sql: str, kind: Type) -> str:
    if kind.name == "bigint":
        return f"bucket_hive_long({sql})"
    if kind.is_integer or kind.name == "boolean":
        return f"(CAST({sql} AS BIGINT) & 4294967295)"
    if kind.name == "date":
        return f"(CAST({sql} - DATE '1970-01-01' AS BIGINT) & 4294967295)"
    if kind.name == "varchar":
        return f"bucket_hive_bytes(bucket_bytes(encode({sql})))"
    raise QueryError("NOT_SUPPORTED", f"Bucketing by columns of type {kind} is not supported here")


def _index(hashed: str, count: int) -> str:
    return f"CAST((({hashed}) & 2147483647) % {count} AS INTEGER)"
