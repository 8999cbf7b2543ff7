"""MERGE, UPDATE and DELETE on Iceberg tables, as copy-on-write.

1. Join the target's rows (known by file and position) with the source, and find for each row
   which WHEN applies and what it makes of the row.
2. Rewrite the files that hold a changed row, without the deleted and with the updated rows; add
   the inserted rows.
3. Commit: old files out, new files in, if nobody else committed meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from local_aws.engine import statements as st
from local_aws.engine.casts import coerce
from local_aws.engine.compile_query import QueryCompiler
from local_aws.engine.errors import QueryError, mismatch
from local_aws.engine.hive_tables import insertable
from local_aws.engine.iceberg_source import IcebergSource
from local_aws.engine.iceberg_tables import replace
from local_aws.engine.iceberg_write import placed_files, write_files
from local_aws.engine.scope import Field, Scope, Value
from local_aws.engine.tables import CATALOG
from local_aws.glue import Json
from local_aws.store import Store

if TYPE_CHECKING:
    from local_aws.engine.execute import Context

Finish = Callable[[QueryCompiler, str], str]


def merge(
    node: st.Merge, glue: Json, context: Context, compiler: QueryCompiler, finish: Finish
) -> int:
    """Run it; the number of rows updated, deleted and inserted."""
    return _Merge(node, glue, context, compiler, finish).run()


class _Merge:
    def __init__(
        self, node: st.Merge, glue: Json, context: Context, compiler: QueryCompiler, finish: Finish
    ) -> None:
        self.node, self.glue, self.c, self.compiler = node, glue, context, compiler
        self.finish = finish
        self.source = IcebergSource(context.store, glue)
        self.columns = self.source.columns
        self.everything = set(range(len(self.columns)))
        self.work = f"m_{secrets.token_hex(6)}"
        alias = node.alias or glue["Name"]
        qualifier = (alias,) if node.alias else (CATALOG, glue["DatabaseName"], glue["Name"])
        self.fields = [
            Field(name, kind, f"r0.c{i}", qualifier) for i, (name, kind) in enumerate(self.columns)
        ]

    def run(self) -> int:
        files = self.source.files()
        self.source.account(files, self.everything, self.c.run)
        joined, scope = self._joined(files)
        try:
            self.c.run.execute(self._changes(joined, scope))
            return self._apply(files)
        finally:
            self.c.run.execute(f"DROP TABLE IF EXISTS {self.work}")

    # ------------------------------------------------------------------ which rows, and how

    def _target(self, files: list[object]) -> str:
        if files:
            return self.source.select(
                files, self.everything, "filename AS f_, file_row_number AS n_"
            )
        nulls = ", ".join(
            f"CAST(NULL AS {kind.duck}) AS c{i}" for i, (_, kind) in enumerate(self.columns)
        )
        return (
            f"SELECT {nulls}, CAST(NULL AS VARCHAR) AS f_, CAST(NULL AS BIGINT) AS n_ WHERE false"
        )

    def _joined(self, files: list[object]) -> tuple[str, Scope]:
        target = f"({self._target(files)}) AS r0"
        if self.node.source is None:
            return target, Scope(self.fields)
        source = self.compiler.relation(self.node.source, None)
        scope = Scope(self.fields + source.fields)
        assert self.node.on is not None
        condition = self.compiler.condition(self.node.on, scope, "MERGE ON clause")
        inserts = any(not case.matched for case in self.node.cases)
        kind = "RIGHT" if inserts else "INNER"
        return f"{target} {kind} JOIN {source.sql} ON {condition}", scope

    def _changes(self, joined: str, scope: Scope) -> str:
        conditions, actions = [], []
        values: list[list[str]] = [[] for _ in self.columns]
        for number, case in enumerate(self.node.cases):
            present = "r0.f_ IS NOT NULL" if case.matched else "r0.f_ IS NULL"
            condition = present
            if case.condition is not None:
                own = self.compiler.condition(case.condition, scope, "MERGE condition")
                condition = f"({present} AND {own})"
            conditions.append(condition)
            actions.append(case.action)
            made = self._row(case, scope)
            for i, sql in enumerate(made):
                values[i].append(sql)
            del number
        whens = " ".join(f"WHEN {c} THEN {i}" for i, c in enumerate(conditions))
        items = [f"CASE {whens} END AS k_", "r0.f_ AS f_", "r0.n_ AS n_"]
        for i, (_, kind) in enumerate(self.columns):
            choices = " ".join(
                f"WHEN {c} THEN {v}" for c, v in zip(conditions, values[i], strict=True)
            )
            items.append(f"CAST(CASE {choices} END AS {kind.duck}) AS c{i}")
        sql = f"SELECT {', '.join(items)} FROM {joined}"
        chosen = f"SELECT * FROM ({sql}) WHERE k_ IS NOT NULL"
        return f"CREATE TEMP TABLE {self.work} AS {self.finish(self.compiler, chosen)}"

    def _row(self, case: st.MergeCase, scope: Scope) -> list[str]:
        """The columns of the row that a case makes."""
        if case.action == "delete":
            return [f.sql for f in self.fields]
        names = [name for name, _ in self.columns]
        given = case.columns or names
        for name in given:
            if name not in names:
                raise QueryError(
                    "COLUMN_NOT_FOUND",
                    f"The {case.action} target column '{name}' cannot be resolved",
                    self.node.table.at,
                )
        if len(set(given)) != len(given):
            raise QueryError("DUPLICATE_COLUMN_NAME", "A column is assigned twice")
        if len(given) != len(case.values):
            mismatch(
                f"Insert query has {len(case.values)} expression(s) but expected {len(given)}",
                self.node.table.at,
            )
        if not case.matched:
            scope = Scope(scope.fields[len(self.fields) :])
        made = [f.sql if case.matched else "NULL" for f in self.fields]
        for name, node in zip(given, case.values, strict=True):
            at = names.index(name)
            value, kind = self.compiler.expr(node, scope), self.columns[at][1]
            if not insertable(value.type, kind):
                what = "UPDATE" if case.matched else "MERGE insert"
                mismatch(
                    f"{what} table column types don't match for column {name}: "
                    f"Table: [{kind}], Expressions: [{value.type}]", node.at,
                )  # fmt: skip
            made[at] = coerce(Value(value.sql, value.type), kind).sql
        return made

    # ------------------------------------------------------------------ new files

    def _apply(self, files: list[object]) -> int:
        run, work = self.c.run, self.work
        total, changed, twice = run.evaluate(
            f"SELECT count(*), count(f_), count(f_) - count(DISTINCT (f_, n_)) FILTER "
            f"(WHERE f_ IS NOT NULL) FROM {work}"
        )[0]
        if twice and self.node.source is not None:
            raise QueryError(
                "MERGE_TARGET_ROW_MULTIPLE_MATCHES",
                "One MERGE target table row matched more than one source row",
            )
        if not total:
            return 0
        touched: list[object] = []
        if changed:
            paths = {row[0] for row in run.evaluate(
                f"SELECT DISTINCT f_ FROM {work} WHERE f_ IS NOT NULL"
            )}  # fmt: skip
            touched = [file for file in files if self._path(file) in paths]
        select = self._rows_after(touched)
        new = write_files(run, self.c.store, select, self.source.metadata)
        with placed_files(self.c.store, self.source.metadata, new, self.c.now) as placed:
            # Even if all rows are new, nobody may have committed: a row might be inserted twice.
            replace(self.c.store, self.c.catalog, self.glue, touched, placed)
        return int(total)

    def _path(self, file: object) -> str:
        info = self.c.store.get(*Store.parse_uri(file.file_path))  # type: ignore[attr-defined]
        return str(info.path) if info is not None else ""

    def _rows_after(self, touched: list[object]) -> str:
        names = ", ".join(f"c{i}" for i in range(len(self.columns)))
        kept_actions = [str(i) for i, case in enumerate(self.node.cases) if case.action != "delete"]
        parts = []
        if touched:
            listed = ", ".join(f"r0.c{i}" for i in range(len(self.columns)))
            parts.append(
                f"SELECT {listed} FROM ({self._target(touched)}) AS r0 "
                f"ANTI JOIN (SELECT f_, n_ FROM {self.work} WHERE f_ IS NOT NULL) AS w_ "
                "ON r0.f_ = w_.f_ AND r0.n_ = w_.n_"
            )
        if kept_actions:
            parts.append(f"SELECT {names} FROM {self.work} WHERE k_ IN ({', '.join(kept_actions)})")
        if not parts:
            return f"SELECT {names} FROM {self.work} WHERE false"
        return " UNION ALL ".join(parts)
