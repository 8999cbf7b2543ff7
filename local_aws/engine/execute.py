"""Runs one statement from text to result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local_aws.engine import statements as st
from local_aws.engine import tree
from local_aws.engine.compile_query import QueryCompiler
from local_aws.engine.compiler import Rel, TableUse
from local_aws.engine.cursor import Name
from local_aws.engine.ddl import Ddl
from local_aws.engine.duck import Run, translated
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.explain import plan_lines
from local_aws.engine.formats import constant
from local_aws.engine.hive_tables import HiveTables
from local_aws.engine.pushdown import UNPLANNED
from local_aws.engine.results import Row, column_info, rows_of
from local_aws.engine.show import describe, show
from local_aws.engine.tables import CATALOG, Resolver, encode_view, is_iceberg
from local_aws.engine.types import Type
from local_aws.engine.writing import check_columns
from local_aws.glue import Catalog, GlueError, Json
from local_aws.store import Store


@dataclass(slots=True)
class Outcome:
    """What a statement gives: a table of rows, or lines, or a number of rows written."""

    columns: list[dict[str, Any]] = field(default_factory=list)
    rows: Iterator[Row] | None = None
    lines: list[str] | None = None
    update_count: int = 0
    types: list[Type] = field(default_factory=list)
    """The columns' types in full; GetQueryResults names only the outermost."""


@dataclass(slots=True)
class Context:
    """Where and when a statement runs."""

    store: Store
    catalog: Catalog
    run: Run
    now: datetime
    database: str
    parameters: list[tree.Expr]
    default_location: str
    """Where a CTAS without a location puts its data."""


def execute(statement: st.Statement, context: Context) -> Outcome:
    """Run it; raises QueryError. The rows of a query are read while they are fetched."""
    return _Execution(context).run(statement)


