"""Casts and coercions: Trino's rules, spelled in DuckDB."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from local_aws.engine.errors import mismatch, refuse
from local_aws.engine.scope import Value
from local_aws.engine.types import (
    DOUBLE,
    JSON,
    VARCHAR,
    Type,
    as_decimal,
    coerces,
    quote,
    quote_text,
)


def coerce(value: Value, kind: Type) -> Value:
    """``value`` as ``kind``, to which its type is known to coerce."""
    if value.type == kind:
        return value
    if value.wall is not None and kind.name in ("date", "timestamp"):
        return Value(_from_wall(value.wall, value.type, kind), kind)
    made = Value(convert(value.sql, value.type, kind, safe=False), kind, value.literal)
    if kind.name == "timestamptz" and value.type.name in ("date", "timestamp"):
        made.wall = made.utc = f"CAST({value.sql} AS TIMESTAMP)"
    return made


def explicit(value: Value, kind: Type, at: int, *, safe: bool) -> Value:
    """CAST or TRY_CAST."""
    if value.type == kind:
        return value
    if not _castable(value.type, kind):
        mismatch(f"Cannot cast {value.type} to {kind}", at)
    if value.wall is not None and kind.name in ("date", "timestamp"):
        return Value(_from_wall(value.wall, value.type, kind), kind)
    return Value(convert(value.sql, value.type, kind, safe=safe), kind)


_TEXT = ("varchar", "char")
_FROM_TEXT = ("boolean", "tinyint", "smallint", "integer", "bigint", "decimal", "real", "double",
              "date", "timestamp", "timestamptz", "varbinary", "json", "varchar", "char", "uuid",
              "time")  # fmt: skip
_TO_TEXT = ("boolean", "tinyint", "smallint", "integer", "bigint", "decimal", "real", "double",
            "date", "timestamp", "timestamptz", "json", "uuid", "char", "varchar",
            "interval_day_to_second", "time")  # fmt: skip


def _castable(a: Type, b: Type) -> bool:
    if a.name == "unknown" or coerces(a, b):
        return True
    if a.name == "json" and b.name in ("array", "map", "row"):
        return True
    if b.name == "json":
        if any(_holds_time(inner) for inner in a.of):
            refuse(f"CAST of {a} to JSON is not supported here")
        return a.name in ("boolean", "varchar", "date", "timestamp", "array", "map", "row") or (
            a.is_number
        )
    if a.of or b.of:
        return (
            a.name == b.name
            and len(a.of) == len(b.of)
            and all(_castable(x, y) for x, y in zip(a.of, b.of, strict=True))
        )
    if a.name in _TEXT:
        return b.name in _FROM_TEXT
    if b.name in _TEXT:
        return a.name in _TO_TEXT
    if a.is_number or a.name == "boolean":
        return b.is_number or b.name == "boolean" or (a.name == "json")
    if a.name == "json":
        return b.is_number or b.name in ("boolean",)
    if b.name == "time":
        return a.name in ("timestamp", "timestamptz", "time")
    dates = ("date", "timestamp", "timestamptz")
    return a.name in dates and b.name in dates


def _holds_time(kind: Type) -> bool:
    return kind.name in ("timestamp", "timestamptz", "varbinary", "time") or any(
        _holds_time(inner) for inner in kind.of
    )


def convert(sql: str, a: Type, b: Type, *, safe: bool) -> str:
    """The SQL of a value of type ``a`` as ``b``, which is known to be possible."""
    cast = "TRY_CAST" if safe else "CAST"
    if a.name == "unknown":
        return f"CAST({sql} AS {b.duck})"
    if "char" in (a.name, b.name):
        return _by_way_of_varchar(sql, a, b, safe=safe)
    if a.name == "timestamptz":
        return _from_timestamptz(sql, a, b, safe=safe)
    if b.name == "timestamptz":
        return _to_timestamptz(sql, a, b, safe=safe)
    if a.of and a.name == b.name:
        return _convert_nested(sql, a, b, safe=safe)
    if a.name in _TEXT:
        return _from_text(sql, b, safe=safe)
    if b.name in _TEXT:
        text = _to_text(sql, a, safe=safe)
        return (
            f"local_fits_cast({text}, {b.numbers[0]}, {str(safe).lower()})" if b.numbers else text
        )
    if b.name == "json":
        if a.name == "decimal":  # all its digits: 1.50 is not 1.5
            return f"CAST(CAST({sql} AS VARCHAR) AS JSON)"
        if _has_nameless(a) or _has_decimal(a):
            return f"CAST({_json_text(sql, a)} AS JSON)"
        made = f"to_json({_json_ready(sql, a)})"
        return f"CAST(py_json_sorted(CAST({made} AS VARCHAR)) AS JSON)" if _has_map(a) else made
    if a.name == "json":
        if b.name == "row":
            return _row_of_json(sql, b, safe=safe)
        if b.name == "array" and _has_row(b):
            item = convert("j_", JSON, b.of[0], safe=safe)
            items = f"list_transform(json_extract({sql}, '$[*]'), lambda j_: {item})"
            whole = f"CASE WHEN json_type({sql}) = 'ARRAY' THEN {items}"
            return f"{whole} ELSE {cast}({sql} AS {b.duck}) END"
        if b.of and b.of[0].name == "json" and b.name == "array":
            # A null in the document stays JSON's null, which a cast would turn into SQL's.
            whole = f"CASE WHEN json_type({sql}) = 'ARRAY' THEN json_extract({sql}, '$[*]')"
            return f"{whole} ELSE {cast}({sql} AS {b.duck}) END"
        return f"{cast}({sql} AS {b.duck})"
    if b.name == "time":
        return _time_of(f"CAST({sql} AS TIME)", a.numbers[0], b)
    if b.name == "timestamp":
        moment = sql if a.name == "timestamp" else f"CAST({sql} AS TIMESTAMP)"
        return _rounded(moment, a, b)
    if b.name == "boolean":
        return f"({sql} <> 0)"
    if a.name in ("real", "double") and b.name == "decimal":
        # By way of the shortest text: 1.005 is a little less than that in binary.
        return f"{cast}(CAST({sql} AS VARCHAR) AS {b.duck})"
    if a.name == "double" and b.name == "real":
        return f"local_to_real({sql})"
    if a.name in ("real", "double") and b.is_integer:
        return f"{cast}(local_round({sql}) AS {b.duck})"
    if a.name == "boolean" and b.name == "decimal":
        return f"CAST(CAST({sql} AS INTEGER) AS {b.duck})"
    if a.duck == b.duck:
        return sql
    return f"{cast}({sql} AS {b.duck})"


def _row_of_json(sql: str, b: Type, *, safe: bool) -> str:
    """A row of an array's elements, or of an object's members; a member may be missing."""

    def packed(places: Iterable[str]) -> str:
        parts = (
            f"{quote(name)} := "
            + convert(f"json_extract({sql}, {quote_text(place)})", JSON, kind, safe=safe)
            for name, kind, place in zip(b.struct_names, b.of, places, strict=True)
        )
        return f"struct_pack({', '.join(parts)})"

    by_place = packed(f"$[{i}]" for i in range(len(b.of)))
    by_name = packed(f'$."{name}"' for name in b.struct_names)
    fail = "NULL" if safe else (
        f"local_fail('INVALID_CAST_ARGUMENT', 'Cannot cast to {b.name}', CAST({sql} AS VARCHAR))"
    )  # fmt: skip
    return (
        f"CASE json_type({sql}) WHEN 'ARRAY' THEN {by_place} WHEN 'OBJECT' THEN {by_name} "
        f"WHEN 'NULL' THEN NULL ELSE CASE WHEN ({sql}) IS NULL THEN NULL ELSE {fail} END END"
    )


def _by_way_of_varchar(sql: str, a: Type, b: Type, *, safe: bool) -> str:
    """To or from char(n), which is kept without the blanks at its end."""
    if a.name == b.name == "char":
        return sql if a.numbers <= b.numbers else f"rtrim(substr({sql}, 1, {b.numbers[0]}), ' ')"
    if a.name == "char":
        return convert(f"rpad({sql}, {a.numbers[0]}, ' ')", VARCHAR, b, safe=safe)
    return f"rtrim(substr({convert(sql, a, VARCHAR, safe=safe)}, 1, {b.numbers[0]}), ' ')"


def _rounded(moment: str, a: Type, b: Type) -> str:
    if a.name == "date" or (a.numbers and a.numbers[0] <= b.numbers[0]) or b.numbers[0] >= 6:
        return moment
    return f"local_round_micros({moment}, {10 ** (6 - b.numbers[0])})"


def _from_timestamptz(sql: str, a: Type, b: Type, *, safe: bool) -> str:
    if b.name == "timestamptz":
        if a.numbers[0] <= b.numbers[0]:
            return sql
        return f"struct_pack(i := {_rounded(f'({sql}).i', a, b)}, z := ({sql}).z)"
    local = f"local_wall({sql})"
    if b.name in ("date", "timestamp", "time"):
        return _from_wall(local, a, b)
    if b.name in _TEXT:
        return f"({timestamp_text(local, a)} || ' ' || ({sql}).z)"
    raise AssertionError(b)


def _from_wall(wall: str, a: Type, b: Type) -> str:
    if b.name == "time":
        return _time_of(f"CAST({wall} AS TIME)", a.numbers[0], b)
    return f"CAST({wall} AS DATE)" if b.name == "date" else _rounded(wall, a, b)


def _time_of(sql: str, digits: int, b: Type) -> str:
    """A time of day with no more digits than ``b`` has; a last second may round to midnight."""
    if digits <= b.numbers[0] or b.numbers[0] >= 6:
        return sql
    return f"CAST(local_round_micros({on_first_day(sql)}, {10 ** (6 - b.numbers[0])}) AS TIME)"


def on_first_day(sql: str) -> str:
    """A time of day as a timestamp, for what DuckDB does only with those."""
    return f"(DATE '1970-01-01' + {sql})"


def wall_of(value: Value) -> str:
    """What the clock shows at a time with zone."""
    return value.wall if value.wall is not None else f"local_wall({value.sql})"


def shown_at(utc: str, name: str) -> str | None:
    """What a clock in a zone shows at an instant, if the zone is a literal."""
    if name == "'UTC'":
        return utc
    if re.fullmatch(r"'[A-Za-z][\w/+-]*'", name):
        return f"timezone({name}, timezone('UTC', {utc}))"
    return f"local_wall_of({utc}, {name})" if re.fullmatch(r"'[+-][\d:]+'", name) else None


def _to_timestamptz(sql: str, a: Type, b: Type, *, safe: bool) -> str:
    if a.name in _TEXT:
        return f"local_text_to_timestamptz({sql}, {'true' if safe else 'false'})"
    return f"local_at_utc(CAST({sql} AS TIMESTAMP))"


def _convert_nested(sql: str, a: Type, b: Type, *, safe: bool) -> str:
    if a.duck == b.duck and not _needs_walk(a, b):
        return sql
    if a.name == "array":
        inner = convert("x_", a.of[0], b.of[0], safe=safe)
        return f"list_transform({sql}, lambda x_: {inner})"
    if a.name == "row":
        parts = ", ".join(
            f"{quote(new)} := " + convert(f"struct_extract({sql}, '{old}')", x, y, safe=safe)
            for old, new, x, y in zip(a.struct_names, b.struct_names, a.of, b.of, strict=True)
        )
        return f"CASE WHEN ({sql}) IS NULL THEN NULL ELSE struct_pack({parts}) END"
    keys = convert("x_", a.of[0], b.of[0], safe=safe)
    values = convert("x_", a.of[1], b.of[1], safe=safe)
    return (
        f"CASE WHEN ({sql}) IS NULL THEN NULL ELSE "
        f"map(list_transform(map_keys({sql}), lambda x_: {keys}), "
        f"list_transform(map_values({sql}), lambda x_: {values})) END"
    )


def _needs_walk(a: Type, b: Type) -> bool:
    if a.of:
        return any(_needs_walk(x, y) for x, y in zip(a.of, b.of, strict=True))
    return a.name != b.name or (a.name == "timestamp" and a.numbers > b.numbers)


def _from_text(sql: str, b: Type, *, safe: bool) -> str:
    if b.name in _TEXT:
        return f"substr({sql}, 1, {b.numbers[0]})" if b.numbers else sql
    if b.name == "json":
        return f"to_json({sql})"
    if b.name == "varbinary":
        return f"encode({sql})"
    if b.is_integer:
        checked = f"local_check({sql}, '[+-]?[0-9]+', '{b}', {str(safe).lower()})"
    elif b.name == "decimal":
        checked = (
            f"local_check(trim({sql}), '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?', "
            f"'{b}', {str(safe).lower()})"
        )
    elif b.name in ("double", "real"):
        checked = (
            f"local_check(trim({sql}), "
            "'[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?|[+-]?Infinity|NaN', "
            f"'{b}', {str(safe).lower()})"
        )
    elif b.name == "boolean":
        checked = f"local_check(lower({sql}), 't|true|1|f|false|0', '{b}', {str(safe).lower()})"
    elif b.name == "date":
        checked = (
            f"local_check(trim({sql}), '[+-]?[0-9]+-[0-9]{{1,2}}-[0-9]{{1,2}}', "
            f"'{b}', {str(safe).lower()})"
        )
    elif b.name == "timestamp":
        checked = (
            f"local_check(trim({sql}), '[+-]?[0-9]+-[0-9]{{1,2}}-[0-9]{{1,2}}"
            "( [0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]+)?)?)?', "
            f"'timestamp', {str(safe).lower()})"
        )
        moment = f"{'TRY_CAST' if safe else 'CAST'}({checked} AS TIMESTAMP)"
        return _rounded(moment, Type("timestamp", (9,)), b)
    elif b.name == "time":
        checked = (
            f"local_check(trim({sql}), '[0-9]{{1,2}}:[0-9]{{1,2}}(:[0-9]{{1,2}}([.][0-9]+)?)?', "
            f"'{b}', {str(safe).lower()})"
        )
        padded = f"({checked} || CASE WHEN {sql} LIKE '%:%:%' THEN '' ELSE ':00' END)"
        return _time_of(f"{'TRY_CAST' if safe else 'CAST'}({padded} AS TIME)", 9, b)
    else:
        checked = sql
    return f"{'TRY_CAST' if safe else 'CAST'}({checked} AS {b.duck})"


def _to_text(sql: str, a: Type, *, safe: bool = False) -> str:
    if a.name in _TEXT:
        return sql
    if a.name == "timestamp":
        return timestamp_text(sql, a)
    if a.name == "time":
        return f"substr({timestamp_text(on_first_day(sql), a)}, 12)"
    if a.name in ("double", "real"):
        if a != DOUBLE:
            return f"py_real_text(CAST({sql} AS FLOAT))"
        return f"local_double_text(CAST({sql} AS DOUBLE))"
    if a.name == "json":
        return f"local_json_scalar({sql}, {str(safe).lower()})"
    if a.name == "interval_day_to_second":
        return f"local_interval_text({sql})"
    return f"CAST({sql} AS VARCHAR)"


def timestamp_text(sql: str, a: Type) -> str:
    """A timestamp as text, with all its digits."""
    digits = a.numbers[0]
    if digits == 0:
        return f"strftime({sql}, '%Y-%m-%d %H:%M:%S')"
    if digits >= 6:
        return f"strftime({sql}, '%Y-%m-%d %H:%M:%S.%f')"
    return f"left(strftime({sql}, '%Y-%m-%d %H:%M:%S.%f'), -{6 - digits})"


def _has_nameless(kind: Type) -> bool:
    return None in kind.fields or any(_has_nameless(inner) for inner in kind.of)


def _has_decimal(kind: Type) -> bool:
    return any(inner.name == "decimal" or _has_decimal(inner) for inner in kind.of)


def _json_text(sql: str, a: Type) -> str:
    """JSON of rows without names, whose keys are all empty: DuckDB would invent names."""
    if a.name == "row":
        parts = " || ',' || ".join(
            f"{quote_text(json.dumps(name or '') + ':')} || coalesce("
            + _json_text(f"struct_extract({sql}, {quote_text(key)})", inner)
            + ", 'null')"
            for name, key, inner in zip(a.fields, a.struct_names, a.of, strict=True)
        )
        return f"CASE WHEN ({sql}) IS NULL THEN NULL ELSE '{{' || {parts} || '}}' END"
    if a.name == "array":
        items = f"list_transform({sql}, lambda j_: coalesce({_json_text('j_', a.of[0])}, 'null'))"
        return f"('[' || array_to_string({items}, ',') || ']')"
    if a.name == "map" and _has_decimal(a):
        refuse(f"CAST of {a} to JSON is not supported here")
    return f"CAST({convert(sql, a, JSON, safe=False)} AS VARCHAR)"


def _has_row(kind: Type) -> bool:
    return kind.name == "row" or any(_has_row(inner) for inner in kind.of)


def _has_map(kind: Type) -> bool:
    return kind.name == "map" or any(_has_map(inner) for inner in kind.of)


def _json_ready(sql: str, a: Type) -> str:
    """What ``to_json`` should see, so that times are written as Trino does."""
    if a.name in ("timestamp",):
        return timestamp_text(sql, a)
    if a.name == "date":
        return f"CAST({sql} AS VARCHAR)"
    return sql


def unscaled(value: Value) -> str:
    """A decimal's digits as HUGEINT."""
    kind = as_decimal(value.type)
    precision, scale = kind.numbers
    sql = f"CAST({value.sql} AS {kind.duck})"
    if scale == 0:
        return f"CAST({sql} AS HUGEINT)"
    if precision <= 18:
        return f"CAST({sql} * CAST({10**scale} AS DECIMAL({scale + 1},0)) AS HUGEINT)"
    return f"CAST(replace(CAST({sql} AS VARCHAR), '.', '') AS HUGEINT)"
