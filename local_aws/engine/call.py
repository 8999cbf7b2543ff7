"""Function calls: choosing the signature, coercing the arguments, filling in the translation."""

from __future__ import annotations

from local_aws.engine import tree
from local_aws.engine.casts import coerce, convert
from local_aws.engine.compiler import Compiler
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.functions import ELSEWHERE, FUNCTIONS
from local_aws.engine.json_path import json_path
from local_aws.engine.scope import Field, Scope, Value
from local_aws.engine.signatures import Bindings, Overload, Pattern, bind, is_exact, resolve
from local_aws.engine.special import SPECIAL
from local_aws.engine.types import (
    BOOLEAN,
    UNKNOWN,
    VARCHAR,
    Type,
    array,
    coerces,
    common,
    quote_text,
)


class Argument:
    """One argument in a template; its format says which of its forms is wanted."""

    def __init__(self, value: Value, forms: dict[str, str]) -> None:
        self.value = value
        self.forms = forms

    def __format__(self, form: str) -> str:
        if not form:
            return self.value.sql
        if form == "path":
            return json_path(self.value)
        if form == "instant":
            name = self.value.type.name
            return f"({self.value.sql}).i" if name == "timestamptz" else self.value.sql
        if form == "constant":
            if "r" in self.value.sql and "." in self.value.sql.split("CAST", 1)[0]:
                refuse("This argument must be a constant here")
            return self.value.sql
        if form == "entries":
            first, second = self.value.type.of[0].struct_names
            pair = f"struct_pack(k := y_[{quote_text(first)}], v := y_[{quote_text(second)}])"
            return f"list_transform({self.value.sql}, lambda y_: {pair})"
        if form == "text":
            return convert(self.value.sql, self.value.type, array(VARCHAR), safe=False)
        return self.forms[form]


