"""Expressions: names resolved, types checked as Trino checks them, DuckDB's SQL emitted."""

from __future__ import annotations

import re
from collections.abc import Callable

from local_aws.engine import arithmetic, tree
from local_aws.engine.casts import coerce, explicit
from local_aws.engine.compile_literal import LiteralCompiler
from local_aws.engine.equality import compared, equality
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.macros import family
from local_aws.engine.scope import Scope, Value
from local_aws.engine.special_text import concat
from local_aws.engine.tree import Expr
from local_aws.engine.types import (
    BIGINT,
    BOOLEAN,
    INTEGER,
    UNKNOWN,
    VARCHAR,
    Type,
    array,
    coerces,
    common,
    parse_type,
    quote,
    quote_text,
)


class ExpressionCompiler(LiteralCompiler):
    """Everything that is a value, but for function calls (``call``) and queries (subclass)."""

    def expr(self, node: Expr, scope: Scope) -> Value:
        """Compile one expression."""
        value = _COMPILERS[type(node)](self, node, scope)
        value.sql = family(value.sql)
        if value.wall is not None:
            value.wall = family(value.wall)
        if value.utc is not None:
            value.utc = family(value.utc)
        return value

    def condition(self, node: Expr, scope: Scope, what: str) -> str:
        """Compile an expression that must be boolean."""
        value = self.expr(node, scope)
        if value.type not in (BOOLEAN, UNKNOWN):
            mismatch(f"{what} must evaluate to a boolean: actual type {value.type}", node.at)
        return coerce(value, BOOLEAN).sql

    def unify(self, values: list[Value], message: str, at: int) -> list[Value]:
        """All values as their common type."""
        kind: Type | None = UNKNOWN
        for value in values:
            kind = common(kind, value.type) if kind is not None else None
            if kind is None:
                kinds = list(dict.fromkeys(str(v.type) for v in values))
                mismatch(f"{message} (types: {', '.join(kinds)})", at)
        assert kind is not None
        return [coerce(value, kind) for value in values]

    # ------------------------------------------------------------------ names

    def _ident(self, node: tree.Ident, scope: Scope) -> Value:
        return self._named([node.name], node.at, scope)

    def _deref(self, node: tree.Deref, scope: Scope) -> Value:
        parts: list[str] = []
        base: Expr = node
        while isinstance(base, tree.Deref):
            parts.insert(0, base.name)
            base = base.base
        if isinstance(base, tree.Ident):
            return self._named([base.name, *parts], node.at, scope)
        return self._fields(self.expr(base, scope), parts, node.at)

    def _named(self, parts: list[str], at: int, scope: Scope) -> Value:
        if len(parts) == 1 and parts[0] in scope.outer_names:
            found = scope.outer_names[parts[0]]
            return Value(found.sql, found.type, found.literal)
        hit = scope.find(parts, at)
        if hit is None and parts[-1].startswith("$"):
            refuse(f"Hidden column {parts[-1]} is not supported here", at)
        if hit is None:
            raise QueryError(
                "COLUMN_NOT_FOUND",
                f"Column '{'.'.join(parts)}' cannot be resolved or requester is not authorized "
                "to access requested resources",
                at,
            )
        field, rest = hit
        self.touch(field)
        return self._fields(Value(field.sql, field.type), rest, at)

    def _fields(self, value: Value, names: list[str], at: int) -> Value:
        for name in names:
            if value.type.name != "row":
                mismatch(f"Expression {name} is not of type ROW", at)
            lowered = [f.lower() if f else None for f in value.type.fields]
            if name not in lowered:
                raise QueryError("COLUMN_NOT_FOUND", f"Column '{name}' cannot be resolved", at)
            index = lowered.index(name)
            struct_name = value.type.struct_names[index]
            value = Value(
                f"struct_extract({value.sql}, {quote_text(struct_name)})", value.type.of[index]
            )
        return value

    def _parameter(self, node: tree.Parameter, scope: Scope) -> Value:
        if node.index >= len(self.parameters):
            raise QueryError(
                "INVALID_PARAMETER_USAGE",
                f"Incorrect number of parameters: expected at least {node.index + 1} but found "
                f"{len(self.parameters)}",
                node.at,
            )
        return self.expr(self.parameters[node.index], Scope([]))

    # ------------------------------------------------------------------ operators

    def _unary(self, node: tree.Unary, scope: Scope) -> Value:
        if node.op == "NOT":
            return Value(
                f"(NOT {self.condition(node.operand, scope, 'Value of logical NOT expression')})",
                BOOLEAN,
            )
        if isinstance(node.operand, tree.Literal) and node.operand.kind == "integer":
            sign = "-" if node.op == "-" else ""
            number = int(sign + node.operand.value)
            kind = INTEGER if -(2**31) <= number < 2**31 else BIGINT
            if number < -(2**63):
                raise QueryError("SYNTAX_ERROR", f"Invalid numeric literal: {number}", node.at)
            return Value(f"CAST({number} AS {kind.duck})", kind, number)
        value = self.expr(node.operand, scope)
        if not (value.type.is_number or value.type.name.startswith("interval")):
            mismatch(f"Cannot negate {value.type}", node.at)
        return value if node.op == "+" else Value(f"(-{value.sql})", value.type)

    def _binary(self, node: tree.Binary, scope: Scope) -> Value:
        if node.op in ("AND", "OR"):
            what = f"Left side of logical expression {node.op}"
            left = self.condition(node.left, scope, what)
            right = self.condition(node.right, scope, what.replace("Left", "Right"))
            return Value(f"({left} {node.op} {right})", BOOLEAN)
        left_value, right_value = self.expr(node.left, scope), self.expr(node.right, scope)
        if node.op in ("=", "<>", "<", "<=", ">", ">="):
            return self.compare(node.op, left_value, right_value, node.at)
        if node.op == "||" and left_value.type.name == "varchar" and right_value.is_null:
            # Of the candidates, Trino takes an array and its element.
            kind = array(left_value.type)
            return Value(f"CAST(NULL AS {kind.duck})", kind)
        if node.op == "||":
            return concat([left_value, right_value], node.at)
        return arithmetic.combine(node.op, left_value, right_value, node.at)

    def compare(self, op: str, left: Value, right: Value, at: int) -> Value:
        """A comparison, after both sides came to one type."""
        kind = common(left.type, right.type)
        if kind is None or (op not in ("=", "<>") and not kind.is_orderable):
            mismatch(f"Cannot apply operator: {left.type} {op} {right.type}", at)
        a, b = self.comparable(coerce(left, kind)), self.comparable(coerce(right, kind))
        if kind.of and op in ("=", "<>"):
            same = equality(a, b, kind)
            return Value(same if op == "=" else f"(NOT {same})", BOOLEAN)
        if kind.name in ("real", "double"):
            return Value(compared(op, a, b), BOOLEAN)
        return Value(f"({a} {op} {b})", BOOLEAN)

    def comparable(self, value: Value) -> str:
        """What to compare: of a time with zone only the instant counts."""
        if value.type.name == "timestamptz":
            return f"({value.sql}).i"
        if value.type.name == "json":
            return f"CAST({value.sql} AS VARCHAR)"
        if value.type.name == "unknown":
            return "CAST(NULL AS INTEGER)"
        return value.sql

    def _between(self, node: tree.Between, scope: Scope) -> Value:
        x, low, high = (self.expr(e, scope) for e in (node.operand, node.low, node.high))
        kind: Type | None = common(x.type, low.type)
        kind = common(kind, high.type) if kind is not None else None
        if kind is None or not kind.is_orderable:
            mismatch(f"Cannot check if {x.type} is BETWEEN {low.type} and {high.type}", node.at)
        a, b, c = (self.comparable(coerce(v, kind)) for v in (x, low, high))
        if kind.name in ("real", "double"):
            return Value(f"({compared('>=', a, b)} AND {compared('<=', a, c)})", BOOLEAN)
        return Value(f"({a} BETWEEN {b} AND {c})", BOOLEAN)

    def _in_list(self, node: tree.InList, scope: Scope) -> Value:
        values = [self.expr(e, scope) for e in (node.operand, *node.items)]
        values = self.unify(
            values,
            "IN value and list items must be the same type or coercible to a common type",
            node.at,
        )
        x, *items = (self.comparable(v) for v in values)
        return Value(f"({x} IN ({', '.join(items)}))", BOOLEAN)

    def _like(self, node: tree.Like, scope: Scope) -> Value:
        x, pattern = self.expr(node.operand, scope), self.expr(node.pattern, scope)
        for value, what in ((x, "Left side"), (pattern, "Pattern")):
            if value.type.name not in ("varchar", "char", "unknown"):
                mismatch(
                    f"{what} of LIKE expression must evaluate to a varchar: "
                    f"actual type {value.type}", node.at,
                )  # fmt: skip
        x, pattern = (coerce(v, VARCHAR) if v.type.name == "char" else v for v in (x, pattern))
        sql = f"({x.sql} LIKE {pattern.sql}"
        if node.escape is not None:
            escape = self.expr(node.escape, scope)
            if not isinstance(escape.literal, str) or len(escape.literal) != 1:
                raise QueryError(
                    "INVALID_FUNCTION_ARGUMENT", "Escape string must be a single character", node.at
                )
            sql += f" ESCAPE {escape.sql}"
        return Value(sql + ")", BOOLEAN)

    def _is_null(self, node: tree.IsNull, scope: Scope) -> Value:
        return Value(f"({self.expr(node.operand, scope).sql} IS NULL)", BOOLEAN)

    def _is_distinct(self, node: tree.IsDistinct, scope: Scope) -> Value:
        left, right = self.expr(node.left, scope), self.expr(node.right, scope)
        kind = common(left.type, right.type)
        if kind is None:
            mismatch(f"Cannot apply operator: {left.type} IS DISTINCT FROM {right.type}", node.at)
        a, b = self.comparable(coerce(left, kind)), self.comparable(coerce(right, kind))
        return Value(f"({a} IS DISTINCT FROM {b})", BOOLEAN)

    def _case(self, node: tree.Case, scope: Scope) -> Value:
        results = [self.expr(then, scope) for _, then in node.whens]
        if node.otherwise is not None:
            results.append(self.expr(node.otherwise, scope))
        results = self.unify(
            results, "All CASE results must be the same type or coercible to a common type", node.at
        )
        conditions = []
        operand = self.expr(node.operand, scope) if node.operand is not None else None
        for when, _ in node.whens:
            if operand is None:
                conditions.append(self.condition(when, scope, "CASE WHEN clause"))
            else:
                conditions.append(self.compare("=", operand, self.expr(when, scope), when.at).sql)
        whens = " ".join(
            f"WHEN {c} THEN {r.sql}" for c, r in zip(conditions, results, strict=False)
        )
        otherwise = results[-1].sql if node.otherwise is not None else "NULL"
        return Value(f"CASE {whens} ELSE {otherwise} END", results[0].type)

    def _cast(self, node: tree.Cast, scope: Scope) -> Value:
        kind = self.type(node.type_text, node.type_at)
        return explicit(self.expr(node.operand, scope), kind, node.at, safe=node.safe)

    def type(self, shown: str, at: int) -> Type:
        """A type by its name in SQL."""
        try:
            kind = parse_type(shown)
        except ValueError:
            if re.match(r"(time|ipaddress|hyperloglog|qdigest|tdigest)\b", shown.lower()):
                refuse(f"Type {shown} is not supported here", at)
            mismatch(f"Unknown type: {shown}", at)
        if kind.name == "timetz":
            refuse(f"Type {kind} is not supported here", at)
        return kind

    # ------------------------------------------------------------------ composites

    def _array(self, node: tree.ArrayLiteral, scope: Scope) -> Value:
        values = [self.expr(item, scope) for item in node.items]
        if not values:
            return Value("[]", array(UNKNOWN))
        values = self.unify(values, "All ARRAY elements must be the same type", node.at)
        inner = ", ".join(v.sql for v in values)
        return Value(f"CAST([{inner}] AS {values[0].type.duck}[])", array(values[0].type))

    def _row(self, node: tree.RowLiteral, scope: Scope) -> Value:
        values = [self.expr(item, scope) for item in node.items]
        kind = Type("row", (), tuple(v.type for v in values), tuple(None for _ in values))
        parts = ", ".join(
            f"{quote(name)} := {v.sql}" for name, v in zip(kind.struct_names, values, strict=True)
        )
        return Value(f"struct_pack({parts})", kind)

    def _subscript(self, node: tree.Subscript, scope: Scope) -> Value:
        base, index = self.expr(node.base, scope), self.expr(node.index, scope)
        if base.type.name == "array":
            if not index.type.is_integer:
                mismatch(f"Cannot use {index.type} for subscript of {base.type}", node.at)
            index = coerce(index, BIGINT)
            return Value(f"local_subscript({base.sql}, {index.sql})", base.type.of[0])
        if base.type.name == "map":
            if not coerces(index.type, base.type.of[0]):
                mismatch(f"Cannot use {index.type} for subscript of {base.type}", node.at)
            key = coerce(index, base.type.of[0])
            return Value(f"local_map_get({base.sql}, {key.sql})", base.type.of[1])
        if base.type.name == "row" and isinstance(index.literal, int):
            if not 1 <= index.literal <= len(base.type.of):
                mismatch(f"Subscript {index.literal} is out of the row", node.at)
            name = base.type.struct_names[index.literal - 1]
            return Value(
                f"struct_extract({base.sql}, {quote_text(name)})", base.type.of[index.literal - 1]
            )
        mismatch(f"Subscript operator is not applicable to {base.type}", node.at)

    def _at_time_zone(self, node: tree.AtTimeZone, scope: Scope) -> Value:
        call = tree.Call(node.at, "at_timezone", [node.operand, node.zone])
        return self.expr(call, scope)

    def _call(self, node: tree.Call, scope: Scope) -> Value:
        return self.call(node, scope)

    def _lambda(self, node: tree.Lambda, scope: Scope) -> Value:
        mismatch("Lambda expression should always be used inside a function", node.at)

    def _star(self, node: tree.Star, scope: Scope) -> Value:
        raise QueryError("SYNTAX_ERROR", "mismatched input '*'. Expecting: <expression>", node.at)

    # ------------------------------------------------------------------ queries as values

    def _single(self, query: tree.Query, scope: Scope, at: int) -> Value:
        sql, kinds = self.subquery(query, scope)
        if len(kinds) != 1:
            raise QueryError(
                "NOT_SUPPORTED", f"Multiple columns returned by subquery are not supported here: "
                f"{len(kinds)}", at,
            )  # fmt: skip
        return Value(sql, kinds[0])

    def _scalar(self, node: tree.ScalarQuery, scope: Scope) -> Value:
        before = self.names
        inner = self._single(node.query, scope, node.at)
        return Value(self.folded(inner, before) or f"({inner.sql})", inner.type)

    def _exists(self, node: tree.Exists, scope: Scope) -> Value:
        sql, _ = self.subquery(node.query, scope)
        return Value(f"EXISTS ({sql})", BOOLEAN)

    def _in_query(self, node: tree.InQuery, scope: Scope) -> Value:
        return self._against("=", "ANY", node.operand, node.query, scope, node.at)

    def _quantified(self, node: tree.Quantified, scope: Scope) -> Value:
        return self._against(node.op, node.quantifier, node.left, node.query, scope, node.at)

    def _against(
        self, op: str, quantifier: str, operand: Expr, query: tree.Query, scope: Scope, at: int
    ) -> Value:
        left = self.expr(operand, scope)
        if left.type.name == "row":
            refuse("Comparing rows with a subquery is not supported here", at)
        inner = self._single(query, scope, at)
        kind = common(left.type, inner.type)
        if kind is None:
            mismatch(
                f"Value expression and result of subquery must be of the same type: {left.type} "
                f"vs {inner.type}", at,
            )  # fmt: skip
        name = self.next_name("q")
        column = self.comparable(coerce(Value(f"{name}.c0", inner.type), kind))
        wrapped = f"SELECT {column} FROM ({inner.sql}) AS {name}(c0)"
        a = self.comparable(coerce(left, kind))
        if (op, quantifier) == ("=", "ANY"):
            return Value(f"({a} IN ({wrapped}))", BOOLEAN)
        return Value(f"({a} {op} {quantifier} ({wrapped}))", BOOLEAN)


