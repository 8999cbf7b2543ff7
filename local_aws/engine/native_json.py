"""JSON text as Trino keeps it: keys in order, doubles as Java prints them, no spaces."""

from __future__ import annotations

import json
from typing import Any

from local_aws.engine.results import double_text


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