class CallCompiler(Compiler):
    """Compiles ``tree.Call`` with all that may stand in and behind its parentheses."""

    def call(self, node: tree.Call, scope: Scope) -> Value:
        """One call."""
        if node.filter is not None and node.window is not None:
            raise QueryError(
                "NOT_SUPPORTED", "FILTER is not yet supported for window functions", node.at
            )
        special = SPECIAL.get(node.name)
        if special is not None:
            self._plain_only(node, special.aggregate)
            return special.compile(self, node, scope)
        overloads = FUNCTIONS.get(node.name)
        if overloads is None and node.name in ELSEWHERE:
            refuse(f"Function {node.name} is not supported here", node.at)
        if overloads is None:
            raise QueryError(
                "FUNCTION_NOT_FOUND", f"Function '{node.name}' not registered", node.at
            )
        kind = overloads[0].kind
        if node.star:
            if node.name != "count":
                mismatch(f"Unexpected parameters (*) for function {node.name}", node.at)
            return Value(f"count(*){self.tail(node, scope)}", Type("bigint"))
        if kind == "window" and node.window is None:
            raise QueryError(
                "MISSING_OVER",
                f"Window function {node.name} requires an OVER clause",
                node.at,
            )
        self._plain_only(node, kind != "scalar")
        overload, values, bindings, lambdas = self._choose(node, overloads, scope)
        offset = values[1].literal if node.name in ("lag", "lead") and len(values) > 1 else 0
        if isinstance(offset, int) and offset < 0:
            raise QueryError("INVALID_FUNCTION_ARGUMENT", "Offset must be at least 0", node.at)
        if node.distinct and values[0].type.name == "timestamptz" and node.name == "count":
            values[0] = Value(self.comparable(values[0]), values[0].type)
        result = resolve(overload.result, _first(overload, values), bindings) or UNKNOWN
        if overload.keeps_length:
            result = _as_long_as(node.name, result, values[0].type)
        args = [Argument(v, lambdas.get(i, {})) for i, v in enumerate(values)]
        extra = {}
        if kind != "scalar":
            order = self.sort_list(node.order_by, scope)
            extra = {
                "d": "DISTINCT " if node.distinct else "",
                "o": f" ORDER BY {order}" if order else "",
                "n": " IGNORE NULLS" if node.ignore_nulls else "",
                "w": self.tail(node, scope),
            }
            if node.distinct and "{d}" not in overload.template:
                refuse(f"DISTINCT in {node.name} is not supported here", node.at)
            if order and "{o}" not in overload.template:
                refuse(f"ORDER BY in {node.name} is not supported here", node.at)
            if node.ignore_nulls and "{n}" not in overload.template:
                refuse(f"IGNORE NULLS in {node.name} is not supported here", node.at)
        kinds = {name: t.duck for name, t in bindings.items() if t.name != "function"}
        listed = ", ".join(v.sql for v in values)
        extra["args_null"] = ", ".join(f"({v.sql}) IS NULL" for v in values)
        sql = overload.template.format(*args, args=listed, **extra, **kinds)
        if node.name == "from_iso8601_timestamp":
            return Value(sql, result, wall=f"local_iso_wall({values[0].sql})")
        return Value(sql, result)

    def _plain_only(self, node: tree.Call, aggregate: bool) -> None:
        used = node.distinct or node.order_by or node.filter or node.window or node.ignore_nulls
        if used and not aggregate:
            raise QueryError(
                "FUNCTION_NOT_AGGREGATE", f"{node.name} is not an aggregation function", node.at
            )
        if node.within_group and node.name != "listagg":
            raise QueryError("SYNTAX_ERROR", "mismatched input 'WITHIN'. Expecting: <EOF>", node.at)

    # ------------------------------------------------------------------ overloads

    def _choose(
        self,
        node: tree.Call,
        overloads: list[Overload],
        scope: Scope,
    ) -> tuple[Overload, list[Value], Bindings, dict[int, dict[str, str]]]:
        given: list[Value | None] = [
            None if isinstance(arg, tree.Lambda) else self.expr(arg, scope) for arg in node.args
        ]
        fits = []
        for overload in overloads:
            bindings = _fit(overload, given)
            if bindings is not None:
                exact = sum(
                    v is not None and is_exact(p, v.type)
                    for p, v in zip(_params(overload, len(given)), given, strict=True)
                )
                fits.append((exact, overload, bindings))
        if not fits:
            raise self._unexpected(node, overloads, given)
        _, overload, bindings = max(fits, key=lambda fit: fit[0])
        params = _params(overload, len(given))
        lambdas: dict[int, dict[str, str]] = {}
        values = []
        for i, (param, value) in enumerate(zip(params, given, strict=True)):
            if value is None:
                arg = node.args[i]
                assert isinstance(arg, tree.Lambda)
                lambdas[i] = self._lambda_forms(arg, param, bindings, scope)
                values.append(Value(lambdas[i]["plain"], Type("function")))
                continue
            wanted = resolve(param, value.type, bindings) or value.type
            if not coerces(value.type, wanted):
                raise self._unexpected(node, overloads, given)
            # Text keeps its declared length, on which that of the result may depend.
            as_it_is = wanted == VARCHAR and value.type.name == "varchar"
            values.append(value if as_it_is else coerce(value, wanted))
        return overload, values, bindings, lambdas

    def _unexpected(
        self, node: tree.Call, overloads: list[Overload], given: list[Value | None]
    ) -> QueryError:
        shown = ", ".join("function" if v is None else str(v.type) for v in given)
        expected = ", ".join(overload.text for overload in overloads)
        return QueryError(
            "FUNCTION_NOT_FOUND",
            f"Unexpected parameters ({shown}) for function {node.name}. Expected: {expected}",
            node.at,
        )

    # ------------------------------------------------------------------ lambdas

    def lambda_body(
        self,
        node: tree.Expr,
        kinds: list[Type],
        scope: Scope,
        names: list[str] | None = None,
    ) -> tuple[list[str], Value]:
        """Names of the parameters in SQL, and the body."""
        if not isinstance(node, tree.Lambda):
            refuse("A lambda is expected here", node.at)
        if len(node.params) != len(kinds):
            mismatch(
                f"Expected a lambda that takes {len(kinds)} argument(s) but got "
                f"{len(node.params)}", node.at,
            )  # fmt: skip
        if names is None:
            names = [self.next_name("v") for _ in kinds]
        fields = [Field(p, t, sql) for p, t, sql in zip(node.params, kinds, names, strict=True)]
        return names, self.expr(node.body, Scope(fields, scope))

    def _lambda_forms(
        self,
        node: tree.Lambda,
        param: Pattern,
        bindings: Bindings,
        scope: Scope,
    ) -> dict[str, str]:
        *inputs, output = param.of
        kinds = [resolve(p, None, bindings) or UNKNOWN for p in inputs]
        names, body = self.lambda_body(node, kinds, scope)
        wanted = resolve(output, None, bindings)
        if wanted is None:
            bindings[output.name] = body.type
        elif wanted == BOOLEAN:
            if body.type not in (BOOLEAN, UNKNOWN):
                mismatch(
                    f"Unexpected parameters: the lambda gives {body.type}, not boolean", node.at
                )
            body = coerce(body, BOOLEAN)
        else:
            merged = common(wanted, body.type)
            if merged is None:
                mismatch(f"Lambda must return {wanted}, not {body.type}", node.at)
            body = coerce(body, merged)
        forms = {"plain": f"lambda {', '.join(names)}: {body.sql}"}
        if len(kinds) == 2:
            entry = self.next_name("v")
            _, over = self.lambda_body(node, kinds, scope, [f"{entry}.key", f"{entry}.value"])
            forms["entry"] = f"lambda {entry}: {over.sql}"
            pack = "struct_pack(key := {}, value := {})"
            forms["keep_key"] = f"lambda {entry}: {pack.format(f'{entry}.key', over.sql)}"
            forms["keep_value"] = f"lambda {entry}: {pack.format(over.sql, f'{entry}.value')}"
        return forms

    # ------------------------------------------------------------------ FILTER, OVER, ORDER BY

    def tail(self, node: tree.Call, scope: Scope) -> str:
        """`` FILTER (...) OVER (...)``."""
        sql = ""
        if node.filter is not None:
            sql += f" FILTER (WHERE {self.condition(node.filter, scope, 'FILTER condition')})"
        if node.window is not None:
            sql += f" OVER ({self.window(node.window, scope)})"
        return sql

    def window(self, node: tree.Window, scope: Scope) -> str:
        """What stands in OVER."""
        parts = []
        partition, order = node.partition_by, node.order_by
        frame = node
        if node.base is not None:
            base = self.windows[-1].get(node.base) if self.windows else None
            if base is None:
                raise QueryError(
                    "INVALID_WINDOW_REFERENCE", f"WINDOW '{node.base}' is not defined", node.at
                )
            if base.base is not None:
                refuse("A window that builds on another window", node.at)
            partition = partition or base.partition_by
            order = order or base.order_by
            frame = node if node.frame_unit else base
        if partition:
            inner = ", ".join(self.comparable(self.expr(e, scope)) for e in partition)
            parts.append(f"PARTITION BY {inner}")
        if order:
            parts.append(f"ORDER BY {self.sort_list(order, scope)}")
        if frame.frame_unit is not None:
            start = self._bound(frame.frame_start, scope)
            end = self._bound(frame.frame_end, scope) if frame.frame_end else "CURRENT ROW"
            parts.append(f"{frame.frame_unit} BETWEEN {start} AND {end}")
        return " ".join(parts)

    def _bound(
        self,
        bound: tuple[str, tree.Expr | None],
        scope: Scope,
    ) -> str:
        word, expr = bound
        if expr is None:
            return word
        value = self.expr(expr, scope)
        if value.type.name == "interval_day_to_second":
            return f"to_microseconds({value.sql} * 1000) {word}"
        if value.type.name == "interval_year_to_month":
            return f"to_months(CAST({value.sql} AS INTEGER)) {word}"
        if not value.type.is_number:
            mismatch(f"Window frame offset must be a number: {value.type}", expr.at)
        return f"{value.sql} {word}"

    def sort_list(
        self,
        items: list[tree.SortItem],
        scope: Scope,
    ) -> str:
        """``a ASC NULLS LAST, ...``."""
        return ", ".join(self.sort_sql(self.expr(i.expr, scope), i) for i in items)

    def sort_sql(self, value: Value, item: tree.SortItem) -> str:
        """One sort key."""
        if not value.type.is_orderable:
            raise QueryError(
                "TYPE_MISMATCH",
                f"Type {value.type} is not orderable, and therefore cannot be used in ORDER BY",
                item.at,
            )
        way = "DESC" if item.descending else "ASC"
        nulls = "FIRST" if item.nulls_first else "LAST"
        sql = self.comparable(value)
        if value.literal is not None or value.is_null:
            sql = f"({sql} IS NULL)"  # a bare constant would be taken for an ordinal
        return f"{sql} {way} NULLS {nulls}"


