"""JSON paths: Trino's spelling checked, DuckDB's made."""

from __future__ import annotations

import re

from local_aws.engine.errors import refuse
from local_aws.engine.scope import Value


def json_path(value: Value) -> str:
    """A literal JSON path in DuckDB's spelling; paths that may match several are refused."""
    if not isinstance(value.literal, str):
        refuse("A JSON path must be a literal here")
    path = value.literal
    if not path.startswith("$"):
        path = "$." + path if not path.startswith("[") else "$" + path
    steps = re.findall(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\[\"((?:[^\"\\])*)\"\]", path[1:])
    rebuilt = "".join(f".{a}" if a else f"[{b}]" if b else f'["{c}"]' for a, b, c in steps)
    if rebuilt != path[1:]:
        refuse(f"JSON path {path} is not supported here")
    duck = "$" + "".join(f'."{a or c}"' if not b else f"[{b}]" for a, b, c in steps)
    return "'" + duck.replace("'", "''") + "'"
