"""Dates and times to text and back: MySQL's formats, Joda's, ISO 8601."""

from __future__ import annotations

import re
from collections.abc import Callable

from local_aws.engine import tree
from local_aws.engine.casts import coerce, timestamp_text, wall_of
from local_aws.engine.compiler import Compiler
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.scope import Scope, Value
from local_aws.engine.special_time import args_of, check_moment, offset_minutes
from local_aws.engine.types import DATE, TIMESTAMP3, TIMESTAMPTZ3, VARCHAR, Type, quote_text

_MYSQL = {
    "a": "%a", "b": "%b", "c": "%-m", "d": "%d", "e": "%-d", "f": "%f", "H": "%H", "h": "%I",
    "I": "%I", "i": "%M", "j": "%j", "k": "%-H", "l": "%-I", "M": "%B", "m": "%m", "p": "%p",
    "r": "%I:%M:%S %p", "S": "%S", "s": "%S", "T": "%H:%M:%S", "W": "%A", "Y": "%Y", "y": "%y",
    "%": "%%", "v": "%V", "x": "%G",
}  # fmt: skip


def _mysql(text: str, node: tree.Call, *, parse: bool) -> str:
    out, i = [], 0
    while i < len(text):
        if text[i] != "%":
            out.append("%%" if text[i] == "%" else text[i])
            i += 1
            continue
        letter = text[i + 1 : i + 2]
        known = _MYSQL.get(letter)
        if known is None or (parse and letter in ("v", "x", "W", "a")):
            raise QueryError(
                "INVALID_FUNCTION_ARGUMENT",
                f"%{letter} not supported in date format string",
                node.at,
            )
        if parse:
            known = known.replace("-", "")
        out.append(known)
        i += 2
    return "".join(out)


_JODA = {
    "yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%-m", "dd": "%d",
    "d": "%-d", "EEEE": "%A", "EEE": "%a", "HH": "%H", "H": "%-H", "hh": "%I", "h": "%-I",
    "mm": "%M", "m": "%-M", "ss": "%S", "s": "%-S", "SSS": "%g", "a": "%p", "y": "%Y", "Y": "%Y",
    "YYYY": "%Y", "DDD": "%j", "D": "%-j", "ww": "%V", "xxxx": "%G", "e": "%u",
}  # fmt: skip


_OFFSETS = {"Z": "\x01", "ZZ": "\x02"}
"""Characters that stand for the zone's offset until it is put in."""


def _joda(text: str, node: tree.Call, *, parse: bool) -> str:
    out = []
    for quoted, run, other in re.findall(
        r"'((?:[^']|'')*)'|(([A-Za-z])\3*)|([^A-Za-z'])", text
    ) and [
        (m.group(1), m.group(2), m.group(4))
        for m in re.finditer(r"'((?:[^']|'')*)'|(([A-Za-z])\3*)|([^A-Za-z'])", text)
    ]:
        if run:
            known = _JODA.get(run)
            if run in _OFFSETS and not parse:
                out.append(_OFFSETS[run])
                continue
            if known is None or (parse and run in ("EEEE", "EEE", "DDD", "D", "ww", "xxxx", "e")):
                refuse(f"Format letters '{run}' are not supported here", node.at)
            out.append(known.replace("-", "") if parse else known)
        else:
            out.append((quoted if quoted is not None else other).replace("%", "%%") or "'")
    return "".join(out)


def _format_literal(value: Value, node: tree.Call) -> str:
    if not isinstance(value.literal, str):
        refuse(f"{node.name} needs its format as a literal here", node.at)
    return value.literal


def _date_parse(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    text, pattern = args_of(c, node, scope, 2)
    if text.type.name not in ("varchar", "unknown"):
        mismatch(f"Unexpected parameters ({text.type}, {pattern.type}) for date_parse", node.at)
    shown = _format_literal(pattern, node)
    if node.name == "parse_datetime":
        duck = _joda(shown, node, parse=True)
        if "%Y" not in duck:
            refuse("parse_datetime without a year (yyyy) is not supported here", node.at)
        wall = f"strptime({coerce(text, VARCHAR).sql}, {quote_text(duck)})"
        return Value(f"local_at_utc({wall})", TIMESTAMPTZ3)
    duck = _mysql(shown, node, parse=True)
    source = coerce(text, VARCHAR).sql
    if "%Y" not in duck and "%y" not in duck:  # Trino begins in 1970, DuckDB in 1900
        source, duck = f"('1970 ' || {source})", "%Y " + duck
    wall = f"strptime({source}, {quote_text(duck)})"
    if "%y" in duck:  # Trino's century begins in 1970, DuckDB's in 1969
        wall = f"CASE WHEN year({wall}) = 1969 THEN {wall} + to_years(100) ELSE {wall} END"
    if "%f" in duck:
        wall = f"make_timestamp(local_floor_div(epoch_us({wall}), 1000) * 1000)"
    return Value(wall, TIMESTAMP3)


def _date_format(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    value, pattern = args_of(c, node, scope, 2)
    check_moment(value, node)
    shown = _format_literal(pattern, node)
    reader = _mysql if node.name == "date_format" else _joda
    duck = reader(shown, node, parse=False)
    wall = wall_of(value) if value.type.name == "timestamptz" else value.sql
    shown = f"strftime(CAST({wall} AS TIMESTAMP), {quote_text(duck)})"
    zoned = coerce(value, Type("timestamptz", value.type.numbers or (3,)))
    for mark, colon, zero in (("\x01", "", "+0000"), ("\x02", ":", "+00:00")):
        if mark in duck:
            shown = f"replace({shown}, {quote_text(mark)}, {_offset_text(zoned, colon, zero)})"
    return Value(shown, VARCHAR)


def _to_iso8601(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    (value,) = args_of(c, node, scope, 1)
    check_moment(value, node)
    if value.type == DATE:
        return Value(f"CAST({value.sql} AS VARCHAR)", Type("varchar", (16,)))
    wall = wall_of(value) if value.type.name == "timestamptz" else value.sql
    text = f"replace({timestamp_text(wall, value.type)}, ' ', 'T')"
    if value.type.name == "timestamptz":
        text = f"({text} || {_offset_text(value, ':', 'Z')})"
    # Room for a year of six digits, the digits of the second, and an offset.
    digits = value.type.numbers[0]
    size = 22 + (digits + 1 if digits else 0) + (6 if value.type.name == "timestamptz" else 0)
    return Value(text, Type("varchar", (size,)))


def _offset_text(value: Value, colon: str, zero: str) -> str:
    minutes = offset_minutes(value)
    shown = (
        f"CASE WHEN {minutes} < 0 THEN '-' ELSE '+' END || "
        f"printf('%02d{colon}%02d', abs({minutes}) // 60, abs({minutes}) % 60)"
    )
    return f"CASE WHEN ({value.sql}).z = 'UTC' THEN '{zero}' ELSE {shown} END"


FORMATS: dict[str, Callable[[Compiler, tree.Call, Scope], Value]] = {
    "date_parse": _date_parse,
    "parse_datetime": _date_parse,
    "date_format": _date_format,
    "format_datetime": _date_format,
    "to_iso8601": _to_iso8601,
}
