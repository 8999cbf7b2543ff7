"""Functions of dates and times: units, formats, zones."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from local_aws.engine import tree
from local_aws.engine.arithmetic import zone
from local_aws.engine.casts import coerce, on_first_day, shown_at, wall_of
from local_aws.engine.compiler import Compiler
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.scope import Scope, Value
from local_aws.engine.types import (
    BIGINT,
    DATE,
    Type,
    array,
    common,
    quote_text,
)

_DATE_UNITS = ("day", "week", "month", "quarter", "year")
_UNITS = ("millisecond", "second", "minute", "hour", *_DATE_UNITS)
_TIMES = ("date", "timestamp", "timestamptz")


def args_of(c: Compiler, node: tree.Call, scope: Scope, low: int, high: int = 0) -> list[Value]:
    """The compiled arguments, if they are as many as there may be."""
    if not low <= len(node.args) <= max(low, high):
        mismatch(f"Unexpected number of arguments for function {node.name}", node.at)
    return [c.expr(a, scope) for a in node.args]


def _unit(value: Value, node: tree.Call, *, of_date: bool) -> str:
    if not isinstance(value.literal, str):
        refuse(f"{node.name} needs its unit as a literal here", node.at)
    unit = value.literal.lower()
    if unit not in (_DATE_UNITS if of_date else _UNITS):
        what = "DATE" if of_date else "Timestamp"
        raise QueryError(
            "INVALID_FUNCTION_ARGUMENT", f"'{unit}' is not a valid {what} field", node.at
        )
    return unit


def check_moment(value: Value, node: tree.Call) -> None:
    """Fail unless it is a date or a timestamp."""
    if value.type.name not in _TIMES:
        mismatch(f"Unexpected parameters ({value.type}) for function {node.name}", node.at)


def _of_day(value: Value, unit: Value, node: tree.Call) -> Value:
    """A time of day as a timestamp; units longer than an hour are refused."""
    if _unit(unit, node, of_date=False) not in ("millisecond", "second", "minute", "hour"):
        raise QueryError(
            "INVALID_FUNCTION_ARGUMENT", f"'{unit.literal}' is not a valid TIME field", node.at
        )
    return Value(on_first_day(value.sql), Type("timestamp", value.type.numbers))


def _date_trunc(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    unit_value, value = args_of(c, node, scope, 2)
    if value.type.name == "time":
        unit, moment = unit_value.literal, _of_day(value, unit_value, node)
        return Value(f"CAST(date_trunc('{unit}', {moment.sql}) AS TIME)", value.type)
    check_moment(value, node)
    unit = _unit(unit_value, node, of_date=value.type == DATE)
    if value.type == DATE:
        return Value(f"CAST(date_trunc('{unit}', {value.sql}) AS DATE)", DATE)
    if value.type.name == "timestamp":
        return Value(f"date_trunc('{unit}', {value.sql})", value.type)
    wall = f"date_trunc('{unit}', {wall_of(value)})"
    return Value(f"local_with_zone({wall}, ({value.sql}).z)", value.type)


def _date_add(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    unit_value, amount, value = args_of(c, node, scope, 3)
    time = value.type if value.type.name == "time" else None
    if time is not None:
        value = _of_day(value, unit_value, node)
    check_moment(value, node)
    unit = _unit(unit_value, node, of_date=value.type == DATE)
    if not amount.type.is_integer:
        mismatch(
            f"Unexpected parameters ({unit_value.type}, {amount.type}, {value.type}) for function "
            "date_add. Expected: date_add(varchar(x), bigint, date), "
            "date_add(varchar(x), bigint, timestamp(p)), ...", node.at,
        )  # fmt: skip
    n = f"CAST({amount.sql} AS INTEGER)"
    step = {
        "millisecond": f"to_microseconds(CAST({amount.sql} AS BIGINT) * 1000)",
        "second": f"to_microseconds(CAST({amount.sql} AS BIGINT) * 1000000)",
        "minute": f"to_minutes(CAST({amount.sql} AS BIGINT))",
        "hour": f"to_hours(CAST({amount.sql} AS BIGINT))",
        "day": f"to_days({n})",
        "week": f"to_days({n} * 7)",
        "month": f"to_months({n})",
        "quarter": f"to_months({n} * 3)",
        "year": f"to_months({n} * 12)",
    }[unit]
    if value.type == DATE:
        return Value(f"CAST({value.sql} + {step} AS DATE)", DATE)
    if time is not None:
        return Value(f"CAST({value.sql} + {step} AS TIME)", time)
    if value.type.name == "timestamp":
        return Value(f"({value.sql} + {step})", value.type)
    if unit in _DATE_UNITS:
        wall = f"({wall_of(value)} + {step})"
        return Value(f"local_with_zone({wall}, ({value.sql}).z)", value.type)
    return Value(f"local_pack(({value.sql}).i + {step}, ({value.sql}).z)", value.type)


def _date_diff(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    unit_value, a, b = args_of(c, node, scope, 3)
    if a.type.name == b.type.name == "time":
        a, b = (_of_day(v, unit_value, node) for v in (a, b))
    for value in (a, b):
        check_moment(value, node)
    kind = common(a.type, b.type)
    assert kind is not None
    unit = _unit(unit_value, node, of_date=kind == DATE)
    a, b = coerce(a, kind), coerce(b, kind)
    if kind.name == "timestamptz":
        if unit in _DATE_UNITS:
            x = wall_of(a)
            y = f"local_wall_of(({b.sql}).i, ({a.sql}).z)"
        else:
            x, y = f"({a.sql}).i", f"({b.sql}).i"
    else:
        x, y = a.sql, b.sql
    return Value(f"CAST(date_sub('{unit}', {x}, {y}) AS BIGINT)", BIGINT)


# ------------------------------------------------------------------------- fields

_FIELDS = {
    "year": "year", "quarter": "quarter", "month": "month", "week": "week", "day": "day",
    "day_of_month": "day", "day_of_week": "isodow", "dow": "isodow", "day_of_year": "dayofyear",
    "doy": "dayofyear", "year_of_week": "isoyear", "yow": "isoyear", "week_of_year": "week",
    "hour": "hour", "minute": "minute", "second": "second", "millisecond": "millisecond",
}  # fmt: skip


def _field(c: Compiler, name: str, value: Value, node: tree.Call) -> Value:
    duck = _FIELDS[name]
    if value.type.name == "interval_day_to_second" and name in ("day", "hour", "minute", "second"):
        size = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1000}[name]
        span = {"day": 0, "hour": 24, "minute": 60, "second": 60}[name]
        whole = f"({value.sql} // {size})"
        return Value(f"({whole} % {span})" if span else whole, BIGINT)
    if value.type.name == "interval_year_to_month" and name in ("year", "month"):
        part = f"({value.sql} // 12)" if name == "year" else f"({value.sql} % 12)"
        return Value(part, BIGINT)
    of_day = ("hour", "minute", "second", "millisecond")
    if value.type.name == "time" and name in of_day:
        value = Value(on_first_day(value.sql), Type("timestamp", value.type.numbers))
    if value.type.name not in _TIMES:
        mismatch(f"Unexpected parameters ({value.type}) for function {name}", node.at)
    if value.type == DATE and name in of_day:
        value = coerce(value, Type("timestamp", (0,)))
    wall = wall_of(value) if value.type.name == "timestamptz" else value.sql
    if name == "millisecond":
        millis = f"local_floor_div(epoch_us({wall}), 1000)"
        return Value(f"CAST({millis} - 1000 * local_floor_div({millis}, 1000) AS BIGINT)", BIGINT)
    return Value(f"CAST({duck}({wall}) AS BIGINT)", BIGINT)


def _field_call(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    (value,) = args_of(c, node, scope, 1)
    return _field(c, node.name, value, node)


def _extract(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    unit, operand = node.args
    assert isinstance(unit, tree.Literal)
    name = unit.value.lower()
    if name in ("timezone_hour", "timezone_minute"):
        return _zone_field(name, c.expr(operand, scope), node)
    if name not in _FIELDS or name in ("week_of_year", "millisecond"):
        raise QueryError("SYNTAX_ERROR", f"Invalid EXTRACT field: {name.upper()}", node.at)
    return _field(c, name, c.expr(operand, scope), node)


def offset_minutes(value: Value) -> str:
    """How far the zone is from UTC at that instant."""
    return f"local_floor_div(epoch_us({wall_of(value)}) - epoch_us(({value.sql}).i), 60000000)"


def _zone_field(name: str, value: Value, node: tree.Call) -> Value:
    if value.type.name != "timestamptz":
        mismatch(f"Unexpected parameters ({value.type}) for function {name}", node.at)
    part = "// 60" if name == "timezone_hour" else "% 60"
    return Value(f"CAST({offset_minutes(value)} {part} AS BIGINT)", BIGINT)


def _zone_field_call(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    (value,) = args_of(c, node, scope, 1)
    return _zone_field(node.name, value, node)


# ------------------------------------------------------------------------- zones, now


def _zoned(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    value, where = args_of(c, node, scope, 2)
    if where.type.name != "varchar":
        mismatch(f"Unexpected parameters ({value.type}, {where.type}) for {node.name}", node.at)
    name = where.sql
    if isinstance(where.literal, str):
        name = quote_text(zone(_known_zone(where.literal, node)))
    if node.name == "with_timezone":
        if value.type.name not in ("timestamp", "date"):
            mismatch(
                f"Unexpected parameters ({value.type}, {where.type}) for function with_timezone. "
                "Expected: with_timezone(timestamp(p), varchar(x))", node.at,
            )  # fmt: skip
        digits = value.type.numbers or (0,)
        wall = coerce(value, Type("timestamp", digits)).sql
        made = Value(f"local_with_zone({wall}, {name})", Type("timestamptz", digits))
        if name == "'UTC'":
            made.wall = made.utc = wall
        return made
    check_moment(value, node)
    digits = value.type.numbers or (3,)
    moment = coerce(value, Type("timestamptz", digits))
    utc = moment.utc or f"({moment.sql}).i"
    return Value(f"local_pack({utc}, {name})", moment.type, wall=shown_at(utc, name), utc=utc)


def _known_zone(name: str, node: tree.Call) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if re.fullmatch(r"[+-]\d{1,2}:\d{2}", name) or name.upper() in ("UTC", "Z", "GMT"):
        return name
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise QueryError(
            "INVALID_FUNCTION_ARGUMENT", f"'{name}' is not a valid time zone", node.at
        ) from None
    return name


def _now(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if node.args and node.name == "now":
        mismatch("Unexpected parameters for function now", node.at)
    digits = 3
    if node.args:
        literal = node.args[0]
        assert isinstance(literal, tree.Literal)
        digits = int(literal.value)
        if digits > 6:
            refuse("Times finer than microseconds are not supported here", node.at)
    moment = c.now.replace(tzinfo=None)
    moment -= timedelta(microseconds=moment.microsecond % 10 ** (6 - digits))
    wall = f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f}'"
    if node.name == "current_date":
        return Value(f"DATE '{moment:%Y-%m-%d}'", DATE)
    if node.name == "localtime":
        return Value(f"CAST({wall} AS TIME)", Type("time", (digits,)))
    if node.name == "localtimestamp":
        return Value(wall, Type("timestamp", (digits,)))
    return Value(f"struct_pack(i := {wall}, z := 'UTC')", Type("timestamptz", (digits,)))


# ------------------------------------------------------------------------- sequence

_DAY = 86_400_000


def _sequence(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    values = args_of(c, node, scope, 2, 3)
    kind = common(values[0].type, values[1].type)
    if kind is None:
        mismatch(f"Unexpected parameters for function {node.name}", node.at)
    a, b = (coerce(v, kind) for v in values[:2])
    step = values[2] if len(values) > 2 else None
    if kind.is_integer:
        a, b = coerce(a, BIGINT), coerce(b, BIGINT)
        size = (
            coerce(step, BIGINT).sql
            if step is not None
            else f"CASE WHEN {a.sql} <= {b.sql} THEN 1 ELSE -1 END"
        )
        return Value(f"local_sequence({a.sql}, {b.sql}, {size})", array(BIGINT))
    if kind.name not in ("date", "timestamp"):
        mismatch(f"Unexpected parameters ({kind}) for function sequence", node.at)
    if step is None:
        if kind != DATE:
            mismatch("sequence of timestamps needs a step", node.at)
        size = f"CASE WHEN {a.sql} <= {b.sql} THEN 1 ELSE -1 END"
        return Value(f"local_sequence_days({a.sql}, {b.sql}, {size})", array(DATE))
    if step.type.name == "interval_year_to_month":
        items = f"local_sequence_months({a.sql}, {b.sql}, {step.sql})"
        if kind == DATE:
            items = f"list_transform({items}, lambda y_: CAST(y_ AS DATE))"
        return Value(items, array(kind))
    if step.type.name != "interval_day_to_second":
        mismatch(f"Unexpected parameters ({kind}, {kind}, {step.type}) for sequence", node.at)
    if kind == DATE:
        if not isinstance(step.literal, int) or step.literal % _DAY or not step.literal:
            raise QueryError(
                "INVALID_FUNCTION_ARGUMENT",
                "sequence step must be a day interval if start and end values are dates", node.at,
            )  # fmt: skip
        size = f"CAST({step.literal // _DAY} AS BIGINT)"
        return Value(f"local_sequence_days({a.sql}, {b.sql}, {size})", array(DATE))
    return Value(f"local_sequence_micros({a.sql}, {b.sql}, {step.sql} * 1000)", array(kind))


TIME: dict[str, Callable[[Compiler, tree.Call, Scope], Value]] = {
    "date_trunc": _date_trunc, "date_add": _date_add, "date_diff": _date_diff,
    "timezone_hour": _zone_field_call, "timezone_minute": _zone_field_call,
    "$extract": _extract, "with_timezone": _zoned, "at_timezone": _zoned, "now": _now,
    "current_timestamp": _now, "localtimestamp": _now, "localtime": _now,
    "current_date": _now, "sequence": _sequence,
    **dict.fromkeys(
        ("year", "quarter", "month", "week", "day", "day_of_month", "day_of_week", "dow",
         "day_of_year", "doy", "year_of_week", "yow", "week_of_year", "hour", "minute", "second",
         "millisecond"),
        _field_call,
    ),
}  # fmt: skip
