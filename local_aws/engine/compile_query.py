"""Queries: FROM, SELECT, set operations, WITH; each becomes one DuckDB SELECT.

Every relation is called ``r<n>`` and its columns ``c0, c1, ...``, so that no name of the user's
can mean something else to DuckDB. A table is left as a mark that ``Plan.sql`` replaces by its
scan, once it is known which columns are needed and which partitions can matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from local_aws.engine import tree
from local_aws.engine.casts import coerce
from local_aws.engine.compile_expression import ExpressionCompiler
from local_aws.engine.compile_relation import RelationCompiler
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.scope import Field, Scope, Value
from local_aws.engine.tables import Resolver, Source
from local_aws.engine.types import INTEGER, UNKNOWN, Type, common


@dataclass(slots=True)
class Column:
    """An output column; ``name`` is None when the query gives none."""

    name: str | None
    type: Type
    partition_of: int | None = None


@dataclass(slots=True)
class Rel:
    """A compiled query: a SELECT whose columns are called ``c0, c1, ...``."""

    sql: str
    columns: list[Column]


@dataclass(slots=True)
class TableUse:
    """One reference to a table."""

    source: Source
    alias: str
    used: set[int] = field(default_factory=set)
    constraints: list[str] = field(default_factory=list)


@dataclass(slots=True)
class CommonTable:
    """A name of WITH in scope."""

    sql_name: str
    columns: list[Column]


class QueryCompiler(RelationCompiler, ExpressionCompiler):
    """Compiles one statement's queries."""

    def __init__(
        self, resolver: Resolver, now: datetime, parameters: list[tree.Expr] | None = None
    ) -> None:
        self.resolver = resolver
        self.now = now
        self.parameters = parameters or []
        self.names = 0
        self.windows = []
        self.tables: dict[int, TableUse] = {}
        self.ctes: list[dict[str, CommonTable]] = [{}]
        self.touched: list[Field] | None = None
        self.view_depth = 0

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
        heads = [self._common_table(cte, parent) for cte in node.ctes]
        body = node.body
        while isinstance(body, tree.Nested) and not (node.order_by or node.limit or node.offset):
            inner = self.query(body.query, parent)
            self.ctes.pop()
            return Rel(_with(heads, inner.sql), inner.columns)
        if isinstance(body, tree.Select):
            rel = self._select(body, parent, node.order_by)
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

    def _count(self, node: tree.Expr) -> int:
        value = self.expr(node, Scope([]))
        if not isinstance(value.literal, int):
            raise QueryError("SYNTAX_ERROR", "LIMIT and OFFSET need an integer", node.at)
        return value.literal

    def _common_table(self, node: tree.CommonTable, parent: Scope | None) -> str:
        if len([c for c in self.ctes[-1] if c == node.name]) and (
            self.ctes[-1][node.name] is not self.ctes[-2].get(node.name)
        ):
            raise QueryError(
                "DUPLICATE_NAMED_QUERY", f"WITH query name '{node.name}' specified more than once",
                node.at,
            )
        rel = self.query(node.query, parent)
        columns = rename(rel.columns, node.columns, node.name, node.at)
        self.names += 1
        sql_name = f"w{self.names}"
        self.ctes[-1][node.name] = CommonTable(sql_name, columns)
        return f"{sql_name} AS ({rel.sql})"

    def _ordered(self, rel: Rel, order_by: list[tree.SortItem], parent: Scope | None) -> Rel:
        self.names += 1
        alias = f"r{self.names}"
        fields = [Field(c.name, c.type, f"{alias}.c{i}") for i, c in enumerate(rel.columns)]
        scope = Scope(fields, parent)
        keys = []
        for item in order_by:
            position = self._ordinal(item.expr, len(fields))
            value = (
                Value(fields[position].sql, fields[position].type)
                if position is not None
                else self.expr(item.expr, scope)
            )
            keys.append(self.sort_sql(value, item))
        listed = ", ".join(f"{alias}.c{i} AS c{i}" for i in range(len(fields)))
        order = f" ORDER BY {', '.join(keys)}" if keys else ""
        return Rel(f"SELECT {listed} FROM ({rel.sql}) AS {alias}{order}", rel.columns)

    def _ordinal(self, node: tree.Expr, count: int) -> int | None:
        if not isinstance(node, tree.Literal) or node.kind != "integer":
            return None
        position = int(node.value)
        if not 1 <= position <= count:
            raise QueryError(
                "INVALID_COLUMN_REFERENCE", f"ORDER BY position {position} is not in select list",
                node.at,
            )
        return position - 1

    # ------------------------------------------------------------------ bodies

    def _body(self, node: tree.QueryBody, parent: Scope | None) -> Rel:
        if isinstance(node, tree.Select):
            return self._select(node, parent, [])
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
        self.names += 1
        alias = f"r{self.names}"
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

    # ------------------------------------------------------------------ SELECT

    def _select(
        self, node: tree.Select, parent: Scope | None, order_by: list[tree.SortItem]
    ) -> Rel:
        from_sql, fields = "", []
        if node.relation is not None:
            relation = self.relation(node.relation, parent)
            from_sql, fields = f" FROM {relation.sql}", relation.fields
        scope = Scope(fields, parent)
        where = self._where(node.where, scope)
        self.windows.append(node.windows)
        items = self._items(node, scope)
        sql = "SELECT DISTINCT " if node.distinct else "SELECT "
        sql += ", ".join(f"{value.sql} AS c{i}" for i, (_, value) in enumerate(items))
        sql += from_sql + where + self._group_by(node, items, scope)
        if node.having is not None:
            sql += f" HAVING {self.condition(node.having, scope, 'HAVING clause')}"
        if order_by:
            sql += self._order_by(order_by, items, scope, distinct=node.distinct)
        self.windows.pop()
        self._check_distinct(node, items)
        return Rel(sql, [Column(name, value.type) for name, value in items])

    def _check_distinct(self, node: tree.Select, items: list[tuple[str | None, Value]]) -> None:
        for _, value in items:
            if node.distinct and value.type.name in ("json", "function"):
                mismatch(f"DISTINCT can only be applied to comparable types: {value.type}", node.at)

    def _where(self, node: tree.Expr | None, scope: Scope) -> str:
        if node is None:
            return ""
        parts = [self.conjunct(part, scope, "WHERE clause") for part in conjuncts(node)]
        return " WHERE " + " AND ".join(parts)

    def conjunct(self, node: tree.Expr, scope: Scope, what: str) -> str:
        """A condition; if it is only about one table's partition columns, its scan learns of it."""
        saved, self.touched = self.touched, []
        names, tables = self.names, len(self.tables)
        sql = self.condition(node, scope, what)
        touched, self.touched = self.touched, saved
        owners = {f.partition_of for f in touched}
        if len(owners) == 1 and None not in owners and len(self.tables) == tables:
            owner = owners.pop()
            if owner is not None and "SELECT" not in sql:
                self.tables[owner].constraints.append(sql)
        del names
        return sql

    def _items(self, node: tree.Select, scope: Scope) -> list[tuple[str | None, Value]]:
        items: list[tuple[str | None, Value]] = []
        for item in node.items:
            if isinstance(item.expr, tree.Star):
                items += self._star_items(item.expr, scope, node)
                continue
            name = item.alias
            if name is None and isinstance(item.expr, tree.Ident | tree.Deref):
                name = item.expr.name
            items.append((name, self.expr(item.expr, scope)))
        return items

    def _star_items(
        self, star: tree.Star, scope: Scope, node: tree.Select
    ) -> list[tuple[str | None, Value]]:
        if star.qualifier is None:
            if node.relation is None:
                raise QueryError(
                    "COLUMN_NOT_FOUND", "SELECT * not allowed in queries without FROM clause",
                    star.at,
                )
            found = scope.fields
        else:
            parts = _name_parts(star.qualifier)
            found = scope.qualified(parts)
            if not found:
                return self._row_items(star, scope)
        found = [f for f in found if not (f.name or "").startswith("$")]
        names: list[str | None] = [f.name for f in found]
        if star.aliases:
            if len(star.aliases) != len(found):
                mismatch("Column alias list has a different number of entries", star.at)
            names = list(star.aliases)
        return [
            (name, Value(self.touch(f).sql, f.type)) for name, f in zip(names, found, strict=True)
        ]

    def _row_items(self, star: tree.Star, scope: Scope) -> list[tuple[str | None, Value]]:
        assert star.qualifier is not None
        value = self.expr(star.qualifier, scope)
        if value.type.name != "row":
            mismatch(f"SELECT .* needs a table or a row, not {value.type}", star.at)
        names = star.aliases or list(value.type.fields)
        return [
            (name, Value(f"struct_extract({value.sql}, '{struct}')", kind))
            for name, struct, kind in zip(
                names, value.type.struct_names, value.type.of, strict=True
            )
        ]

    def touch(self, found: Field) -> Field:
        """Note the use of a column, also for ``conjunct``."""
        if self.touched is not None:
            self.touched.append(found)
        return found.touch()

    def _group_by(
        self, node: tree.Select, items: list[tuple[str | None, Value]], scope: Scope
    ) -> str:
        if not node.group_by:
            return ""
        if node.group_distinct:
            refuse("GROUP BY DISTINCT is not supported here", node.at)
        parts = []
        for element in node.group_by:
            sets = [
                [self._group_key(e, items, scope) for e in exprs] for exprs in element.sets
            ]
            if element.kind == "simple":
                parts += sets[0] or ["()"]
            else:
                listed = ", ".join(f"({', '.join(keys)})" for keys in sets)
                parts.append(f"GROUPING SETS ({listed})")
        return f" GROUP BY {', '.join(parts)}"

    def _group_key(
        self, node: tree.Expr, items: list[tuple[str | None, Value]], scope: Scope
    ) -> str:
        if isinstance(node, tree.Literal) and node.kind == "integer":
            position = int(node.value)
            if not 1 <= position <= len(items):
                raise QueryError(
                    "INVALID_COLUMN_REFERENCE",
                    f"GROUP BY position {position} is not in select list", node.at,
                )  # fmt: skip
            value = items[position - 1][1]
        else:
            value = self.expr(node, scope)
        if value.type.name in ("json", "function"):
            mismatch(f"{value.type} is not comparable, and therefore cannot be grouped", node.at)
        return value.sql if value.sql != "NULL" else "CAST(NULL AS INTEGER)"

    def _order_by(
        self, order_by: list[tree.SortItem], items: list[tuple[str | None, Value]], scope: Scope,
        *, distinct: bool,
    ) -> str:  # fmt: skip
        outputs: dict[str, Value] = {}
        doubled: set[str] = set()
        for name, value in items:
            if name is not None:
                if name in outputs and outputs[name].sql != value.sql:
                    doubled.add(name)
                outputs[name] = value
        inner = Scope(scope.fields, scope.parent, outputs)
        keys = []
        for item in order_by:
            if isinstance(item.expr, tree.Ident) and item.expr.name in doubled:
                raise QueryError(
                    "AMBIGUOUS_NAME", f"Column '{item.expr.name}' is ambiguous", item.at
                )
            position = self._ordinal(item.expr, len(items))
            value = items[position][1] if position is not None else self.expr(item.expr, inner)
            same = [i for i, (_, v) in enumerate(items) if v.sql == value.sql]
            if distinct and not same:
                raise QueryError(
                    "EXPRESSION_NOT_IN_DISTINCT",
                    "For SELECT DISTINCT, ORDER BY expressions must appear in select list", item.at,
                )  # fmt: skip
            if same and value.type.name != "timestamptz" and value.type.is_orderable:
                way = "DESC" if item.descending else "ASC"
                nulls = "FIRST" if item.nulls_first else "LAST"
                keys.append(f"{same[0] + 1} {way} NULLS {nulls}")
            else:
                keys.append(self.sort_sql(value, item))
        return f" ORDER BY {', '.join(keys)}"

    # ------------------------------------------------------------------ the whole statement

    def finish(self, sql: str, scan: Callable[[TableUse], str]) -> str:
        """Replace the marks of tables by their scans."""
        for number, use in self.tables.items():
            mark = f"\x00{number}\x00"
            if mark in sql:
                sql = sql.replace(mark, scan(use))
        return sql


def conjuncts(node: tree.Expr) -> list[tree.Expr]:
    """The parts of a chain of ANDs."""
    if isinstance(node, tree.Binary) and node.op == "AND":
        return [*conjuncts(node.left), *conjuncts(node.right)]
    return [node]


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


def _name_parts(node: tree.Expr) -> list[str]:
    if isinstance(node, tree.Ident):
        return [node.name]
    if isinstance(node, tree.Deref):
        return [*_name_parts(node.base), node.name]
    return [""]


def _with(heads: list[str], sql: str) -> str:
    return f"WITH {', '.join(heads)} {sql}" if heads else sql


__all__ = ["INTEGER", "Column", "QueryCompiler", "Rel", "TableUse"]
