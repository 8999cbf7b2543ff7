"""A view as Athena keeps it in Glue: its query, and its columns in Trino's and in Hive's types.

Pure. Made here rather than by CREATE VIEW, so that making one is one call to Glue, and so that what
stands there can be compared: Athena formats the text of a statement anew.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

Definition = dict[str, Any]
"""A table as Glue's CreateTable and UpdateTable take it."""

_BODY = re.compile(r"/\* Presto View: (.*) \*/", re.DOTALL)
_SPELT = {"string": "varchar", "int": "integer", "float": "real", "binary": "varbinary"}
_SPELT_BACK = {trino: hive for hive, trino in _SPELT.items()}


def view(
    schema: str, name: str, sql: str, columns: Mapping[str, str], marks: Mapping[str, str]
) -> Definition:
    """Return a view whose names are looked up in ``schema``; ``columns`` have Trino's types."""
    body = {
        "originalSql": sql,
        "catalog": "awsdatacatalog",
        "schema": schema,
        "columns": [{"name": column, "type": kind} for column, kind in columns.items()],
    }
    return {
        "Name": name,
        "TableType": "VIRTUAL_VIEW",
        "Retention": 0,
        "PartitionKeys": [],
        "Parameters": {"presto_view": "true", "comment": "Presto View", **marks},
        "ViewOriginalText": packed(body),
        "ViewExpandedText": "/* Presto View */",
        "StorageDescriptor": {
            "Columns": [{"Name": c, "Type": _hive_type(kind)} for c, kind in columns.items()],
            "Location": "",
            "SerdeInfo": {},
        },
    }


def packed(body: Mapping[str, Any]) -> str:
    """Return a view's body as Glue keeps it."""
    return f"/* Presto View: {base64.b64encode(json.dumps(body).encode()).decode()} */"


def body_of(table: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the body of a view; none for a table."""
    found = _BODY.match(table.get("ViewOriginalText") or "")
    return json.loads(base64.b64decode(found[1])) if found else None


def sql_of(table: Mapping[str, Any]) -> str | None:
    """Return a view's query; none for a table."""
    body = body_of(table)
    return None if body is None else str(body["originalSql"])


def columns_of(table: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns of a table or view with their types, as Trino spells them."""
    body = body_of(table)
    if body is not None:
        return {column["name"]: column["type"] for column in body["columns"]}
    is_iceberg = (table.get("Parameters") or {}).get("table_type", "").lower() == "iceberg"
    listed = [*table["StorageDescriptor"]["Columns"], *(table.get("PartitionKeys") or [])]
    return {
        column["Name"]: _trino_type(column["Type"], is_iceberg)
        for column in listed
        # Athena keeps columns that were dropped from an Iceberg table, marked so.
        if (column.get("Parameters") or {}).get("iceberg.field.current") != "false"
    }


def _trino_type(hive: str, is_iceberg: bool) -> str:
    """Return a type of Glue's as Trino spells it; how fine a moment is depends on the table."""
    kind = hive.strip().lower()
    inner = kind[kind.find("<") + 1 : -1]
    if kind.startswith("array<"):
        return f"array({_trino_type(inner, is_iceberg)})"
    if kind.startswith("map<"):
        return f"map({', '.join(_trino_type(each, is_iceberg) for each in _split(inner))})"
    if kind.startswith("struct<"):
        fields = (field.split(":", 1) for field in _split(inner))
        return f"row({', '.join(f'{n} {_trino_type(t, is_iceberg)}' for n, t in fields)})"
    if kind == "timestamp":
        return "timestamp(6)" if is_iceberg else "timestamp(3)"
    return _SPELT.get(kind, kind)


def _hive_type(trino: str) -> str:
    kind = trino.strip().lower()
    inner = kind[kind.find("(") + 1 : -1]
    if kind.startswith("array("):
        return f"array<{_hive_type(inner)}>"
    if kind.startswith("map("):
        return f"map<{','.join(map(_hive_type, _split(inner)))}>"
    if kind.startswith("row("):
        fields = (field.split(" ", 1) for field in _split(inner))
        return f"struct<{','.join(f'{n}:{_hive_type(t)}' for n, t in fields)}>"
    if kind.startswith("timestamp"):
        return "timestamp"
    return "string" if kind.startswith("varchar") else _SPELT_BACK.get(kind, kind)


def _split(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
