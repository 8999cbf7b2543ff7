"""MERGE, UPDATE and DELETE on Iceberg tables, as copy-on-write.

1. Evaluate the source, once; its keys and the conditions say which files of the target can matter.
2. Join those files' rows (known by file and position) with it, and find for each row which WHEN
   applies and what it makes of the row. Only this reading counts as scanned.
3. Rewrite the files that hold a changed row, without the deleted and with the updated rows; add
   the inserted rows.
4. Commit: old files out, new files in, if nobody else committed meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace as changed
from functools import partial
from typing import TYPE_CHECKING, Any

from local_aws.engine import statements as st
from local_aws.engine import tree
from local_aws.engine.casts import coerce
from local_aws.engine.compile_query import QueryCompiler
from local_aws.engine.compile_relation import Compiled, conjuncts
from local_aws.engine.compiler import TableUse
from local_aws.engine.errors import QueryError, mismatch
from local_aws.engine.hive_tables import insertable
from local_aws.engine.iceberg_commit import replace
from local_aws.engine.iceberg_source import IcebergSource
from local_aws.engine.iceberg_write import placed_files, write_files
from local_aws.engine.pushdown import UNPLANNED
from local_aws.engine.scope import Field, Scope, Value
from local_aws.engine.tables import CATALOG
from local_aws.glue import Json

if TYPE_CHECKING:
    from local_aws.engine.execute import Context

Finish = Callable[[QueryCompiler, str], str]

FILE_BITS = 40
"""A row of the target is known by one number: its file's above these bits, its own below."""

