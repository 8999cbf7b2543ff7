"""Python's values as DuckDB's SQL of one of our types."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from local_aws.engine.types import Type, quote, quote_text


def constant_sql(value: Any, kind: Type) -> str:
    """Lists are arrays, dicts maps, tuples rows; aware datetimes are times with zone, in UTC."""
    if value is None:
        return f"CAST(NULL AS {kind.duck})"
    if kind.name == "array":
        items = ", ".join(constant_sql(item, kind.of[0]) for item in value)
        return f"CAST([{items}] AS {kind.duck})"
    if kind.name == "map":
        keys = ", ".join(constant_sql(key, kind.of[0]) for key in value)
        values = ", ".join(constant_sql(item, kind.of[1]) for item in value.values())
        return f"CAST(map([{keys}], [{values}]) AS {kind.duck})"
    if kind.name == "row":
        cells = ", ".join(
            f"{quote(name)} := {constant_sql(item, inner)}"
            for name, item, inner in zip(kind.struct_names, value, kind.of, strict=True)
        )
        return f"struct_pack({cells})"
    if kind.name == "timestamptz":
        return at_utc(value)
    if isinstance(value, bytes):
        return f"unhex('{value.hex()}')"
    if isinstance(value, bool | int):
        return f"CAST({value} AS {kind.duck})"
    return f"CAST({quote_text(str(value))} AS {kind.duck})"


def at_utc(moment: datetime) -> str:
    """A time with zone."""
    shown = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return f"struct_pack(i := TIMESTAMP '{shown}', z := 'UTC')"
