"""information_schema: tables, columns, schemata, views."""

from __future__ import annotations

from typing import Any

from local_aws.engine.errors import QueryError
from local_aws.engine.tables import CATALOG, Rows, glue_columns
from local_aws.engine.types import BIGINT, VARCHAR
from local_aws.glue import Catalog


def information_schema(catalog: Catalog, name: str, at: int | None) -> Rows:
    """One of its tables, as of now."""
    databases = [d["Name"] for d in catalog.databases()]
    if name == "schemata":
        columns = [(c, VARCHAR) for c in ("catalog_name", "schema_name")]
        return Rows(columns, [(CATALOG, d) for d in [*databases, "information_schema"]])
    tables = [t for d in databases for t in catalog.tables(d)]
    if name == "tables":
        columns = [(c, VARCHAR) for c in (*_KEY, "table_type")]
        return Rows(
            columns,
            [
                (CATALOG, t["DatabaseName"], t["Name"],
                 "VIEW" if t.get("TableType") == "VIRTUAL_VIEW" else "BASE TABLE")
                for t in tables
            ],
        )  # fmt: skip
    if name == "views":
        views = [t for t in tables if t.get("TableType") == "VIRTUAL_VIEW"]
        from local_aws.engine.tables import decode_view

        return Rows(
            [(c, VARCHAR) for c in (*_KEY, "view_definition")],
            [(CATALOG, t["DatabaseName"], t["Name"], decode_view(t).text) for t in views],
        )
    if name == "columns":
        rows: list[tuple[Any, ...]] = []
        for table in tables:
            columns_, plain = glue_columns(table)
            for i, (column, kind) in enumerate(columns_):
                extra = "partition key" if i >= plain else None
                rows.append(
                    (CATALOG, table["DatabaseName"], table["Name"], column, i + 1, None, "YES",
                     str(kind), None, extra, None)
                )  # fmt: skip
        names = [*_KEY, "column_name", "ordinal_position", "column_default", "is_nullable",
                 "data_type", "comment", "extra_info", "comment_"]  # fmt: skip
        listed = [(n, BIGINT if n == "ordinal_position" else VARCHAR) for n in names]
        return Rows(listed[:-1], [row[:-1] for row in rows])
    raise QueryError(
        "TABLE_NOT_FOUND", f"Table '{CATALOG}.information_schema.{name}' does not exist", at
    )


_KEY = ("table_catalog", "table_schema", "table_name")
