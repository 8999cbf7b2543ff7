"""JSON text as Trino keeps it: keys in order, doubles as Java prints them, no spaces."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from local_aws.engine.results import double_text, scientific


def _text(value: Any) -> str:
    if isinstance(value, dict):
        inner = (f"{_quoted(key)}:{_text(value[key])}" for key in sorted(value))
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float):
        return double_text(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def number(text: str, steps: str) -> str | None:
    """The digits of a number as they are written, where DuckDB would shorten them."""
    value = json.loads(text, parse_float=str, parse_int=str)
    for step in json.loads(steps):
        value = value[step]
    return str(value)


_STANDARD = re.compile(r"\.([^\W\d]\w*)|\.\"([^\"\\]*)\"|\[(\d+)\]|(\[\*\])")


def standard_steps(path: str) -> tuple[bool, list[str | int | None]] | None:
    """A path of SQL's standard: whether it is strict, and its steps (None is ``[*]``).

    None if it has more than members, elements and ``[*]``.
    """
    found = re.fullmatch(r"\s*(lax|strict)\s+\$(.*?)\s*", path, re.DOTALL)
    if found is None:
        return None
    steps = list(_STANDARD.finditer(found[2]))
    if "".join(s.group() for s in steps) != found[2]:
        return None
    return found[1] == "strict", [
        None if s[4] else int(s[3]) if s[3] else s[1] or s[2] or "" for s in steps
    ]


class _Bad(Exception):
    """The path does not fit the document, and it is strict."""


def _step(items: list[Any], step: str | int | None, *, strict: bool) -> list[Any]:
    out: list[Any] = []
    for item in items:
        if isinstance(step, str):
            parts = item if isinstance(item, list) and not strict else [item]
            for part in parts:
                if isinstance(part, dict) and step in part:
                    out.append(part[step])
                elif strict:
                    raise _Bad
        else:
            if not isinstance(item, list) and strict:
                raise _Bad
            parts = item if isinstance(item, list) else [item]
            if step is None:
                out += parts
            elif step < len(parts):
                out.append(parts[step])
            elif strict:
                raise _Bad
    return out


def standard(text: str, path: str, mode: str) -> list[str | None]:
    """What came of a lookup (``value``, ``empty``, ``error``, ``null``) and its text."""
    parsed = standard_steps(path)
    assert parsed is not None
    strict, steps = parsed
    function, wrapper, omit = mode.split(":")
    try:
        items = [json.loads(text, parse_constant=_refuse)]
        for step in steps:
            items = _step(items, step, strict=strict)
    except (ValueError, _Bad):
        return ["error", None]
    if not items:
        return ["empty", None]
    if function == "exists":
        return ["value", None]
    if function == "query":
        return _queried(items, wrapper, omit)
    if len(items) > 1 or isinstance(items[0], list | dict):
        return ["error", None]
    if items[0] is None:
        return ["null", None]
    (found,) = items
    if isinstance(found, float):
        return ["value", scientific(Decimal(repr(found)))]
    return ["value", found if isinstance(found, str) else _text(found)]


def _queried(items: list[Any], wrapper: str, omit: str) -> list[str | None]:
    scalar = len(items) > 1 or not isinstance(items[0], list | dict)
    if wrapper == "with" or (wrapper == "conditional" and scalar):
        return ["value", "[" + ",".join(map(_text, items)) + "]"]
    if len(items) > 1:
        return ["error", None]
    if omit == "True" and isinstance(items[0], str):
        return ["value", items[0]]
    return ["value", _text(items[0])]


def _refuse(word: str) -> Any:
    raise ValueError(word)


def canonical(text: str) -> str:
    """The document in Trino's form; fails with INVALID_FUNCTION_ARGUMENT if it is none."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        shown = text if len(text) <= 200 else text[:200] + "..."
        raise ValueError(
            f"LOCAL_FAIL|INVALID_FUNCTION_ARGUMENT|Cannot convert value to JSON: '{shown}'|"
        ) from None
    return _text(value)
