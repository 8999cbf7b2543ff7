"""Tables by name: what the catalogue says they are, and the DuckDB SELECT that reads them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from local_aws.engine.constants import constant_sql
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.types import Type, parse_type
from local_aws.glue import Catalog, Json
from local_aws.store import Store

if TYPE_CHECKING:
    from local_aws.engine import tree
    from local_aws.engine.compiler import Compiler
    from local_aws.engine.pushdown import Scans

CATALOG = "awsdatacatalog"


class Reader(Protocol):
    """What a scan needs from the running query."""

    def evaluate(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a small query and fetch its rows."""
        ...

    def scanned(self, size: int) -> None:
        """Count bytes that the query reads."""
        ...

    def new_blob(self, store: Store) -> Path:
        """A path for a file that is removed after the query."""
        ...


class Source:
    """A table that can be read. Columns are called ``c<n>`` in the scan."""

    columns: list[tuple[str, Type]]
    partitions: frozenset[int] = frozenset()
    """Which columns are partition columns, known without opening a file."""

    hidden: Sequence[tuple[str, Type]] = ()
    """Columns that only their name gives, e.g. ``$path``; numbered after the others."""

    prunable = False
    """Whether it is worth knowing which rows and columns a statement needs."""

    @property
    def readable(self) -> list[tuple[str, Type]]:
        """All columns that can be named."""
        return [*self.columns, *self.hidden]

    def scan(
        self, used: set[int], constraints: list[str], alias: str, reader: Reader,
        scans: Scans,
    ) -> str:  # fmt: skip
        """A SELECT of the used columns; ``constraints`` name partition columns of ``alias``.

        Rows that all ``scans`` refuse may be missing.
        """
        raise NotImplementedError

    def at_version(self, kind: str, version: tree.Expr, compiler: Compiler) -> Source:
        """The table at a former version; only Iceberg has any."""
        refuse("Time travel is only supported for Iceberg tables", version.at)


@dataclass(frozen=True, slots=True)
class View:
    """A view's query, and the database in which its names are looked up."""

    text: str
    database: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name stands for: a source or a view."""

    catalog: str
    database: str
    name: str
    source: Source | None
    view: View | None
    glue: Json


class Rows(Source):
    """A table whose rows are computed here, e.g. information_schema."""

    def __init__(self, columns: list[tuple[str, Type]], rows: list[tuple[Any, ...]]) -> None:
        self.columns = columns
        self.rows = rows

    def scan(
        self, used: set[int], constraints: list[str], alias: str, reader: Reader,
        scans: Scans,
    ) -> str:  # fmt: skip
        """The rows as VALUES, of the used columns: some are long."""
        wanted = sorted(used) or [0]
        names = ", ".join(f"c{i}" for i in wanted)
        if not self.rows:
            return empty(self.columns, set(wanted))
        listed = ", ".join(
            f"({', '.join(constant_sql(row[i], self.columns[i][1]) for i in wanted)})"
            for row in self.rows
        )
        return f"SELECT {names} FROM (VALUES {listed}) AS t_({names})"


def empty(columns: list[tuple[str, Type]], used: set[int]) -> str:
    """A SELECT of the used columns without a row."""
    items = ", ".join(f"CAST(NULL AS {columns[i][1].duck}) AS c{i}" for i in sorted(used))
    return f"SELECT {items or '1 AS x'} WHERE false"


def glue_columns(table: Json) -> tuple[list[tuple[str, Type]], int]:
    """All columns with their types, and how many of them are not partition columns."""
    descriptor = table.get("StorageDescriptor") or {}
    listed = [
        c for c in descriptor.get("Columns") or []
        if (c.get("Parameters") or {}).get("iceberg.field.current") != "false"
    ]  # fmt: skip
    columns = []
    for column in [*listed, *(table.get("PartitionKeys") or [])]:
        try:
            kind = parse_type(column.get("Type", "string"), hive=True)
        except (ValueError, IndexError):
            raise QueryError(
                "HIVE_INVALID_METADATA",
                f"Type {column.get('Type')} of column {column['Name']} is not supported",
            ) from None
        if kind.name in ("char", "time", "timetz"):
            refuse(f"Column {column['Name']}: type {kind} is not supported here")
        columns.append((str(column["Name"]).lower(), kind))
    return columns, len(listed)


def is_iceberg(table: Json) -> bool:
    """Whether the catalogue says so."""
    return str((table.get("Parameters") or {}).get("table_type", "")).lower() == "iceberg"


def encode_view(text: str, columns: list[tuple[str, Type]], database: str) -> str:
    """A view's definition as Athena stores it."""
    body = {
        "originalSql": text,
        "catalog": CATALOG,
        "schema": database,
        "columns": [{"name": name, "type": str(kind)} for name, kind in columns],
        "owner": "123456789012",
        "runAsInvoker": False,
        "properties": {},
    }
    packed = base64.b64encode(json.dumps(body).encode()).decode()
    return f"/* Presto View: {packed} */"