class _Execution:
    def __init__(self, context: Context) -> None:
        self.c = context
        self.scanned: dict[int, int] = {}
        """Bytes that each reference to a table reads."""

        self.ddl = Ddl(context.store, context.catalog, context.database)

    def run(self, node: st.Statement) -> Outcome:
        if node.parameters != len(self.c.parameters):
            raise QueryError(
                "INVALID_PARAMETER_USAGE",
                f"Incorrect number of parameters: expected {node.parameters} but found "
                f"{len(self.c.parameters)}", 0,
            )  # fmt: skip
        try:
            return self._run(node)
        except GlueError as error:
            raise QueryError("GENERIC_USER_ERROR", error.message) from error

    def _run(self, node: st.Statement) -> Outcome:
        if isinstance(node, st.Select):
            return self._select(node)
        if isinstance(node, st.CreateTableAs):
            return self._create_as(node)
        if isinstance(node, st.CreateView):
            return self._create_view(node)
        if isinstance(node, st.Insert):
            return self._insert(node)
        if isinstance(node, st.Unload):
            return self._unload(node)
        if isinstance(node, st.Merge):
            return self._merge(node)
        if isinstance(node, st.Maintain):
            return self._maintain(node)
        if isinstance(node, st.Explain):
            return self._explain(node)
        if isinstance(node, st.CreateDatabase):
            self.ddl.create_database(node)
            return Outcome(lines=[])
        if isinstance(node, st.AlterDatabase):
            self.ddl.alter_database(node)
            return Outcome(lines=[])
        if isinstance(node, st.Drop):
            return self._drop(node)
        if isinstance(node, st.CreateTable):
            return self._create_table(node)
        if isinstance(node, st.AlterTable):
            return self._alter(node)
        if isinstance(node, st.Repair):
            return _lines([], self.ddl.repair(node))
        if isinstance(node, st.Show):
            return _lines(*show(self.ddl, node))
        if isinstance(node, st.Describe):
            return _lines(*describe(self.ddl, node))
        return refuse(f"{node.subkind.replace('_', ' ')} is not supported here")

    # ------------------------------------------------------------------ queries

    def compiler(self) -> QueryCompiler:
        """A compiler for this statement."""
        resolver = Resolver(self.c.store, self.c.catalog, self.c.database)
        compiler = QueryCompiler(resolver, self.c.now, self.c.parameters)
        compiler.evaluate = self.c.run.evaluate
        return compiler

    def finish(self, compiler: QueryCompiler, sql: str) -> str:
        """SQL with its tables' scans."""
        run = self.c.run
        sql = compiler.settled(sql)
        pushed = run.planner.plan(sql, compiler.tables)

        def scan(number: int, use: TableUse) -> str:
            before = run.bytes_scanned
            found = use.source.scan(
                use.used, use.constraints, use.alias, run, pushed.get(number, UNPLANNED)
            )
            self.scanned[number] = run.bytes_scanned - before
            return found

        return compiler.finish(sql, scan)

    def query(self, node: tree.Query) -> tuple[QueryCompiler, Rel, str]:
        """A compiled query, ready to run."""
        compiler = self.compiler()
        rel = compiler.query(node)
        return compiler, rel, self.finish(compiler, rel.sql)

    def _select(self, node: st.Select) -> Outcome:
        _, rel, sql = self.query(node.query)
        kinds = [column.type for column in rel.columns]
        names = [_shown(c.name) or f"_col{i}" for i, c in enumerate(rel.columns)]
        result = self.c.run.execute(sql)

        def rows() -> Iterator[Row]:
            with translated():
                yield from rows_of(result.to_arrow_reader(10_000), kinds)

        columns = [column_info(name, kind) for name, kind in zip(names, kinds, strict=True)]
        return Outcome(columns, rows(), types=kinds)

    def _explain(self, node: st.Explain) -> Outcome:
        inner = node.statement
        kind, format_ = node.options.get("TYPE", "DISTRIBUTED"), node.options.get("FORMAT", "TEXT")
        if kind == "VALIDATE":
            self._plan_of(inner, node.at)
            valid: list[Row] = [["true"]]
            return Outcome([column_info("Valid", Type("boolean"))], iter(valid))
        if kind == "IO" or format_ != "TEXT":
            refuse(f"EXPLAIN (TYPE {kind}, FORMAT {format_}) is not supported here", node.at)
        lines = self._analyze(inner, node.at) if node.analyze else self._plan_of(inner, node.at)
        if kind == "DISTRIBUTED":
            lines = ["Fragment 0 [SINGLE]", *(f"    {line}" for line in lines)]
        rows: list[Row] = [[line] for line in lines]
        return Outcome([column_info("Query Plan", Type("varchar"))], iter(rows))

    def _plan_of(self, node: st.Statement, at: int) -> list[str]:
        """The plan of a statement that is checked, but not run."""
        if not isinstance(node, st.Select | st.CreateTableAs | st.Insert | st.Unload):
            refuse(f"EXPLAIN of {node.subkind.replace('_', ' ')} is not supported here", at)
        compiler = self.compiler()
        rel = compiler.query(node.query)
        if isinstance(node, st.Insert):
            resolver = Resolver(self.c.store, self.c.catalog, self.c.database)
            name = resolver.qualify(node.table.parts, node.table.at)
            columns = resolver.source(resolver.table(*name, node.table.at)).columns
            hive = HiveTables(self.c.store, self.c.catalog, self.c.run, self.c.now)
            hive.aligned(node, columns, compiler, rel, "")
        elif isinstance(node, st.CreateTableAs):
            self.target(node.table, node.at)
            check_columns(rel.columns, node.columns)
        lines = plan_lines(self.c.run, rel, compiler)
        if isinstance(node, st.Select):
            return lines
        return ["TableWriter[]", *(("└─ " if i == 0 else "   ") + t for i, t in enumerate(lines))]

    def _analyze(self, node: st.Statement, at: int) -> list[str]:
        """Run a query and say what it took."""
        if not isinstance(node, st.Select):
            refuse("EXPLAIN ANALYZE of other than a query is not supported here", at)
        began = time.monotonic()
        compiler, rel, sql = self.query(node.query)
        with translated():
            count = sum(b.num_rows for b in self.c.run.execute(sql).to_arrow_reader(10_000))
        taken = round((time.monotonic() - began) * 1000)
        return [
            f"Elapsed: {taken}ms, Output: {count} rows, Input: {self.c.run.bytes_scanned}B",
            *plan_lines(self.c.run, rel, compiler, self.scanned),
        ]

    # ------------------------------------------------------------------ CTAS, views, INSERT

    def target(self, parts: list[str], at: int | None) -> tuple[str, str]:
        """Database and name of something to be made."""
        resolver = Resolver(self.c.store, self.c.catalog, self.c.database)
        database, name = resolver.qualify(parts, at)
        if self.c.catalog.get_database(database) is None:
            raise QueryError("SCHEMA_NOT_FOUND", f"Schema '{database}' does not exist", at)
        return database, name

    def _create_as(self, node: st.CreateTableAs) -> Outcome:
        name = self.target(node.table, node.at)
        if self.c.catalog.get_table(*name) is not None:
            if node.if_not_exists:
                return _written(0)
            raise QueryError(
                "TABLE_ALREADY_EXISTS",
                f"Destination table '{CATALOG}.{name[0]}.{name[1]}' already exists", node.at,
            )  # fmt: skip
        properties = {key: constant(value) for key, value in node.properties.items()}
        compiler = self.compiler()
        rel = compiler.query(node.query)
        sql = self.finish(compiler, rel.sql) if node.with_data else ""
        if str(properties.get("table_type", "hive")).lower() == "iceberg":
            from local_aws.engine.iceberg_tables import IcebergTables

            count = IcebergTables(self.c.store, self.c.catalog, self.c.run, self.c.now).create_as(
                node, name, rel, sql, properties
            )
            return _written(count)
        hive = HiveTables(self.c.store, self.c.catalog, self.c.run, self.c.now)
        return _written(hive.create_as(node, name, rel, sql, properties, self.c.default_location))

    def _create_view(self, node: st.CreateView) -> Outcome:
        database, name = self.target(node.view, None)
        rel = self.compiler().query(node.query)
        columns = check_columns(rel.columns, [])
        table = {
            "Name": name,
            "TableType": "VIRTUAL_VIEW",
            "Owner": "hadoop",
            "Parameters": {"presto_view": "true", "comment": "Presto View"},
            "ViewOriginalText": encode_view(node.text, columns, self.c.database),
            "ViewExpandedText": "/* Presto View */",
            "StorageDescriptor": {
                "Columns": [{"Name": n, "Type": _view_type(t)} for n, t in columns],
                "Location": "",
                "Compressed": False,
                "NumberOfBuckets": 0,
                "SerdeInfo": {},
                "StoredAsSubDirectories": False,
            },
            "PartitionKeys": [],
        }
        with self.c.store.write():
            current = self.c.catalog.get_table(database, name)
            if current is None:
                self.c.catalog.create_table(database, table)
            elif current.get("TableType") != "VIRTUAL_VIEW" or not node.replace:
                what = "View" if current.get("TableType") == "VIRTUAL_VIEW" else "Table"
                raise QueryError(
                    f"{what.upper()}_ALREADY_EXISTS",
                    f"{what} already exists: '{CATALOG}.{database}.{name}'",
                )
            else:
                self.c.catalog.update_table(database, table)
        return Outcome(lines=[])

    def _insert(self, node: st.Insert) -> Outcome:
        resolver = Resolver(self.c.store, self.c.catalog, self.c.database)
        database, name = resolver.qualify(node.table.parts, node.table.at)
        table = resolver.table(database, name, node.table.at)
        if table.get("TableType") == "VIRTUAL_VIEW":
            raise QueryError("NOT_SUPPORTED", "Inserting into views is not supported")
        compiler, rel, sql = self.query(node.query)
        hive = HiveTables(self.c.store, self.c.catalog, self.c.run, self.c.now)
        if is_iceberg(table):
            from local_aws.engine.iceberg_tables import IcebergTables

            iceberg = IcebergTables(self.c.store, self.c.catalog, self.c.run, self.c.now)
            return _written(iceberg.insert(node, table, hive, compiler, rel, sql))
        return _written(hive.insert(node, table, compiler, rel, sql))

    def _unload(self, node: st.Unload) -> Outcome:
        _, rel, sql = self.query(node.query)
        hive = HiveTables(self.c.store, self.c.catalog, self.c.run, self.c.now)
        return _written(hive.unload(node, rel, sql))

    def _merge(self, node: st.Merge) -> Outcome:
        resolver = Resolver(self.c.store, self.c.catalog, self.c.database)
        database, name = resolver.qualify(node.table.parts, node.table.at)
        table = resolver.table(database, name, node.table.at)
        if not is_iceberg(table):
            raise QueryError(
                "NOT_SUPPORTED", "Modifying Hive table rows is only supported for transactional "
                "tables", node.table.at,
            )  # fmt: skip
        from local_aws.engine.iceberg_merge import merge

        return _written(merge(node, table, self.c, self.compiler(), self.finish))

    def _maintain(self, node: st.Maintain) -> Outcome:
        resolver = Resolver(self.c.store, self.c.catalog, self.c.database)
        database, name = resolver.qualify(node.table, None)
        table = resolver.table(database, name, None)
        if not is_iceberg(table):
            raise QueryError(
                "NOT_SUPPORTED", f"{node.subkind} is only supported for Iceberg tables"
            )
        from local_aws.engine.iceberg_tables import IcebergTables

        iceberg = IcebergTables(self.c.store, self.c.catalog, self.c.run, self.c.now)
        iceberg.maintain(node, table, self.compiler())
        return Outcome(lines=[])

    # ------------------------------------------------------------------ DDL

    def _create_table(self, node: st.CreateTable) -> Outcome:
        if node.properties.get("table_type", "").lower() == "iceberg":
            from local_aws.engine.iceberg_tables import IcebergTables

            iceberg = IcebergTables(self.c.store, self.c.catalog, self.c.run, self.c.now)
            iceberg.create(node, self.ddl.name(node.table))
        else:
            self.ddl.create_table(node)
        return Outcome(lines=[])

    def _drop(self, node: st.Drop) -> Outcome:
        dropped: Json | None = self.ddl.drop(node)
        if dropped is not None:
            from local_aws.engine.iceberg_tables import delete_files

            delete_files(self.c.store, dropped)
        return Outcome(lines=[])

    def _alter(self, node: st.AlterTable) -> Outcome:
        table = self.ddl.table(node.table)
        if not is_iceberg(table):
            self.ddl.alter(node)
        elif node.action == "rename":
            self.ddl.rename(node, table)
        else:
            from local_aws.engine.iceberg_tables import IcebergTables

            iceberg = IcebergTables(self.c.store, self.c.catalog, self.c.run, self.c.now)
            iceberg.alter(node, table)
        return Outcome(lines=[])


def _view_type(kind: Type) -> str:
    return str(kind) if kind.name == "timestamptz" else kind.glue


def _written(count: int) -> Outcome:
    return Outcome([column_info("rows", Type("bigint"))], iter([]), None, count)


def _shown(name: str | None) -> str | None:
    return name.shown if isinstance(name, Name) else name


def _lines(names: list[str], lines: list[str]) -> Outcome:
    columns = [{**column_info(name, Type("varchar")), "Type": "string"} for name in names]
    return Outcome(columns, None, lines)