KEY_VALUES = 1000
"""So many different keys are compared with a file one by one; of more, only the ends."""


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
        self.target = IcebergSource(context.store, glue)
        self.columns = self.target.columns
        self.needed: set[int] = set()
        """Columns of the target that decide what happens, or that updates keep or use."""

        tag = secrets.token_hex(6)
        self.work, self.rows = f"m_{tag}", f"s_{tag}"
        alias = node.alias or glue["Name"]
        qualifier = (alias,) if node.alias else (CATALOG, glue["DatabaseName"], glue["Name"])
        self.fields = [
            Field(name, kind, f"r0.c{i}", qualifier, partial(self.needed.add, i))
            for i, (name, kind) in enumerate(self.columns)
        ]

    def run(self) -> int:
        source, copies, used = self._source()
        scope = Scope(self.fields + copies)
        on = None
        if self.node.on is not None:
            on = self.compiler.condition(self.node.on, scope, "MERGE ON clause")
        items = self._items(scope, copies)
        run = self.c.run
        try:
            if source is not None and not self._evaluate(source, copies, used):
                return 0
            files = self._files(scope, copies)
            self.target.account(files, self.needed, run)
            sql = f"SELECT {', '.join(items)} FROM {self._joined(files, source, on)}"
            chosen = self.finish(self.compiler, f"SELECT * FROM ({sql}) WHERE k_ IS NOT NULL")
            run.execute(f"CREATE TEMP TABLE {self.work} AS {chosen}")
            return self._apply(files)
        finally:
            for name in (self.work, self.rows):
                run.evaluate(f"DROP TABLE IF EXISTS {name}")

    # ------------------------------------------------------------------ the source

    def _source(self) -> tuple[Compiled | None, list[Field], set[int]]:
        """The source, its fields as columns of a table of our own, and which of them are used."""
        used: set[int] = set()
        if self.node.source is None:
            return None, [], used
        source = self.compiler.relation(self.node.source, None)
        self.alias = self.compiler.next_name("r")

        def use(i: int, field: Field) -> None:
            used.add(i)
            field.touch()

        copies = [
            changed(f, sql=f"{self.alias}.c{i}", use=partial(use, i, f), partition_of=None)
            for i, f in enumerate(source.fields)
        ]
        return source, copies, used

    def _evaluate(self, source: Compiled, copies: list[Field], used: set[int]) -> int:
        """Compute the source's rows; their number."""
        items = ", ".join(f"{source.fields[i].sql} AS c{i}" for i in sorted(used)) or "1 AS x"
        sql = self.finish(self.compiler, f"SELECT {items} FROM {source.sql}")
        self.c.run.execute(f"CREATE TEMP TABLE {self.rows} AS {sql}")
        return int(self.c.run.evaluate(f"SELECT count(*) FROM {self.rows}")[0][0])

    # ------------------------------------------------------------------ files of the target

    def _files(self, scope: Scope, copies: list[Field]) -> list[Any]:
        """The files that may hold a row which the statement can match."""
        files = self.target.files()
        condition = self.node.on if self.node.source is not None else self.node.cases[0].condition
        if condition is None:
            return files
        static = []
        for part in conjuncts(condition):
            if (sql := self._about(part, scope, self.fields)) is not None:
                static.append(sql)
            if files and isinstance(part, tree.Binary) and part.op == "=":
                files = self._with_keys(files, part, scope, copies)
        if static:
            plan = f"SELECT r0.c0 FROM (\x000\x00) AS r0 WHERE {' AND '.join(static)}"
            use = TableUse(self.target, "r0", used={0})
            scans = self.c.run.planner.plan(plan, {0: use}).get(0, UNPLANNED)
            files = self.target.matching(files, scans[0]) if scans else []
        return files

    def _about(self, node: tree.Expr, scope: Scope, fields: list[Field]) -> str | None:
        """SQL of an expression that is only about these fields; else None."""
        value, touched = self._watched(node, scope)
        about = touched and all(any(f is own for own in fields) for f in touched)
        return value.sql if about and "SELECT" not in value.sql else None

    def _watched(self, node: tree.Expr, scope: Scope) -> tuple[Value, list[Field]]:
        saved, self.compiler.touched = self.compiler.touched, []
        value = self.compiler.expr(node, scope)
        touched, self.compiler.touched = self.compiler.touched, saved
        return value, touched

    def _with_keys(
        self, files: list[Any], node: tree.Binary, scope: Scope, copies: list[Field]
    ) -> list[Any]:
        """What is left by ``target.column = source's expression``."""
        for one, other in ((node.left, node.right), (node.right, node.left)):
            column, touched = self._watched(one, scope)
            at = next((i for i, f in enumerate(self.fields) if [f] == touched), None)
            key = self._about(other, scope, copies)
            if at is None or key is None or column.sql != self.fields[at].sql:
                continue
            kind = _bounded(column.type.name)
            if kind is None or kind != _bounded(self._watched(other, scope)[0].type.name):
                continue
            try:
                ranges = self._keys(key)
            except (QueryError, OverflowError, ValueError):
                return files  # a key that cannot be computed, perhaps in rows that do not count
            return self.target.holding(files, at, ranges)
        return files

    def _keys(self, key: str) -> list[tuple[Any, Any]]:
        """Ranges in which all of the source's keys lie."""
        rows = f"FROM {self.rows} AS {self.alias} WHERE {key} IS NOT NULL"
        found = self.c.run.evaluate(f"SELECT DISTINCT {key} {rows} LIMIT {KEY_VALUES + 1}")
        if len(found) <= KEY_VALUES:
            return [(value, value) for (value,) in found]
        ((low, high),) = self.c.run.evaluate(f"SELECT min({key}), max({key}) {rows}")
        return [(low, high)]

    # ------------------------------------------------------------------ which rows, and how

    def _read(self, files: list[Any], used: set[int], numbers: list[int]) -> str:
        """The rows of files with their number ``x_``."""
        if files:
            listed = ", ".join(map(str, numbers))
            file = f"CAST([{listed}] AS BIGINT[])[CAST(file_index AS BIGINT) + 1]"
            return self.target.select(
                files, used, f"({file} << {FILE_BITS}) | file_row_number AS x_"
            )
        nulls = "".join(f"CAST(NULL AS {self.columns[i][1].duck}) AS c{i}, " for i in sorted(used))
        return f"SELECT {nulls}CAST(NULL AS BIGINT) AS x_ WHERE false"

    def _joined(self, files: list[Any], source: Compiled | None, on: str | None) -> str:
        target = f"({self._read(files, self.needed, list(range(len(files))))}) AS r0"
        if source is None:
            return target
        inserts = any(not case.matched for case in self.node.cases)
        kind = "RIGHT" if inserts else "INNER"
        return f"{target} {kind} JOIN {self.rows} AS {self.alias} ON {on}"

    def _items(self, scope: Scope, copies: list[Field]) -> list[str]:
        conditions = []
        values: list[list[str]] = [[] for _ in self.columns]
        for case in self.node.cases:
            condition = "r0.x_ IS NOT NULL" if case.matched else "r0.x_ IS NULL"
            if case.condition is not None:
                own = self.compiler.condition(case.condition, scope, "MERGE condition")
                condition = f"({condition} AND {own})"
            conditions.append(condition)
            for i, sql in enumerate(self._row(case, scope, copies)):
                values[i].append(sql)
        whens = " ".join(f"WHEN {c} THEN {i}" for i, c in enumerate(conditions))
        items = [f"CASE {whens} END AS k_", "r0.x_"]
        for i, (_, kind) in enumerate(self.columns):
            choices = " ".join(
                f"WHEN {c} THEN {v}" for c, v in zip(conditions, values[i], strict=True)
            )
            items.append(f"CAST(CASE {choices} END AS {kind.duck}) AS c{i}")
        return items

    def _row(self, case: st.MergeCase, scope: Scope, copies: list[Field]) -> list[str]:
        """The columns of the row that a case makes."""
        if case.action == "delete":
            return ["NULL" for _ in self.fields]
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
            scope = Scope(copies)
        made: list[str] = [
            f.touch().sql if case.matched and f.name not in given else "NULL" for f in self.fields
        ]
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

    def _apply(self, files: list[Any]) -> int:
        run, work = self.c.run, self.work
        total, rows, different = run.evaluate(
            f"SELECT count(*), count(x_), count(DISTINCT x_) FROM {work}"
        )[0]
        if rows != different:
            raise QueryError(
                "MERGE_TARGET_ROW_MULTIPLE_MATCHES",
                "One MERGE target table row matched more than one source row",
            )
        if not total:
            return 0
        found = run.evaluate(
            f"SELECT DISTINCT x_ >> {FILE_BITS} FROM {work} WHERE x_ IS NOT NULL ORDER BY 1"
        )
        touched = [number for (number,) in found]
        old = [files[number] for number in touched]
        kept = self._kept(old, touched)
        elsewhere = [sql for partition, sql in kept if partition is None]
        new = write_files(
            run, self.c.store, " UNION ALL ".join([self._made(), *elsewhere]),
            self.target.metadata, kept=[k for k in kept if k[0] is not None], stored=not elsewhere,
        )  # fmt: skip
        with placed_files(self.c.store, self.target.metadata, new, self.c.now) as placed:
            # Even if all rows are new, nobody may have committed: a row might be inserted twice.
            replace(self.c.store, self.c.catalog, self.glue, old, placed)
        return int(total)

    def _made(self) -> str:
        """The updated and inserted rows."""
        kept = [str(i) for i, case in enumerate(self.node.cases) if case.action != "delete"]
        condition = f"k_ IN ({', '.join(kept)})" if kept else "false"
        return f"SELECT {self._names()} FROM {self.work} WHERE {condition}"

    def _kept(self, files: list[Any], numbers: list[int]) -> list[tuple[Any, str]]:
        """The other rows of files that are rewritten: by partition, unless that changed since."""
        spec = self.target.metadata.default_spec_id
        groups: dict[Any, list[int]] = {}
        for number, file in zip(numbers, files, strict=True):
            partition = file.partition if file.spec_id == spec else None
            groups.setdefault(partition, []).append(number)
        found = dict(zip(numbers, files, strict=True))
        everything = set(range(len(self.columns)))
        return [
            (
                partition,
                f"SELECT {self._names()} FROM "
                f"({self._read([found[n] for n in members], everything, members)}) AS r0 "
                f"ANTI JOIN (SELECT x_ FROM {self.work} WHERE x_ >> {FILE_BITS} "
                f"IN ({', '.join(map(str, members))})) AS w_ ON r0.x_ = w_.x_",
            )
            for partition, members in groups.items()
        ]

    def _names(self) -> str:
        return ", ".join(f"c{i}" for i in range(len(self.columns)))


def _bounded(kind: str) -> str | None:
    """How a type's values are compared with bounds; None if they are not."""
    if kind in ("tinyint", "smallint", "integer", "bigint"):
        return "integer"
    return kind if kind in ("date", "timestamp", "varchar") else None