def decode_view(table: Json) -> View:
    """The definition of a VIRTUAL_VIEW."""
    text = str(table.get("ViewOriginalText") or "")
    if not text.startswith("/* Presto View: "):
        refuse(f"View {table['Name']} was not created by Athena")
    body = json.loads(base64.b64decode(text[len("/* Presto View: ") : -len(" */")]))
    return View(body["originalSql"], str(body.get("schema") or table["DatabaseName"]))


class Resolver:
    """Finds what names mean, from one database on; one statement sees one state of each table."""

    def __init__(self, store: Store, catalog: Catalog, database: str) -> None:
        self.store = store
        self.catalog = catalog
        self.database = database
        self._seen: dict[tuple[str, str], Json] = {}

    def qualify(self, parts: list[str], at: int | None) -> tuple[str, str]:
        """Database and table; the catalogue's own name may stand in front."""
        if len(parts) > 3:
            raise QueryError("SYNTAX_ERROR", f"Too many dots in table name: {'.'.join(parts)}", at)
        if len(parts) == 3 and parts[0] != CATALOG:
            raise QueryError("CATALOG_NOT_FOUND", f"Catalog '{parts[0]}' does not exist", at)
        if len(parts) == 1 and not self.database:
            raise QueryError(
                "MISSING_SCHEMA_NAME", "Schema must be specified when session schema is not set", at
            )
        return (parts[-2] if len(parts) > 1 else self.database), parts[-1]

    def resolve(self, parts: list[str], at: int | None) -> Resolved:
        """The table or view called so."""
        database, name = self.qualify(parts, at)
        if database == "information_schema":
            from local_aws.engine.information import information_schema

            source = information_schema(self.catalog, name, at)
            return Resolved(CATALOG, database, name, source, None, {})
        if "$" in name:
            return Resolved(CATALOG, database, name, self._metadata(database, name, at), None, {})
        table = self.table(database, name, at)
        if table.get("TableType") == "VIRTUAL_VIEW":
            return Resolved(CATALOG, database, name, None, decode_view(table), table)
        return Resolved(CATALOG, database, name, self.source(table), None, table)

    def _metadata(self, database: str, name: str, at: int | None) -> Source:
        """What ``"t$snapshots"`` and its like say of a table."""
        base, _, kind = name.rpartition("$")
        glue = self.catalog.get_table(database, base)
        source: Source | None = None
        if glue is not None and is_iceberg(glue):
            from local_aws.engine.iceberg_metadata import metadata_table

            source = metadata_table(self.store, glue, kind)
        elif glue is not None and kind == "partitions" and glue.get("PartitionKeys"):
            from local_aws.engine.hive_source import partitions_table

            source = partitions_table(self.store, self.catalog, glue)
        if source is None:
            self.table(database, name, at)  # says that it does not exist
            refuse(f"Metadata table {name} is not supported here", at)
        return source

    def table(self, database: str, name: str, at: int | None) -> Json:
        """The Glue table, or the error that Athena gives."""
        table = self._seen.get((database, name)) or self.catalog.get_table(database, name)
        if table is not None:
            self._seen[database, name] = table
            return table
        if self.catalog.get_database(database) is None:
            raise QueryError("SCHEMA_NOT_FOUND", f"Schema '{database}' does not exist", at)
        raise QueryError(
            "TABLE_NOT_FOUND", f"Table '{CATALOG}.{database}.{name}' does not exist", at
        )

    def source(self, table: Json) -> Source:
        """How a table is read."""
        if is_iceberg(table):
            from local_aws.engine.iceberg_source import IcebergSource

            return IcebergSource(self.store, table)
        from local_aws.engine.hive_source import HiveSource

        return HiveSource(self.store, self.catalog, table)
