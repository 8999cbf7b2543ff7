"""FROM: tables, views, subqueries, joins and UNNEST."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from local_aws.engine import tree
from local_aws.engine.casts import coerce
from local_aws.engine.compile_expression import ExpressionCompiler
from local_aws.engine.compiler import Column, TableUse
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.parse_query import QueryParser
from local_aws.engine.scope import Field, Scope, Value
from local_aws.engine.types import BIGINT, Type, common


@dataclass(slots=True)
class Compiled:
    """A relation: what stands after FROM, and its columns."""

    sql: str
    fields: list[Field]


class RelationCompiler(ExpressionCompiler):
    """Compiles relations."""

    def relation(self, node: tree.Relation, parent: Scope | None) -> Compiled:
        """One item of FROM."""
        if isinstance(node, tree.Aliased):
            return self._aliased(node, parent)
        if isinstance(node, tree.TableRef):
            return self._table(node, parent)
        if isinstance(node, tree.SubqueryRef):
            rel = self.query(node.query, parent)
            return self._derived(f"({rel.sql})", rel.columns, ())
        if isinstance(node, tree.Join):
            return self._join(node, parent)
        if isinstance(node, tree.Sampled):
            return self._sampled(node, parent)
        assert isinstance(node, tree.Unnest)
        return self._unnested(Compiled("(SELECT 1)", []), node, parent, outer=False)

    def _derived(
        self,
        sql: str,
        columns: list[Column],
        qualifier: tuple[str, ...],
    ) -> Compiled:
        alias = self.next_name("r")
        fields = [Field(c.name, c.type, f"{alias}.c{i}", qualifier) for i, c in enumerate(columns)]
        return Compiled(f"{sql} AS {alias}", fields)

    def _aliased(self, node: tree.Aliased, parent: Scope | None) -> Compiled:
        inner = self.relation(node.relation, parent)
        return Compiled(inner.sql, aliased_fields(inner.fields, node))

    def _sampled(self, node: tree.Sampled, parent: Scope | None) -> Compiled:
        """Each row (BERNOULLI) or each run of rows (SYSTEM) with that probability."""
        inner = self.relation(node.relation, parent)
        value = self.expr(node.percentage, Scope([]))
        if not (value.type.is_number or value.type.name == "unknown"):
            mismatch("Sample percentage should be a numeric expression", node.percentage.at)
        ((share,),) = self.evaluate(f"SELECT CAST({value.sql} AS DOUBLE)")
        if share is None:
            raise QueryError(
                "INVALID_ARGUMENTS", "Sample percentage cannot be NULL", node.percentage.at
            )
        if not 0 <= share <= 100:
            raise QueryError(
                "NUMERIC_VALUE_OUT_OF_RANGE",
                "Sample percentage must be greater than or equal to 0"
                if share < 0 else "Sample percentage must be less than or equal to 100",
                node.percentage.at,
            )  # fmt: skip
        sample = f"TABLESAMPLE {node.method.upper()} ({share!r}%)"
        plain = node.relation.relation if isinstance(node.relation, tree.Aliased) else node.relation
        if isinstance(plain, tree.TableRef | tree.SubqueryRef):
            return Compiled(f"{inner.sql} {sample}", inner.fields)
        alias = self.next_name("r")
        items, fields = [], []
        for i, field in enumerate(f for f in inner.fields if not f.hidden):
            field.touch()  # the inner SELECT names them all
            items.append(f"{field.sql} AS c{i}")
            fields.append(replace(field, sql=f"{alias}.c{i}", use=None))
        sql = f"(SELECT {', '.join(items) or '1 AS x'} FROM {inner.sql}) AS {alias} {sample}"
        return Compiled(sql, fields)

    # ------------------------------------------------------------------ tables and views

    def _table(self, node: tree.TableRef, parent: Scope | None) -> Compiled:
        if len(node.parts) == 1 and node.parts[0] in self.ctes[-1]:
            common_table = self.ctes[-1][node.parts[0]]
            return self._derived(common_table.sql_name, common_table.columns, (node.parts[0],))
        found = self.resolver.resolve(node.parts, node.at)
        qualifier = (found.catalog, found.database, found.name)
        if found.view is not None:
            return self._view(node, found.view.text, found.view.database, qualifier)
        source = found.source
        assert source is not None
        if node.version is not None:
            source = source.at_version(node.version_kind or "", node.version, self)
        self.names += 1
        number = self.names
        use = TableUse(source, f"r{number}", ":".join(qualifier))
        self.tables[number] = use
        fields = []
        for i, (name, kind) in enumerate(source.readable):
            partition = number if i in source.partitions else None
            fields.append(
                Field(
                    name, kind, f"r{number}.c{i}", qualifier, partial(use.used.add, i), partition,
                    hidden=i >= len(source.columns),
                )
            )  # fmt: skip
        return Compiled(f"(\x00{number}\x00) AS r{number}", fields)

    def _view(
        self,
        node: tree.TableRef,
        text: str,
        database: str,
        qualifier: tuple[str, ...],
    ) -> Compiled:
        if self.view_depth >= 32:
            raise QueryError(
                "VIEW_IS_RECURSIVE", "Statement would create a recursive view", node.at
            )
        if node.version is not None:
            refuse("Time travel of a view", node.at)
        parser = QueryParser(text)
        outer_database, self.resolver.database = self.resolver.database, database
        saved_ctes, self.ctes = self.ctes, [{}]
        saved_parameters, self.parameters = self.parameters, []
        self.view_depth += 1
        try:
            rel = self.query(parser.query())
        except QueryError as error:
            error.at = None
            raise QueryError(
                error.name, f"{error.text} (in view '{'.'.join(qualifier)}')", node.at
            ) from error
        finally:
            self.resolver.database = outer_database
            self.ctes, self.parameters = saved_ctes, saved_parameters
            self.view_depth -= 1
        return self._derived(f"({rel.sql})", rel.columns, qualifier)

    # ------------------------------------------------------------------ joins

    def _join(self, node: tree.Join, parent: Scope | None) -> Compiled:
        left = self.relation(node.left, parent)
        right_node = node.right
        alias: tree.Aliased | None = None
        if isinstance(right_node, tree.Aliased):
            alias, right_node = right_node, right_node.relation
        if isinstance(right_node, tree.Unnest):
            return self._join_unnest(node, left, right_node, alias, parent)
        lateral = isinstance(right_node, tree.SubqueryRef) and right_node.lateral
        right = self.relation(node.right, Scope(left.fields, parent) if lateral else parent)
        if isinstance(right_node, tree.Join):
            right = Compiled(f"({right.sql})", right.fields)
        word = "LATERAL " if lateral else ""
        if node.kind == "cross":
            return Compiled(f"{left.sql} CROSS JOIN {word}{right.sql}", left.fields + right.fields)
        joined = {"inner": "INNER", "left": "LEFT", "right": "RIGHT", "full": "FULL"}[node.kind]
        if node.using:
            return self._join_using(node, joined, left, right)
        scope = Scope(left.fields + right.fields, parent)
        assert node.on is not None
        if node.kind == "inner":
            parts = [self.conjunct(part, scope, "JOIN ON clause") for part in conjuncts(node.on)]
            condition = " AND ".join(parts)
        else:
            condition = self.condition(node.on, scope, "JOIN ON clause")
        left_fields, right_fields = _nullable_sides(node.kind, left.fields, right.fields)
        if node.kind == "right":
            sql = _right_join(node, left.sql, right.sql)
        else:
            sql = f"{left.sql} {joined} JOIN {word}{right.sql}"
        return Compiled(f"{sql} ON {condition}", left_fields + right_fields)

    def _join_using(
        self,
        node: tree.Join,
        joined: str,
        left: Compiled,
        right: Compiled,
    ) -> Compiled:
        conditions, merged, used = [], [], []
        for name in node.using:
            sides = []
            for side, what in ((left, "left"), (right, "right")):
                hits = [f for f in side.fields if f.name == name]
                if len(hits) != 1:
                    raise QueryError(
                        "COLUMN_NOT_FOUND" if not hits else "AMBIGUOUS_NAME",
                        f"Column '{name}' is missing from {what} side of join", node.at,
                    )  # fmt: skip
                sides.append(self.touch(hits[0]))
            a, b = (Value(f.sql, f.type) for f in sides)
            kind = common(a.type, b.type)
            if kind is None:
                mismatch(f"Cannot apply operator: {a.type} = {b.type}", node.at)
            conditions.append(self.compare("=", a, b, node.at).sql)
            x, y = coerce(a, kind).sql, coerce(b, kind).sql
            sql = {"full": f"coalesce({x}, {y})", "right": y}.get(node.kind, x)
            merged.append(Field(name, kind, sql))
            used += sides
        left_fields, right_fields = _nullable_sides(node.kind, left.fields, right.fields)
        rest = [
            f for f, before in zip(
                left_fields + right_fields, left.fields + right.fields, strict=True
            ) if not any(before is u for u in used)
        ]  # fmt: skip
        condition = " AND ".join(conditions)
        if node.kind == "right":
            sql = _right_join(node, left.sql, right.sql)
        else:
            sql = f"{left.sql} {joined} JOIN {right.sql}"
        return Compiled(f"{sql} ON {condition}", merged + rest)

    # ------------------------------------------------------------------ UNNEST

    def _join_unnest(
        self,
        node: tree.Join,
        left: Compiled,
        right: tree.Unnest,
        alias: tree.Aliased | None,
        parent: Scope | None,
    ) -> Compiled:
        plain = isinstance(node.on, tree.Literal) and node.on.value == "true"
        if node.kind not in ("cross", "left", "inner") or (node.kind != "cross" and not plain):
            refuse(
                f"{node.kind.upper()} JOIN involving UNNEST is only supported with condition "
                "ON TRUE", node.at,
            )  # fmt: skip
        found = self._unnested(left, right, parent, outer=node.kind == "left")
        if alias is None:
            return found
        count = len(left.fields)
        return Compiled(
            found.sql, found.fields[:count] + aliased_fields(found.fields[count:], alias)
        )

    def _unnested(
        self,
        left: Compiled,
        node: tree.Unnest,
        parent: Scope | None,
        *,
        outer: bool,
    ) -> Compiled:
        """The left side's columns and the elements, in one SELECT over the left side."""
        scope = Scope(left.fields, parent)
        lists, outputs = self._lists(node, scope)
        sizes = ", ".join(f"coalesce(len({sql}), 0)" for sql in lists)
        longest = f"greatest({sizes})" if len(lists) > 1 else sizes
        if outer:
            lists = [f"CASE WHEN {longest} = 0 THEN [NULL] ELSE {sql} END" for sql in lists]
        over = self.next_name("r")
        kept, items = [], []
        hidden = ""
        for i, field in enumerate(left.fields):
            if field.hidden:
                mark = f"\x01{over}.{i}\x01"
                hidden += mark
                use = partial(self._show, mark, f", {field.sql} AS k{i}", field)
                self.optional[mark] = ""
                kept.append(replace(field, sql=f"{over}.k{i}", use=use))
                continue
            field.touch()  # the inner SELECT names it
            items.append(f"{field.sql} AS k{i}")
            kept.append(replace(field, sql=f"{over}.k{i}"))
        for i, sql in enumerate(lists):
            items.append(f"unnest({sql}) AS u{i}")
        new = []
        for number, template, kind, name in outputs:
            new.append(Field(name, kind, template.format(f"{over}.u{number}")))
        if node.ordinality:
            span = f"range(1, {longest} + 1)"
            if outer:
                span = f"CASE WHEN {longest} = 0 THEN [NULL] ELSE {span} END"
            items.append(f"unnest({span}) AS o")
            new.append(Field(None, BIGINT, f"{over}.o"))
        sql = f"(SELECT {', '.join(items)}{hidden} FROM {left.sql}) AS {over}"
        return Compiled(sql, kept + new)

    def _show(self, mark: str, text: str, field: Field) -> None:
        """A hidden column is named after all."""
        self.optional[mark] = text
        field.touch()

    def _lists(
        self,
        node: tree.Unnest,
        scope: Scope,
    ) -> tuple[list[str], list[tuple[int, str, Type, str | None]]]:
        lists: list[str] = []
        outputs: list[tuple[int, str, Type, str | None]] = []
        for expr in node.exprs:
            value = self.expr(expr, scope)
            number = len(lists)
            if value.type.name == "array" and value.type.of[0].name == "row":
                lists.append(value.sql)
                row = value.type.of[0]
                for struct, name, kind in zip(row.struct_names, row.fields, row.of, strict=True):
                    outputs.append((number, f"struct_extract({{0}}, '{struct}')", kind, name))
            elif value.type.name == "array":
                lists.append(value.sql)
                outputs.append((number, "{0}", value.type.of[0], None))
            elif value.type.name == "map":
                lists += [f"map_keys({value.sql})", f"map_values({value.sql})"]
                outputs.append((number, "{0}", value.type.of[0], None))
                outputs.append((number + 1, "{0}", value.type.of[1], None))
            else:
                mismatch(f"Cannot unnest type: {value.type}", expr.at)
        return lists, outputs


