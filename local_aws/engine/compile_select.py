"""SELECT: items, WHERE, GROUP BY, HAVING, ORDER BY."""

from __future__ import annotations

from typing import TypeGuard

from local_aws.engine import tree
from local_aws.engine.compile_relation import RelationCompiler, conjuncts
from local_aws.engine.compiler import Column, Rel
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.scope import Scope, Value


class SelectCompiler(RelationCompiler):
    """Compiles one SELECT."""

    def select(self, node: tree.Select, parent: Scope | None, order_by: list[tree.SortItem]) -> Rel:
        """One SELECT, with the ORDER BY of the query around it."""
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
            if node.distinct and value.type.name == "function":
                mismatch(f"DISTINCT can only be applied to comparable types: {value.type}", node.at)

    def _where(self, node: tree.Expr | None, scope: Scope) -> str:
        if node is None:
            return ""
        parts = [self.conjunct(part, scope, "WHERE clause") for part in conjuncts(node)]
        return " WHERE " + " AND ".join(parts)

    def conjunct(self, node: tree.Expr, scope: Scope, what: str) -> str:
        """A condition; if it is only about one table's partition columns, its scan learns of it."""
        saved, self.touched = self.touched, []
        tables = len(self.tables)
        sql = self.condition(node, scope, what)
        touched, self.touched = self.touched, saved
        owners = {f.partition_of for f in touched}
        if len(owners) == 1 and None not in owners and len(self.tables) == tables:
            owner = owners.pop()
            if owner is not None and "SELECT" not in sql:
                self.tables[owner].constraints.append(sql)
        return sql

    def _items(self, node: tree.Select, scope: Scope) -> list[tuple[str | None, Value]]:
        items: list[tuple[str | None, Value]] = []
        for item in node.items:
            if isinstance(item.expr, tree.Star):
                items += self._star_items(item.expr, scope, node)
                continue
            name = item.alias
            if name is None and _is_path(item.expr):
                name = item.expr.name
            items.append((name, self.expr(item.expr, scope)))
        return items

    def _star_items(
        self, star: tree.Star, scope: Scope, node: tree.Select
    ) -> list[tuple[str | None, Value]]:
        if star.qualifier is None:
            if node.relation is None:
                raise QueryError(
                    "COLUMN_NOT_FOUND",
                    "SELECT * not allowed in queries without FROM clause",
                    star.at,
                )
            found = scope.fields
        else:
            parts = _name_parts(star.qualifier)
            found = scope.qualified(parts)
            if not found and _is_path(star.qualifier):
                what = ".".join(parts)
                raise QueryError("TABLE_NOT_FOUND", f"Unable to resolve reference {what}", star.at)
            if not found:
                return self._row_items(star, scope)
        found = [f for f in found if not f.hidden]
        names: list[str | None] = [f.name for f in found]
        if star.aliases:
            if len(star.aliases) != len(found):
                raise QueryError(
                    "MISMATCHED_COLUMN_ALIASES",
                    "Column alias list has a different number of entries", star.at,
                )  # fmt: skip
            names = list(star.aliases)
        return [
            (name, Value(self.touch(f).sql, f.type)) for name, f in zip(names, found, strict=True)
        ]

    def _row_items(self, star: tree.Star, scope: Scope) -> list[tuple[str | None, Value]]:
        assert star.qualifier is not None
        value = self.expr(star.qualifier, scope)
        if value.type.name != "row":
            mismatch(f"SELECT .* needs a table or a row, not {value.type}", star.at)
        names: list[str | None] = list(star.aliases) or list(value.type.fields)
        return [
            (name, Value(f"struct_extract({value.sql}, '{struct}')", kind))
            for name, struct, kind in zip(
                names, value.type.struct_names, value.type.of, strict=True
            )
        ]

    def _group_by(
        self, node: tree.Select, items: list[tuple[str | None, Value]], scope: Scope
    ) -> str:
        if not node.group_by:
            return ""
        if node.group_distinct:
            refuse("GROUP BY DISTINCT is not supported here", node.at)
        parts = []
        for element in node.group_by:
            sets = [[self._group_key(e, items, scope) for e in exprs] for exprs in element.sets]
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
        if value.type.name == "function":
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
            position = self.ordinal(item.expr, len(items))
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

    def ordinal(self, node: tree.Expr, count: int) -> int | None:
        """The column that an integer in ORDER BY means."""
        if not isinstance(node, tree.Literal) or node.kind != "integer":
            return None
        position = int(node.value)
        if not 1 <= position <= count:
            raise QueryError(
                "INVALID_COLUMN_REFERENCE",
                f"ORDER BY position {position} is not in select list",
                node.at,
            )
        return position - 1


def _is_path(node: tree.Expr) -> TypeGuard[tree.Ident | tree.Deref]:
    """Whether it is names and dots only; a field of anything else has no name of its own."""
    while isinstance(node, tree.Deref):
        node = node.base
    return isinstance(node, tree.Ident)


def _name_parts(node: tree.Expr) -> list[str]:
    if isinstance(node, tree.Ident):
        return [node.name]
    if isinstance(node, tree.Deref):
        return [*_name_parts(node.base), node.name]
    return [""]
