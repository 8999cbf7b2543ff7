"""Functions whose result depends on more than a signature can say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from local_aws.engine import tree
from local_aws.engine.arithmetic import combine
from local_aws.engine.casts import coerce, explicit, unscaled
from local_aws.engine.compiler import Compiler
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.macros import fails_by_error, has_column
from local_aws.engine.scope import Scope, Value
from local_aws.engine.special_formats import FORMATS
from local_aws.engine.special_json import JSONS
from local_aws.engine.special_nested import NESTED, _reduce_agg, arity
from local_aws.engine.special_text import TEXT
from local_aws.engine.special_time import TIME
from local_aws.engine.tables import CATALOG
from local_aws.engine.types import (
    BIGINT,
    DATE,
    DOUBLE,
    INTEGER,
    VARCHAR,
    Type,
    decimal,
    quote_text,
)

Compile = Callable[[Compiler, tree.Call, Scope], Value]


@dataclass(frozen=True, slots=True)
class Special:
    """A function with its own compiler; ``aggregate`` allows DISTINCT, FILTER, OVER."""

    compile: Compile
    aggregate: bool = False


def _coalesce(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if len(node.args) < 2:
        raise QueryError(
            "INVALID_FUNCTION_ARGUMENT",
            "The 'coalesce' function must have at least two arguments", node.at,
        )  # fmt: skip
    values = c.unify(
        [c.expr(a, scope) for a in node.args],
        "All COALESCE operands must be the same type or coercible to a common type", node.at,
    )  # fmt: skip
    return Value(f"coalesce({', '.join(v.sql for v in values)})", values[0].type)


def _nullif(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2)
    a, b = (c.expr(x, scope) for x in node.args)
    same = c.compare("=", a, b, node.at)
    return Value(f"CASE WHEN {same.sql} THEN NULL ELSE {a.sql} END", a.type)


def _if(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2, 3)
    condition = c.condition(node.args[0], scope, "IF condition")
    values = c.unify(
        [c.expr(a, scope) for a in node.args[1:]],
        "Result types for IF must be the same", node.at,
    )  # fmt: skip
    otherwise = values[1].sql if len(values) > 1 else "NULL"
    return Value(f"CASE WHEN {condition} THEN {values[0].sql} ELSE {otherwise} END", values[0].type)


def _try(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    sql = value.sql
    if fails_by_error(sql):
        if not has_column(sql):
            sql = sql.replace("const_", "tried_")
        else:
            refuse("TRY around a constant expression that may fail is not supported here", node.at)
    if "(SELECT " in sql:
        refuse("TRY around a subquery is not supported here", node.at)
    return Value(f"TRY({sql})", value.type)


def _extremum(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if not node.args:
        arity(node, 1, 127)
    values = c.unify(
        [c.expr(a, scope) for a in node.args],
        f"Unexpected parameters for function {node.name}: not of one type", node.at,
    )  # fmt: skip
    kind = values[0].type
    if not kind.is_orderable:
        mismatch(f"Unexpected parameters ({kind}) for function {node.name}", node.at)
    listed = ", ".join(v.sql for v in values)
    nulls = " OR ".join(f"({v.sql}) IS NULL" for v in values)
    # DuckDB skips nulls; in Trino one null makes the result null.
    return Value(f"CASE WHEN {nulls} THEN NULL ELSE {node.name}({listed}) END", kind)


def _rounding(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1, 2 if node.name in ("round", "truncate") else 1)
    value = c.expr(node.args[0], scope)
    kind = value.type
    if not kind.is_number:
        mismatch(f"Unexpected parameters ({kind}) for function {node.name}", node.at)
    if len(node.args) == 2:
        return _round_to(c, node, value, scope)
    if kind.is_integer:
        return value
    name = {"ceiling": "ceil", "truncate": "trunc"}.get(node.name, node.name)
    if kind.name == "decimal":
        precision, scale = kind.numbers
        extra = 0 if name == "trunc" or scale == 0 else 1
        result = decimal(min(38, precision - scale + extra) or 1, 0)
        return Value(f"CAST({name}({value.sql}) AS {result.duck})", result)
    sql = f"local_round({value.sql})" if name == "round" else f"{name}({value.sql})"
    return Value(f"CAST({sql} AS {kind.duck})", kind)


def _round_to(c: Compiler, node: tree.Call, value: Value, scope: Scope) -> Value:
    digits = c.expr(node.args[1], scope)
    if not isinstance(digits.literal, int) or not digits.type.is_integer:
        refuse(f"{node.name} needs a literal number of digits here", node.at)
    kind, name = value.type, "round" if node.name == "round" else "trunc"
    if kind.is_integer:
        if digits.literal >= 0:
            return value
        unit = 10 ** min(-digits.literal, 18)
        half = f"(abs(CAST({value.sql} AS HUGEINT)) + {unit // 2}) // {unit} * {unit}"
        if name == "trunc":
            half = f"abs(CAST({value.sql} AS HUGEINT)) // {unit} * {unit}"
        return Value(
            f"CAST(CASE WHEN {value.sql} < 0 THEN -1 ELSE 1 END * ({half}) AS {kind.duck})", kind
        )
    if kind.name == "decimal":
        precision, scale = kind.numbers
        result = decimal(min(38, precision + (1 if name == "round" else 0)), scale)
        if digits.literal >= scale:
            return Value(f"CAST({value.sql} AS {result.duck})", result)
        if digits.literal < 0 or name == "trunc":
            return _decimal_to_unit(value, digits.literal, name, result)
        return Value(f"CAST(round({value.sql}, {digits.literal}) AS {result.duck})", result)
    if name == "trunc":
        mismatch(f"Unexpected parameters ({kind}, {digits.type}) for function truncate", node.at)
    return Value(f"CAST(local_round_to({value.sql}, {digits.literal}) AS {kind.duck})", kind)


def _decimal_to_unit(value: Value, digits: int, name: str, result: Type) -> Value:
    """A decimal cut or rounded at a digit that DuckDB's own functions do not reach."""
    scale = result.numbers[1]
    unit = 10 ** (scale - digits)
    whole = f"{unscaled(value)}"
    half = unit // 2 if name == "round" else 0
    size = f"(abs({whole}) + {half}) // {unit} * {unit}"
    signed = f"CASE WHEN {value.sql} < 0 THEN -1 ELSE 1 END * ({size})"
    one = f"CAST('{1 / 10**scale:.{scale}f}' AS DECIMAL({scale + 1},{scale}))"
    return Value(
        f"CAST(CAST({signed} AS DECIMAL({38 - scale},0)) * {one} AS {result.duck})", result
    )


