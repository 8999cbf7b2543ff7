"""JSON paths: Trino's spelling checked, DuckDB's made."""

from __future__ import annotations

import re

from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.scope import Value

_STEPS = re.compile(r"\.([^\W\d][\w-]*)|\[(\d+)\]|\[\"((?:[^\"\\])*)\"\]")


def json_steps(path: str) -> list[str | int]:
    """The steps of a path that ``json_path`` takes."""
    return [int(b) if b else a or c for a, b, c in _STEPS.findall(path[1:])]


def json_path(value: Value) -> str:
    """A literal JSON path in DuckDB's spelling; paths that may match several are refused."""
    if not isinstance(value.literal, str):
        refuse("A JSON path must be a literal here")
    path = value.literal
    steps = _STEPS.findall(path[1:])
    rebuilt = "".join(f".{a}" if a else f"[{b}]" if b else f'["{c}"]' for a, b, c in steps)
    if not path.startswith("$") or rebuilt != path[1:]:
        raise QueryError("INVALID_FUNCTION_ARGUMENT", f"Invalid JSON path: '{path}'")
    duck = "$" + "".join(f'."{a or c}"' if not b else f"[{b}]" for a, b, c in steps)
    return "'" + duck.replace("'", "''") + "'"
