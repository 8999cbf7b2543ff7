"""Queries: FROM, SELECT, set operations, WITH; each becomes one DuckDB SELECT.

Every relation is called ``r<n>`` and its columns ``c0, c1, ...``, so that no name of the user's
can mean something else to DuckDB. A table is left as a mark that ``Plan.sql`` replaces by its
scan, once it is known which columns are needed and which partitions can matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from local_aws.engine import tree
from local_aws.engine.casts import coerce
from local_aws.engine.compile_select import SelectCompiler
from local_aws.engine.compiler import Column, CommonTable, Rel, TableUse
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.pushdown import INLINE
from local_aws.engine.recursion import (
    DEPTH,
    LIMIT_MESSAGE,
    recursion_of,
    type_mismatch,
)
from local_aws.engine.scope import Field, Scope, Value
from local_aws.engine.types import UNKNOWN, Type, coerces, common, quote_text


class QueryCompiler(SelectCompiler):
    """Compiles one statement's queries."""

    # ------------------------------------------------------------------ queries

    def subquery(self, query: tree.Query, scope: Scope) -> tuple[str, list[Type]]:
        """A query inside an expression."""
        saved, self.touched = self.touched, None
        rel = self.query(query, scope)
        self.touched = saved
        return rel.sql, [column.type for column in rel.columns]

    def query(self, node: tree.Query, parent: Scope | None = None) -> Rel:
        """One query with all around its body."""
        self.ctes.append(dict(self.ctes[-1]))
        heads = [self._common_table(cte, parent, node.recursive) for cte in node.ctes]
        body = node.body
        while isinstance(body, tree.Nested) and not (node.order_by or node.limit or node.offset):
            inner = self.query(body.query, parent)
            self.ctes.pop()
            return Rel(_with(heads, inner.sql), inner.columns)
        if node.ties:
            rel = self._with_ties(node, parent)
            self.ctes.pop()
            return Rel(_with(heads, rel.sql), rel.columns)
        if isinstance(body, tree.Select):
            rel = self.select(body, parent, node.order_by)
        else:
            rel = self._body(body, parent)
            if node.order_by or node.limit is not None or node.offset is not None:
                rel = self._ordered(rel, node.order_by, parent)
        sql = rel.sql
        if node.limit is not None:
            sql += f" LIMIT {self._count(node.limit)}"
        if node.offset is not None:
            sql += f" OFFSET {self._count(node.offset)}"
        self.ctes.pop()
        return Rel(_with(heads, sql), rel.columns)

    def _with_ties(self, node: tree.Query, parent: Scope | None) -> Rel:
        """FETCH FIRST n ROWS WITH TIES, of a query that is sorted by what it gives."""
        if not node.order_by or node.limit is None:
            raise QueryError(
                "MISSING_ORDER_BY", "FETCH FIRST WITH TIES clause requires ORDER BY", node.at
            )
        rel = self._body(node.body, parent)
        alias = self.next_name("r")
        try:
            keys = ", ".join(self._keys(rel, node.order_by, alias, parent))
        except QueryError as error:
            if error.name != "COLUMN_NOT_FOUND":
                raise
            refuse("FETCH FIRST WITH TIES by other than output columns is not supported", node.at)
        skipped = self._count(node.offset) if node.offset is not None else 0
        listed = ", ".join(f"{alias}.c{i} AS c{i}" for i in range(len(rel.columns)))
        numbered = (
            f"SELECT {listed}, rank() OVER (ORDER BY {keys}) AS k_, "
            f"row_number() OVER (ORDER BY {keys}) AS n_ FROM ({rel.sql}) AS {alias}"
        )
        outer, names = self.next_name("r"), ", ".join(f"c{i}" for i in range(len(rel.columns)))
        return Rel(
            f"SELECT {names} FROM ({numbered}) AS {outer} "
            f"WHERE k_ <= {skipped + self._count(node.limit)} AND n_ > {skipped} ORDER BY n_",
            rel.columns,
        )

    def _count(self, node: tree.Expr) -> int:
        value = self.expr(node, Scope([]))
        if not isinstance(value.literal, int):
            raise QueryError("SYNTAX_ERROR", "LIMIT and OFFSET need an integer", node.at)
        return value.literal

    def _common_table(self, node: tree.CommonTable, parent: Scope | None, recursive: bool) -> str:
        if len([c for c in self.ctes[-1] if c == node.name]) and (
            self.ctes[-1][node.name] is not self.ctes[-2].get(node.name)
        ):
            raise QueryError(
                "DUPLICATE_NAMED_QUERY",
                f"WITH query name '{node.name}' specified more than once",
                node.at,
            )
        if recursive and (union := recursion_of(node)) is not None:
            return self._recursion(node, union, parent)
        rel = self.query(node.query, parent)
        columns = rename(rel.columns, node.columns, node.name, node.at)
        sql_name = self.next_name("w")
        self.ctes[-1][node.name] = CommonTable(sql_name, columns)
        return f"{sql_name} AS {INLINE}({rel.sql})"

    def _recursion(
        self, node: tree.CommonTable, union: tree.SetOperation, parent: Scope | None
    ) -> str:
        """Base, then the step once for each depth; what the step after the last gives is too
        much."""
        base = self._body(union.left, parent)
        columns = rename(base.columns, node.columns, node.name, node.at)
        names = [self.next_name("w")]
        heads = [f"{names[0]} AS {INLINE}({base.sql})"]
        for _ in range(DEPTH + 1):
            self.ctes[-1][node.name] = CommonTable(names[-1], columns)
            step = self._body(union.right, parent)
            if len(step.columns) != len(columns):
                mismatch(
                    "base and step relations of recursion have different number of fields: "
                    f"{len(columns)}, {len(step.columns)}", union.at,
                )  # fmt: skip
            for i, (have, want) in enumerate(zip(step.columns, columns, strict=True)):
                if not coerces(have.type, want.type):
                    type_mismatch(str(have.type), str(want.type), i, union.at)
            names.append(self.next_name("w"))
            heads.append(f"{names[-1]} AS {INLINE}({self._as_types(step, columns)})")
        parts = [f"SELECT * FROM {name}" for name in names[:-1]]
        alias, nulls = self.next_name("r"), [f"CAST(NULL AS {c.type.duck})" for c in columns]
        # A cast that fails, and no macro that gives null: the optimizer would know the null.
        failure = (
            f"CAST({quote_text(f'LOCAL_FAIL|NOT_SUPPORTED|{LIMIT_MESSAGE}|')} || n AS BOOLEAN)"
        )
        parts.append(
            f"SELECT {', '.join(nulls)} FROM (SELECT count(*) AS n FROM {names[-1]}) AS {alias} "
            f"WHERE CASE WHEN n > 0 THEN {failure} ELSE false END"
        )
        joined = " UNION ALL ".join(parts)
        if not union.all:
            joined = f"SELECT DISTINCT * FROM ({joined}) AS {self.next_name('r')}"
        name = self.next_name("w")
        self.ctes[-1][node.name] = CommonTable(name, columns)
        return ", ".join([*heads, f"{name} AS {INLINE}({joined})"])

    def _keys(
        self, rel: Rel, order_by: list[tree.SortItem], alias: str, parent: Scope | None
    ) -> list[str]:
        """Sort keys over the columns of ``rel``, which is called ``alias``."""
        fields = [Field(c.name, c.type, f"{alias}.c{i}") for i, c in enumerate(rel.columns)]
        scope = Scope(fields, parent)
        keys = []
        for item in order_by:
            position = self.ordinal(item.expr, len(fields))
            value = (
                Value(fields[position].sql, fields[position].type)
                if position is not None
                else self.expr(item.expr, scope)
            )
            keys.append(self.sort_sql(value, item))
        return keys

    def _ordered(self, rel: Rel, order_by: list[tree.SortItem], parent: Scope | None) -> Rel:
        alias = self.next_name("r")
        keys = self._keys(rel, order_by, alias, parent)
        listed = ", ".join(f"{alias}.c{i} AS c{i}" for i in range(len(rel.columns)))
        order = f" ORDER BY {', '.join(keys)}" if keys else ""
        return Rel(f"SELECT {listed} FROM ({rel.sql}) AS {alias}{order}", rel.columns)

    # ------------------------------------------------------------------ bodies

    def _body(self, node: tree.QueryBody, parent: Scope | None) -> Rel:
        if isinstance(node, tree.Select):
            return self.select(node, parent, [])
        if isinstance(node, tree.Values):
            return self._values(node, parent)
        if isinstance(node, tree.Nested):
            return self.query(node.query, parent)
        assert isinstance(node, tree.SetOperation)
        left, right = self._body(node.left, parent), self._body(node.right, parent)
        name = node.op + (" ALL" if node.all else "")
        if len(left.columns) != len(right.columns):
            mismatch(
                f"{node.op} query has different number of fields: {len(left.columns)}, "
                f"{len(right.columns)}", node.at,
            )  # fmt: skip
        columns = []
        for i, (a, b) in enumerate(zip(left.columns, right.columns, strict=True)):
            kind = common(a.type, b.type)
            if kind is None:
                mismatch(
                    f"column {i + 1} in {node.op} query has incompatible types: {a.type}, {b.type}",
                    node.at,
                )
            columns.append(Column(a.name, kind))
        sides = (self._as_types(side, columns) for side in (left, right))
        return Rel(f" {name} ".join(f"({sql})" for sql in sides), columns)

    def _as_types(self, rel: Rel, columns: list[Column]) -> str:
        alias = self.next_name("r")
        items = ", ".join(
            f"{coerce(Value(f'{alias}.c{i}', have.type), want.type).sql} AS c{i}"
            for i, (have, want) in enumerate(zip(rel.columns, columns, strict=True))
        )
        return f"SELECT {items} FROM ({rel.sql}) AS {alias}"

    def _values(self, node: tree.Values, parent: Scope | None) -> Rel:
        scope = Scope([], parent)
        rows = [
            [self.expr(e, scope) for e in (r.items if isinstance(r, tree.RowLiteral) else [r])]
            for r in node.rows
        ]
        if len({len(row) for row in rows}) != 1:
            mismatch("Values rows have mismatched sizes", node.at)
        kinds = []
        for i in range(len(rows[0])):
            kind: Type | None = UNKNOWN
            for row in rows:
                kind = common(kind, row[i].type) if kind is not None else None
            if kind is None:
                shown = ", ".join(str(row[i].type) for row in rows)
                mismatch(f"Values rows have mismatched types: {shown}", node.at)
            kinds.append(kind)
        listed = ", ".join(
            "(" + ", ".join(coerce(v, k).sql for v, k in zip(row, kinds, strict=True)) + ")"
            for row in rows
        )
        self.names += 1
        names = ", ".join(f"c{i}" for i in range(len(kinds)))
        sql = f"SELECT {names} FROM (VALUES {listed}) AS r{self.names}({names})"
        return Rel(sql, [Column(None, kind) for kind in kinds])

    # ------------------------------------------------------------------ the whole statement

    def finish(self, sql: str, scan: Callable[[int, TableUse], str]) -> str:
        """Replace the marks of tables by their scans."""
        for number, use in self.tables.items():
            mark = f"\x00{number}\x00"
            if mark in sql:
                sql = sql.replace(mark, scan(number, use))
        return sql.replace(INLINE, "")


def rename(columns: list[Column], names: list[str], what: str, at: int) -> list[Column]:
    """Columns under the names of an alias list."""
    if not names:
        return columns
    if len(names) != len(columns):
        mismatch(
            f"Column alias list has {len(names)} entries but '{what}' has {len(columns)} columns "
            "available", at,
        )  # fmt: skip
    return [replace(column, name=name) for column, name in zip(columns, names, strict=True)]


def _with(heads: list[str], sql: str) -> str:
    return f"WITH {', '.join(heads)} {sql}" if heads else sql
