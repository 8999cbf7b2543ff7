"""Filters as DuckDB parses them: what they are about, and whether a file can satisfy them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

Json = dict[str, Any]

_KNOWN = {"COLUMN_REF", "CONSTANT", "CAST", "COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN",
          "FUNCTION", "CASE", "TYPE"}  # fmt: skip
_VOLATILE = {"random", "setseed", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "nextval",
             "currval", "now", "current_date"}  # fmt: skip
_MIRRORED = {"COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
             "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
             "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
             "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO"}  # fmt: skip

_OPPOSITE = {"OPERATOR_IS_NULL": "OPERATOR_IS_NOT_NULL",
             "OPERATOR_IS_NOT_NULL": "OPERATOR_IS_NULL",
             "COMPARE_LESSTHAN": "COMPARE_GREATERTHANOREQUALTO",
             "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHAN",
             "COMPARE_GREATERTHAN": "COMPARE_LESSTHANOREQUALTO",
             "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHAN"}  # fmt: skip


def columns_of(node: Any) -> set[int] | None:
    """Numbers of the columns that an expression needs; None if that is not known."""
    found: set[int] = set()
    pending = [node]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            kind = item.get("class")
            if kind is not None and kind not in _KNOWN:
                return None
            if kind == "FUNCTION" and item.get("function_name") in _VOLATILE:
                return None
            if kind == "COLUMN_REF":
                number = _column(item["column_names"][0])
                if number is None:
                    return None
                found.add(number)
            pending += item.values()
    return found


def _column(name: str) -> int | None:
    return int(name[1:]) if re.fullmatch(r"c\d+", name) else None


def weakened(node: Json, allowed: frozenset[int]) -> Json | None:
    """What an expression implies for the allowed columns alone; None if that is nothing."""
    if node["class"] == "CONJUNCTION":
        parts = [weakened(child, allowed) for child in node["children"]]
        if node["type"] == "CONJUNCTION_OR":
            return None if None in parts else {**node, "children": parts}
        left = [part for part in parts if part is not None]
        if len(left) < 2:
            return left[0] if left else None
        return {**node, "children": left}
    columns = columns_of(node)
    return node if columns and columns <= allowed else None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is known of a column's values in a file; None where nothing is."""

    low: Any = None
    high: Any = None
    all_null: bool = False
    no_null: bool = False

    def can_hold(self, low: Any, high: Any) -> bool:
        """Whether a value from ``low`` to ``high`` (None: without end) may be there."""
        if self.all_null:
            return False
        if low is not None and self.high is not None and self.high < low:
            return False
        return not (high is not None and self.low is not None and self.low > high)


Find = Callable[[int, str], Bounds | None]
"""Bounds of a column, by its number and the name of a field in it."""


def may_hold(node: Json, find: Find) -> bool:
    """Whether a row may satisfy the filter, for all that the bounds say."""
    kind = node["type"]
    if kind == "CONJUNCTION_AND":
        return all(may_hold(child, find) for child in node["children"])
    if kind == "CONJUNCTION_OR":
        return any(may_hold(child, find) for child in node["children"])
    if kind == "OPERATOR_NOT":
        opposite = _negated(node["children"][0])
        return opposite is None or may_hold(opposite, find)
    if kind == "COMPARE_IN":
        return _in(node["children"], find)
    if kind in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"):
        bounds = _bounds(node["children"][0], find)
        if bounds is None:
            return True
        return not (bounds.no_null if kind == "OPERATOR_IS_NULL" else bounds.all_null)
    if kind == "COMPARE_BETWEEN":
        bounds = _bounds(node["input"], find)
        low, high = _constant(node["lower"]), _constant(node["upper"])
        return bounds is None or not alike(bounds, low, high) or bounds.can_hold(low, high)
    if kind in _MIRRORED or kind == "COMPARE_EQUAL":
        left, right = node["left"], node["right"]
        if _constant(left) is not None:
            left, right, kind = right, left, _MIRRORED.get(kind, kind)
        return _compared(kind, _bounds(left, find), _constant(right))
    return True