_COMPILERS: dict[type, Callable[..., Value]] = {
    tree.Ident: ExpressionCompiler._ident,
    tree.Deref: ExpressionCompiler._deref,
    tree.Literal: LiteralCompiler.literal,
    tree.TypedLiteral: LiteralCompiler.typed_literal,
    tree.IntervalLiteral: LiteralCompiler.interval_literal,
    tree.Parameter: ExpressionCompiler._parameter,
    tree.Unary: ExpressionCompiler._unary,
    tree.Binary: ExpressionCompiler._binary,
    tree.Between: ExpressionCompiler._between,
    tree.InList: ExpressionCompiler._in_list,
    tree.InQuery: ExpressionCompiler._in_query,
    tree.Quantified: ExpressionCompiler._quantified,
    tree.Like: ExpressionCompiler._like,
    tree.IsNull: ExpressionCompiler._is_null,
    tree.IsDistinct: ExpressionCompiler._is_distinct,
    tree.Exists: ExpressionCompiler._exists,
    tree.ScalarQuery: ExpressionCompiler._scalar,
    tree.Case: ExpressionCompiler._case,
    tree.Cast: ExpressionCompiler._cast,
    tree.Call: ExpressionCompiler._call,
    tree.Lambda: ExpressionCompiler._lambda,
    tree.ArrayLiteral: ExpressionCompiler._array,
    tree.RowLiteral: ExpressionCompiler._row,
    tree.Subscript: ExpressionCompiler._subscript,
    tree.AtTimeZone: ExpressionCompiler._at_time_zone,
    tree.Star: ExpressionCompiler._star,
}