def _as_long_as(name: str, kind: Type, first: Type) -> Type:
    """``varchar`` or ``array(varchar)`` with the length of the first argument."""
    text = Type("varchar", first.numbers if first.name in ("varchar", "char") else ())
    if name == "url_encode" and text.numbers:  # a character may become four escapes
        text = Type("varchar", (text.numbers[0] * 12,))
    return array(text) if kind.name == "array" else text


def _params(overload: Overload, count: int) -> list[Pattern]:
    params = list(overload.params)
    while overload.variadic and len(params) < count:
        params.append(overload.params[-1])
    return params


def _fit(overload: Overload, given: list[Value | None]) -> Bindings | None:
    if len(given) != len(overload.params) and not (
        overload.variadic and len(given) >= len(overload.params)
    ):
        return None
    bindings: Bindings = {}
    for param, value in zip(_params(overload, len(given)), given, strict=True):
        if value is None:
            if param.name != "function":
                return None
        elif param.name == "function" or not bind(param, value.type, bindings):
            return None
    return bindings


def _first(overload: Overload, values: list[Value]) -> Type | None:
    """The argument whose parameter is spelled like the result, e.g. any timestamp."""
    for param, value in zip(overload.params, values, strict=False):
        if param.name == overload.result.name:
            return value.type
    for param, value in zip(overload.params, values, strict=False):
        if overload.result.name == "timestamptz" and param.name == "timestamp":
            return Type("timestamptz", value.type.numbers)
    return None
