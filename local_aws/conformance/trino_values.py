"""Trino's values as its REST interface sends them, in the text that Athena shows for them.

Written apart from ``engine/results.py`` on purpose: the two check each other.
"""

from __future__ import annotations

import base64
import re
from typing import Any


def split_type(kind: str) -> tuple[str, list[str]]:
    """``map(varchar, array(integer))`` to its name and what its parentheses hold."""
    name, bracket, inner = kind.partition("(")
    if not bracket:
        return kind, []
    depth, quoted, part, parts = 0, False, "", []
    for char in inner[: inner.rindex(")")]:
        quoted ^= char == '"'
        depth += 0 if quoted else (char == "(") - (char == ")")
        if char == "," and depth == 0 and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    return name, [*parts, part.strip()]


def text_of(value: Any, kind: str) -> str | None:
    """The cell as Athena prints it; None is null."""
    if value is None:
        return None
    name, inner = split_type(kind)
    if name == "boolean":
        return "true" if value else "false"
    if name in ("varbinary", "hyperloglog"):
        return " ".join(f"{byte:02x}" for byte in base64.b64decode(value))
    if name == "array":
        return "[" + ", ".join(_inner(item, inner[0]) for item in value) + "]"
    if name == "map":
        cells = (f"{_key(k, inner[0])}={_inner(v, inner[1])}" for k, v in value.items())
        return "{" + ", ".join(cells) + "}"
    if name == "row":
        cells = (
            f"{field}={_inner(item, of)}"
            for item, (field, of) in zip(value, map(_field, range(len(inner)), inner), strict=True)
        )
        return "{" + ", ".join(cells) + "}"
    if name == "timestamp":
        return _milliseconds(str(value))
    return str(value)


def _inner(value: Any, kind: str) -> str:
    shown = text_of(value, kind)
    return "null" if shown is None else shown


def _key(value: str, kind: str) -> str:
    # Keys of a JSON object are text already; only bytes and times look otherwise in Athena.
    return _inner(value, kind) if kind.startswith(("timestamp", "varbinary")) else value


_NAMED = re.compile(r'("(?:[^"]|"")*"|\w+) (.+)')


def _field(index: int, text: str) -> tuple[str, str]:
    named = _NAMED.fullmatch(text)
    if named is None or text.startswith("interval "):
        return f"field{index}", text
    return named[1].strip('"').replace('""', '"'), named[2]


def _milliseconds(shown: str) -> str:
    """Athena prints three digits of a second at least."""
    day, clock, *zone = shown.split(" ")
    whole, _, fraction = clock.partition(".")
    return " ".join([day, f"{whole}.{fraction.ljust(3, '0')}", *zone])