def aliased_fields(fields: list[Field], node: tree.Aliased) -> list[Field]:
    """Fields under an alias and its column names."""
    visible = [f for f in fields if not f.hidden]
    hidden = [f for f in fields if f.hidden]
    names: list[str | None] = [f.name for f in visible]
    if node.columns:
        if len(node.columns) != len(visible):
            mismatch(
                f"Column alias list has {len(node.columns)} entries but '{node.name}' has "
                f"{len(visible)} columns available", node.at,
            )  # fmt: skip
        names = list(node.columns)
    return [
        replace(f, name=name, qualifier=(node.name,))
        for f, name in zip(visible, names, strict=True)
    ] + [replace(f, qualifier=(node.name,)) for f in hidden]


def _nullable_sides(
    kind: str, left: list[Field], right: list[Field]
) -> tuple[list[Field], list[Field]]:
    """A side that an outer join fills with nulls cannot be pruned by conditions after it."""
    if kind in ("right", "full"):
        left = [replace(f, partition_of=None) for f in left]
    if kind in ("left", "full"):
        right = [replace(f, partition_of=None) for f in right]
    return left, right


def _right_join(node: tree.Join, left: str, right: str) -> str:
    """As the left join that it is: DuckDB pushes no condition through a right one."""
    return f"{right} LEFT JOIN " + (f"({left})" if isinstance(node.left, tree.Join) else left)


def conjuncts(node: tree.Expr) -> list[tree.Expr]:
    """The parts of a chain of ANDs."""
    if isinstance(node, tree.Binary) and node.op == "AND":
        return [*conjuncts(node.left), *conjuncts(node.right)]
    return [node]
