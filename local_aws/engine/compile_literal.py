"""Literals: the type that Trino reads from how a value is written."""

from __future__ import annotations

import re
from datetime import date

from local_aws.engine import arithmetic, tree
from local_aws.engine.call import CallCompiler
from local_aws.engine.casts import explicit
from local_aws.engine.constants import constant_sql
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.native_json import canonical
from local_aws.engine.scope import Scope, Value
from local_aws.engine.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DAY_TO_SECOND,
    DOUBLE,
    INTEGER,
    UNKNOWN,
    VARBINARY,
    YEAR_TO_MONTH,
    Type,
    decimal,
    parse_type,
    quote_text,
)

_MILLISECONDS = {
    "second": 1000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
}


class LiteralCompiler(CallCompiler):
    """Compiles literals."""

    def folded(self, query: Value, before: int) -> str | None:
        """A scalar query over no table as its one value, as Trino's planner folds it: a condition
        on it may then say that a table need not be read. None if it is not plainly one.

        ``before`` is the last number given to a relation outside of the query.
        """
        is_plain = query.type.name in ("varchar", "bigint", "integer", "boolean")
        named = {int(n) for n in re.findall(r"\b[rvw](\d+)_?\b", query.sql)}
        if not is_plain or re.search("[\x00\x01]|random|uuid", query.sql):
            return None
        if any(number <= before for number in named):
            return None  # correlated
        try:
            rows = self.evaluate(query.sql)
        except QueryError:
            return None  # an error only if it comes to that
        return constant_sql(rows[0][0], query.type) if len(rows) == 1 else None

    def literal(self, node: tree.Literal, scope: Scope) -> Value:
        """A number, text, NULL, TRUE."""
        kind, shown = node.kind, node.value
        if kind == "null":
            return Value("NULL", UNKNOWN, is_null=True)
        if kind == "boolean":
            return Value(shown, BOOLEAN, shown == "true")
        if kind == "string":
            return Value(quote_text(shown), Type("varchar", (len(shown),)), shown)
        if kind == "binary":
            return Value(f"unhex('{shown}')", VARBINARY)
        if kind == "double":
            return Value(f"CAST('{shown}' AS DOUBLE)", DOUBLE, float(shown))
        if kind == "integer":
            number = int(shown)
            if number >= 2**63:
                raise QueryError("SYNTAX_ERROR", f"Invalid numeric literal: {shown}", node.at)
            found = INTEGER if number < 2**31 else BIGINT
            return Value(f"CAST({number} AS {found.duck})", found, number)
        return self._decimal(shown)

    def _decimal(self, shown: str) -> Value:
        whole, _, fraction = shown.lstrip("+-").partition(".")
        precision = max(1, len(whole.lstrip("0")) + len(fraction))
        if precision > 38:
            refuse(f"Invalid decimal literal: {shown}")
        kind = decimal(precision, len(fraction))
        return Value(f"CAST('{shown.rstrip('.')}' AS {kind.duck})", kind)

    def typed_literal(self, node: tree.TypedLiteral, scope: Scope) -> Value:
        """``DATE '2024-01-01'`` and its like."""
        name, shown = node.type_name, node.value
        if name == "date":
            self._check_date(shown, node.at, "date")
            return Value(f"DATE {quote_text(shown.strip())}", DATE, shown.strip())
        if name == "timestamp":
            return self._timestamp(shown.strip(), node.at)
        if name == "time":
            return self._time(shown.strip(), node.at)
        if name == "char":
            return Value(quote_text(shown.rstrip(" ")), Type("char", (max(1, len(shown)),)))
        if name == "decimal":
            if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", shown):
                raise QueryError("INVALID_LITERAL", f"'{shown}' is not a valid DECIMAL", node.at)
            return self._decimal(shown)
        if name == "json":
            try:
                return Value(f"CAST({quote_text(canonical(shown))} AS JSON)", Type("json"))
            except ValueError:
                text = f"Cannot convert value to JSON: '{shown}'"
                raise QueryError("INVALID_LITERAL", text, node.at) from None
        try:
            kind = parse_type(name)
        except ValueError:
            refuse(f"{name.upper()} literals are not supported here", node.at)
        return explicit(Value(quote_text(shown), Type("varchar")), kind, node.at, safe=False)

    def _check_date(self, shown: str, at: int, kind: str) -> None:
        try:
            if not re.fullmatch(r"\d+-\d{1,2}-\d{1,2}", shown.strip()):
                raise ValueError(shown)
            year, month, day = map(int, shown.strip().split("-"))
            date(min(year, 9999), month, day)
        except ValueError:
            raise QueryError(
                "INVALID_LITERAL", f"'{shown}' is not a valid {kind} literal", at
            ) from None

    def _timestamp(self, shown: str, at: int) -> Value:
        match = re.fullmatch(
            r"(\d+-\d{1,2}-\d{1,2})(?: (\d{1,2}:\d{1,2}(?::\d{1,2}(?:\.(\d+))?)?))?"
            r"(?: ?([+-]\d{1,2}:\d{2}|[A-Za-z][\w/+-]*))?",
            shown,
        )
        if match is None:
            raise QueryError("INVALID_LITERAL", f"'{shown}' is not a valid timestamp literal", at)
        day, clock, fraction, zone = match.groups()
        self._check_date(day, at, "timestamp")
        digits = len(fraction or "")
        if digits > 6:
            refuse("Timestamps finer than microseconds are not supported here", at)
        if clock and any(
            int(n) > top
            for n, top in zip(clock.split(".")[0].split(":"), (23, 59, 59), strict=False)
        ):
            raise QueryError("INVALID_LITERAL", f"'{shown}' is not a valid TIMESTAMP literal", at)
        wall = f"TIMESTAMP {quote_text(f'{day} {clock}' if clock else day)}"
        if zone is None:
            return Value(wall, Type("timestamp", (digits,)), shown)
        return Value(
            f"const_with_zone({wall}, {quote_text(arithmetic.zone(zone))})",
            Type("timestamptz", (digits,)),
        )

    def _time(self, shown: str, at: int) -> Value:
        match = re.fullmatch(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?", shown)
        if match is None and re.fullmatch(r"[\d:.]+ ?[+-]\d{1,2}:\d{2}", shown):
            refuse("TIME WITH TIME ZONE is not supported here", at)
        if match is None or int(match[1]) > 23 or int(match[2]) > 59 or int(match[3] or 0) > 59:
            raise QueryError("INVALID_LITERAL", f"'{shown}' is not a valid TIME literal", at)
        digits = len(match[4] or "")
        if digits > 6:
            refuse("Times finer than microseconds are not supported here", at)
        whole = shown if match[3] else shown + ":00"
        return Value(f"TIME {quote_text(whole)}", Type("time", (digits,)))

    def interval_literal(self, node: tree.IntervalLiteral, scope: Scope) -> Value:
        """``INTERVAL '1' DAY``, as milliseconds or months."""
        if node.unit == "week":
            raise QueryError("TYPE_NOT_FOUND", "Unknown resolvedType: interval", node.at)
        if node.to is not None:
            return _compound(node)
        if not re.fullmatch(r"[+-]?\d+(\.\d{1,3})?", node.value) or (
            "." in node.value and node.unit != "second"
        ):
            raise QueryError(
                "INVALID_LITERAL",
                f"Invalid INTERVAL {node.unit.upper()} value: {node.value}",
                node.at,
            )
        if node.unit in ("month", "year"):
            months = int(node.value) * (12 if node.unit == "year" else 1) * node.sign
            return Value(f"CAST({months} AS BIGINT)", YEAR_TO_MONTH, months)
        amount = round(float(node.value) * _MILLISECONDS[node.unit]) * node.sign
        return Value(f"CAST({amount} AS BIGINT)", DAY_TO_SECOND, amount)


_PARTS = ("day", "hour", "minute", "second")


def _compound(node: tree.IntervalLiteral) -> Value:
    """``INTERVAL '1 02:03:04' DAY TO SECOND`` and ``INTERVAL '2-3' YEAR TO MONTH``."""
    wrong = QueryError(
        "INVALID_LITERAL",
        f"Invalid INTERVAL {node.unit.upper()} TO {str(node.to).upper()} value: {node.value}",
        node.at,
    )
    if (node.unit, node.to) == ("year", "month"):
        found = re.fullmatch(r"(-?)(\d+)-(\d+)", node.value)
        if found is None:
            raise wrong
        months = (int(found[2]) * 12 + int(found[3])) * (-1 if found[1] else 1) * node.sign
        return Value(f"CAST({months} AS BIGINT)", YEAR_TO_MONTH, months)
    if node.unit not in _PARTS or node.to not in _PARTS[_PARTS.index(node.unit) + 1 :]:
        raise wrong
    units = _PARTS[_PARTS.index(node.unit) : _PARTS.index(node.to) + 1]
    signed = re.fullmatch(r"(-?)([\d :.]+)", node.value)
    numbers = re.split(r"[ :]", signed[2]) if signed else []
    if signed is None or len(numbers) != len(units):
        raise wrong
    try:
        total = sum(float(n) * _MILLISECONDS[u] for n, u in zip(numbers, units, strict=True))
    except ValueError:
        raise wrong from None
    amount = round(total) * (-1 if signed[1] else 1) * node.sign
    return Value(f"CAST({amount} AS BIGINT)", DAY_TO_SECOND, amount)
