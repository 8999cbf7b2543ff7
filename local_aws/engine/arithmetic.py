"""``+ - * / %`` on numbers, dates and intervals, with Trino's result types."""

from __future__ import annotations

import re

from local_aws.engine.casts import coerce, on_first_day, unscaled
from local_aws.engine.errors import mismatch, refuse
from local_aws.engine.scope import Value
from local_aws.engine.types import (
    BIGINT,
    DATE,
    DAY_TO_SECOND,
    DOUBLE,
    Type,
    as_decimal,
    common,
    decimal,
)


def zone(name: str) -> str:
    """A zone's name in one spelling: offsets as ``+09:00``, no offset as ``UTC``."""
    if re.fullmatch(r"[+-]\d{1,2}:\d{2}", name):
        hours, minutes = name[1:].split(":")
        offset = f"{name[0]}{int(hours):02d}:{minutes}"
        return "UTC" if offset[1:] == "00:00" else offset
    return "UTC" if name.upper() in ("UTC", "Z", "GMT") else name


def combine(op: str, left: Value, right: Value, at: int) -> Value:
    """One arithmetic operation."""
    a, b = left.type, right.type
    if a.name == "unknown" and b.is_number:
        left = coerce(left, b)
        a = b
    if b.name == "unknown" and a.is_number:
        right = coerce(right, a)
        b = a
    if a.is_number and b.is_number:
        kind = common(a, b)
        assert kind is not None
        if kind.name == "decimal":
            return _decimals(op, left, right)
        x, y = coerce(left, kind).sql, coerce(right, kind).sql
        symbol = "//" if op == "/" and kind.is_integer else op
        return Value(f"({x} {symbol} {y})", kind)
    found = _times(op, left, right, at)
    if found is None:
        mismatch(f"Cannot apply operator: {a} {op} {b}", at)
    return found


def _decimals(op: str, left: Value, right: Value) -> Value:
    (p, s), (q, t) = as_decimal(left.type).numbers, as_decimal(right.type).numbers
    if op == "/":
        scale = max(s, t)
        kind = decimal(min(38, p + t + max(0, t - s)), scale)
        shift = scale - s + t
        numerator = f"({unscaled(left)} * CAST('1{'0' * shift}' AS HUGEINT))"
        quotient = f"local_decimal_quotient({numerator}, {unscaled(right)})"
        if scale == 0:
            return Value(f"CAST({quotient} AS {kind.duck})", kind)
        unit = f"CAST('0.{'0' * (scale - 1)}1' AS DECIMAL({scale + 1},{scale}))"
        return Value(f"CAST(CAST({quotient} AS DECIMAL(38,0)) * {unit} AS {kind.duck})", kind)
    if op == "*":
        if s + t > 38:
            refuse("Decimal scale beyond 38")
        kind = decimal(min(38, p + q), s + t)
        x = f"CAST({left.sql} AS {as_decimal(left.type).duck})"
        y = f"CAST({right.sql} AS {as_decimal(right.type).duck})"
        return Value(f"CAST({x} * {y} AS {kind.duck})", kind)
    scale = max(s, t)
    if op == "%":
        kind = decimal(min(38, min(p - s, q - t) + scale), scale)
    else:
        kind = decimal(min(38, max(p - s, q - t) + 1 + scale), scale)
    wide = decimal(min(38, max(p - s, q - t) + 1 + scale), scale).duck
    return Value(
        f"CAST(CAST({left.sql} AS {wide}) {op} CAST({right.sql} AS {wide}) AS {kind.duck})", kind
    )


def _times(op: str, left: Value, right: Value, at: int) -> Value | None:
    a, b = left.type.name, right.type.name
    interval_a, interval_b = a.startswith("interval"), b.startswith("interval")
    if op in "+-" and interval_b and a in ("date", "timestamp", "timestamptz"):
        return _shift(left, right, "" if op == "+" else "-", at)
    if op == "+" and interval_a and b in ("date", "timestamp", "timestamptz"):
        return _shift(right, left, "", at)
    if b == "interval_day_to_second" and a == "time" and op in "+-":
        step = f"to_microseconds(({op}{right.sql}) * 1000)"
        kind = Type("time", (max(3, left.type.numbers[0]),))
        return Value(f"CAST({on_first_day(left.sql)} + {step} AS TIME)", kind)
    if op == "-" and a == b == "time":
        x, y = (f"epoch_us({on_first_day(v.sql)})" for v in (left, right))
        return Value(f"(({x} - {y}) // 1000)", DAY_TO_SECOND)
    if op in "+-" and interval_a and a == b:
        return Value(f"({left.sql} {op} {right.sql})", left.type)
    if op == "-" and a == b and a in ("date", "timestamp", "timestamptz"):
        if a == "date":
            days = f"CAST({left.sql} - {right.sql} AS BIGINT)"
            return Value(f"({days} * 86400000)", DAY_TO_SECOND)
        part = ").i" if a == "timestamptz" else ")"
        return Value(
            f"((epoch_us(({left.sql}{part}) - epoch_us(({right.sql}{part})) // 1000)",
            DAY_TO_SECOND,
        )
    if op in "*/" and interval_a and right.type.is_number:
        return _scaled(op, left, right)
    if op == "*" and interval_b and left.type.is_number:
        return _scaled(op, right, left)
    return None


def _scaled(op: str, interval: Value, number: Value) -> Value:
    if number.type.is_integer and op == "*":
        return Value(f"({interval.sql} * {coerce(number, BIGINT).sql})", interval.type)
    x = f"CAST({interval.sql} AS DOUBLE) {op} {coerce(number, DOUBLE).sql}"
    return Value(f"CAST(trunc({x}) AS BIGINT)", interval.type)


def _shift(moment: Value, interval: Value, sign: str, at: int) -> Value:
    amount = f"({sign}{interval.sql})"
    kind: Type = moment.type
    months = interval.type.name == "interval_year_to_month"
    if kind == DATE:
        if months:
            step = f"to_months(CAST({amount} AS INTEGER))"
            return Value(f"CAST({moment.sql} + {step} AS DATE)", DATE)
        if not isinstance(interval.literal, int) or interval.literal % 86_400_000:
            mismatch("Cannot add hour, minutes or seconds to a date", at)
        return Value(f"({moment.sql} + CAST({amount} // 86400000 AS INTEGER))", DATE)
    step = (
        f"to_months(CAST({amount} AS INTEGER))" if months else f"to_microseconds({amount} * 1000)"
    )
    # An interval literal has milliseconds, so the sum has at least three digits.
    digits = (kind.numbers[0],) if months else (max(3, kind.numbers[0]),)
    if kind.name == "timestamp":
        return Value(f"({moment.sql} + {step})", Type("timestamp", digits))
    if months:
        wall = f"(local_wall({moment.sql}) + {step})"
        return Value(f"local_with_zone({wall}, ({moment.sql}).z)", kind)
    return Value(
        f"local_pack(({moment.sql}).i + {step}, ({moment.sql}).z)", Type("timestamptz", digits)
    )