def _abs(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    if not value.type.is_number:
        mismatch(f"Unexpected parameters ({value.type}) for function abs", node.at)
    return Value(f"abs({value.sql})", value.type)


def _sign(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    if not value.type.is_number:
        mismatch(f"Unexpected parameters ({value.type}) for function sign", node.at)
    kind = decimal(1, 0) if value.type.name == "decimal" else value.type
    if kind.name in ("real", "double"):
        sql = f"CASE WHEN isnan({value.sql}) THEN {value.sql} ELSE sign({value.sql}) END"
        return Value(f"CAST({sql} AS {kind.duck})", kind)
    return Value(f"CAST(sign({value.sql}) AS {kind.duck})", kind)


def _shift_bits(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2)
    value, amount = (c.expr(a, scope) for a in node.args)
    kind = value.type
    if not kind.is_integer or not amount.type.is_integer:
        mismatch(f"Unexpected parameters ({kind}, {amount.type}) for {node.name}", node.at)
    bits = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64}[kind.name]
    whole, by = f"CAST({value.sql} AS HUGEINT)", f"CAST({amount.sql} AS INTEGER)"
    unsigned = f"(({whole} + {2**bits}) % {2**bits})"
    if node.name == "bitwise_left_shift":
        shifted = f"(({unsigned} * CAST(pow(2, least({by}, 62)) AS HUGEINT)) % {2**bits})"
        shifted = f"CASE WHEN {by} >= {bits} THEN 0 ELSE {shifted} END"
    elif node.name == "bitwise_right_shift":
        shifted = f"({unsigned} // CAST(pow(2, {by}) AS HUGEINT))"
    else:
        shifted = f"CAST(floor(CAST({whole} AS DECIMAL(38,0)) / pow(2, {by})) AS HUGEINT)"
    signed = (
        f"CASE WHEN {shifted} >= {2 ** (bits - 1)} THEN {shifted} - {2**bits} ELSE {shifted} END"
    )
    return Value(f"CAST({signed} AS {kind.duck})", kind)


def _mod(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2)
    return c.expr(tree.Binary(node.at, "%", node.args[0], node.args[1]), scope)


def _typeof(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    shown = quote_text(str(value.type))
    if not has_column(value.sql):
        return Value(shown, VARCHAR)
    # The value stays in the SQL: if it is an aggregate, there is one row and not one for each.
    return Value(f"CASE WHEN ({value.sql}) IS NULL THEN {shown} ELSE {shown} END", VARCHAR)


# ------------------------------------------------------------------------- aggregates


def _decimal_aggregate(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    kind = value.type
    tail, distinct = c.tail(node, scope), "DISTINCT " if node.distinct else ""
    if kind.name == "unknown":
        value, kind = coerce(value, BIGINT), BIGINT
    if kind.name == "decimal":
        scale = kind.numbers[1]
        wide = f"CAST({value.sql} AS DECIMAL(38,{scale}))"
        total = f"sum({distinct}{wide}){tail}"
        if node.name == "sum":
            result = decimal(38, scale)
            return Value(f"CAST({total} AS {result.duck})", result)
        count = f"count({distinct}{value.sql}){tail}"
        up = Value(f"({total})", decimal(38, scale))
        down = Value(f"nullif({count}, 0)", decimal(19, 0))
        quotient = combine("/", up, down, node.at)
        return Value(f"CAST({quotient.sql} AS {kind.duck})", kind)
    if kind.is_integer:
        inner = f"{node.name}({distinct}{value.sql}){tail}"
        if node.name == "sum":
            return Value(f"CAST({inner} AS BIGINT)", BIGINT)
        return Value(inner, DOUBLE)
    if kind.name in ("real", "double"):
        sql = f"{node.name}({distinct}{value.sql}){tail}"
        return Value(f"CAST({sql} AS {kind.duck})", kind)
    if kind.name.startswith("interval") and node.name == "avg":
        return Value(f"CAST(avg({distinct}{value.sql}){tail} AS BIGINT)", kind)
    if kind.name.startswith("interval") and node.name == "sum":
        return Value(f"CAST(sum({distinct}{value.sql}){tail} AS BIGINT)", kind)
    mismatch(
        f"Unexpected parameters ({kind}) for function {node.name}. Expected: "
        f"{node.name}(double), {node.name}(real), {node.name}(bigint), {node.name}(decimal(p,s))",
        node.at,
    )


def _listagg(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1, 2)
    value = c.expr(node.args[0], scope)
    if value.type.name not in ("varchar", "char"):
        mismatch(f"Unexpected parameters ({value.type}) for function listagg", node.at)
    separator = c.expr(node.args[1], scope) if len(node.args) > 1 else Value("''", VARCHAR, "")
    if not isinstance(separator.literal, str) or not node.within_group:
        refuse("listagg needs a literal separator and WITHIN GROUP (ORDER BY ...)", node.at)
    distinct = "DISTINCT " if node.distinct else ""
    order = c.sort_list(node.within_group, scope)
    tail = c.tail(node, scope)
    return Value(
        f"string_agg({distinct}{value.sql}, {separator.sql} ORDER BY {order}){tail}", VARCHAR
    )


def _grouping(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if any(isinstance(a, tree.Ident) and a.name in scope.outer_names for a in node.args):
        raise QueryError(
            "INVALID_ARGUMENTS",
            "Invalid reference to output of SELECT clause from grouping() expression in ORDER BY",
            node.at,
        )
    inner = ", ".join(c.expr(a, scope).sql for a in node.args)
    return Value(f"CAST(grouping({inner}) AS INTEGER)", INTEGER)


def _name(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    shown = {"current_schema": c.resolver.database, "current_catalog": CATALOG}
    return Value(quote_text(shown.get(node.name, "hadoop")), VARCHAR)


def _date(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    return explicit(c.expr(node.args[0], scope), DATE, node.at, safe=False)


_MODULES: dict[str, Compile] = {**TIME, **FORMATS, **TEXT, **NESTED, **JSONS}

SPECIAL: dict[str, Special] = {
    "coalesce": Special(_coalesce), "nullif": Special(_nullif), "if": Special(_if),
    "try": Special(_try), "greatest": Special(_extremum), "least": Special(_extremum),
    "round": Special(_rounding), "floor": Special(_rounding), "ceil": Special(_rounding),
    "ceiling": Special(_rounding), "truncate": Special(_rounding), "abs": Special(_abs),
    "mod": Special(_mod), "sign": Special(_sign),
    "bitwise_left_shift": Special(_shift_bits), "bitwise_right_shift": Special(_shift_bits),
    "bitwise_right_shift_arithmetic": Special(_shift_bits), "typeof": Special(_typeof),
    "sum": Special(_decimal_aggregate, True),
    "avg": Special(_decimal_aggregate, True), "listagg": Special(_listagg, True),
    "current_schema": Special(_name), "current_catalog": Special(_name),
    "current_user": Special(_name), "grouping": Special(_grouping),
    "reduce_agg": Special(_reduce_agg, True),
    "date": Special(_date),
    **{name: Special(compile_) for name, compile_ in _MODULES.items()},
}  # fmt: skip