def _negated(node: Json) -> Json | None:
    """What is true exactly when the filter is false (not unknown); None if we cannot say it."""
    kind = node["type"]
    if kind in _OPPOSITE:
        return {**node, "type": _OPPOSITE[kind]}
    if kind in ("CONJUNCTION_AND", "CONJUNCTION_OR"):
        children = [{"class": "OPERATOR", "type": "OPERATOR_NOT", "children": [child]}
                    for child in node["children"]]  # fmt: skip
        other = "CONJUNCTION_OR" if kind == "CONJUNCTION_AND" else "CONJUNCTION_AND"
        return {**node, "type": other, "children": children}
    return node["children"][0] if kind == "OPERATOR_NOT" else None


def _compared(kind: str, bounds: Bounds | None, value: Any) -> bool:
    if bounds is None or value is None or not alike(bounds, value):
        return True
    if kind == "COMPARE_EQUAL":
        return bounds.can_hold(value, value)
    if kind.startswith("COMPARE_LESS"):
        return bounds.can_hold(None, value) and (
            kind != "COMPARE_LESSTHAN" or bounds.low is None or bounds.low < value
        )
    return bounds.can_hold(value, None) and (
        kind != "COMPARE_GREATERTHAN" or bounds.high is None or bounds.high > value
    )


def _in(children: list[Json], find: Find) -> bool:
    bounds = _bounds(children[0], find)
    if bounds is None:
        return True
    for child in children[1:]:
        if _is_null(child):
            continue
        value = _constant(child)
        if value is None or not alike(bounds, value) or bounds.can_hold(value, value):
            return True
    return False


def alike(bounds: Bounds, *values: Any) -> bool:
    """Whether all are there and of one type: a date is no timestamp, a number no text."""
    known = [v for v in (bounds.low, bounds.high) if v is not None]
    return None not in values and len({type(v) for v in (*known, *values)}) <= 1


# ---------------------------------------------------------------------- columns and constants

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


def _bounds(node: Json, find: Find) -> Bounds | None:
    """Of a column, a field of one, or a cast that keeps the order."""
    if node["class"] == "COLUMN_REF":
        name, *rest = node["column_names"]
        number = _column(name)
        if number is None or len(rest) > 1:
            return None
        return find(number, rest[0] if rest else "")
    if node["class"] != "CAST" or node["try_cast"]:
        return None
    bounds, wanted = _bounds(node["child"], find), node["type_expr"].get("type_name")
    if bounds is None:
        return None
    low, high = _cast(bounds.low, wanted), _cast(bounds.high, wanted)
    if (low is None) != (bounds.low is None) or (high is None) != (bounds.high is None):
        return None
    return Bounds(low, high, bounds.all_null, bounds.no_null)


def _cast(value: Any, wanted: str) -> Any:
    if type(value) is date and wanted == "TIMESTAMP":
        return datetime.combine(value, time())
    if type(value) is datetime and wanted == "DATE":
        return value.date()
    return value if type(value) is int and wanted in _INTEGERS else None


def _is_null(node: Json) -> bool:
    if node["class"] == "CAST":
        return _is_null(node["child"])
    return bool(node["class"] == "CONSTANT" and node["literal"]["kind"] == "NULL_LITERAL")


def _constant(node: Json) -> Any:
    """A literal integer, text, date or timestamp; else None."""
    if node["class"] == "CONSTANT":
        kind, text = node["literal"]["kind"], node["literal"]["text"]
        if kind == "INTEGER" and re.fullmatch(r"-?\d+", text):
            return int(text)
        return text if kind == "STRING" else None
    if node["class"] != "CAST" or node["child"]["class"] != "CONSTANT":
        return None
    literal = node["child"]["literal"]
    wanted = node["type_expr"].get("type_name")
    try:
        if literal["kind"] == "STRING" and wanted == "DATE":
            return date.fromisoformat(literal["text"])
        if literal["kind"] == "STRING" and wanted == "TIMESTAMP":
            moment = datetime.fromisoformat(literal["text"])
            return moment if moment.tzinfo is None else None
    except ValueError:
        return None
    return _constant(node["child"]) if wanted in _INTEGERS else None
