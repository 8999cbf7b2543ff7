"""Functions whose result depends on more than a signature can say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_aws.engine import tree
from local_aws.engine.casts import coerce, explicit
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.macros import has_column
from local_aws.engine.scope import Scope, Value
from local_aws.engine.special_text import TEXT
from local_aws.engine.special_time import TIME
from local_aws.engine.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    JSON,
    UNKNOWN,
    VARCHAR,
    Type,
    array,
    as_decimal,
    common,
    decimal,
)

if TYPE_CHECKING:
    from local_aws.engine.compile_expression import ExpressionCompiler

Compile = Callable[["ExpressionCompiler", tree.Call, Scope], Value]


@dataclass(frozen=True, slots=True)
class Special:
    """A function with its own compiler; ``aggregate`` allows DISTINCT, FILTER, OVER."""

    compile: Compile
    aggregate: bool = False


def arity(node: tree.Call, low: int, high: int | None = None) -> None:
    """Fail unless the call has ``low`` to ``high`` arguments."""
    if not low <= len(node.args) <= (low if high is None else high):
        mismatch(
            f"Unexpected number of arguments for function {node.name}: {len(node.args)}", node.at
        )


def _coalesce(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
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


def _nullif(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2)
    a, b = (c.expr(x, scope) for x in node.args)
    same = c.compare("=", a, b, node.at)
    return Value(f"CASE WHEN {same.sql} THEN NULL ELSE {a.sql} END", a.type)


def _if(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2, 3)
    condition = c.condition(node.args[0], scope, "IF condition")
    values = c.unify(
        [c.expr(a, scope) for a in node.args[1:]],
        "Result types for IF must be the same", node.at,
    )  # fmt: skip
    otherwise = values[1].sql if len(values) > 1 else "NULL"
    return Value(f"CASE WHEN {condition} THEN {values[0].sql} ELSE {otherwise} END", values[0].type)


def _try(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    sql = value.sql
    if "const_" in sql:
        if not has_column(sql):
            sql = sql.replace("const_", "tried_")
        else:
            refuse("TRY around a constant expression that may fail is not supported here", node.at)
    if "(SELECT " in sql:
        refuse("TRY around a subquery is not supported here", node.at)
    return Value(f"TRY({sql})", value.type)


def _extremum(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    if not node.args:
        arity(node, 1, 127)
    values = c.unify(
        [c.expr(a, scope) for a in node.args],
        f"All {node.name.upper()} operands must be the same type", node.at,
    )  # fmt: skip
    kind = values[0].type
    if not kind.is_orderable:
        mismatch(f"Unexpected parameters ({kind}) for function {node.name}", node.at)
    listed = ", ".join(v.sql for v in values)
    nulls = " OR ".join(f"({v.sql}) IS NULL" for v in values)
    # DuckDB skips nulls; in Trino one null makes the result null.
    return Value(f"CASE WHEN {nulls} THEN NULL ELSE {node.name}({listed}) END", kind)


def _rounding(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
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


def _round_to(c: ExpressionCompiler, node: tree.Call, value: Value, scope: Scope) -> Value:
    digits = c.expr(node.args[1], scope)
    if not isinstance(digits.literal, int) or not digits.type.is_integer:
        refuse(f"{node.name} needs a literal number of digits here", node.at)
    kind, name = value.type, "round" if node.name == "round" else "trunc"
    if kind.is_integer:
        if digits.literal >= 0:
            return value
        refuse(f"{node.name} of an integer to tens is not supported here", node.at)
    if kind.name == "decimal":
        precision, scale = kind.numbers
        result = decimal(min(38, precision + (1 if name == "round" else 0)), scale)
        if name == "trunc" or digits.literal < 0:
            refuse(f"{node.name} of a decimal to these digits is not supported here", node.at)
        if digits.literal >= scale:
            return Value(f"CAST({value.sql} AS {result.duck})", result)
        return Value(f"CAST(round({value.sql}, {digits.literal}) AS {result.duck})", result)
    if name == "trunc":
        refuse("truncate of a double to digits is not supported here", node.at)
    # Trino rounds double(x) through BigDecimal of its shortest decimal text.
    text = f"CAST({value.sql} AS VARCHAR)"
    exact = f"round(CAST({text} AS DECIMAL(38,15)), {digits.literal})"
    plain = f"abs({value.sql}) < 1e15 AND NOT contains({text}, 'e')"
    return Value(
        f"CASE WHEN {plain} THEN CAST({exact} AS {kind.duck}) "
        f"ELSE round({value.sql}, {digits.literal}) END",
        kind,
    )


def _abs(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    if not value.type.is_number:
        mismatch(f"Unexpected parameters ({value.type}) for function abs", node.at)
    return Value(f"abs({value.sql})", value.type)


def _mod(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2)
    return c.expr(tree.Binary(node.at, "%", node.args[0], node.args[1]), scope)


def _typeof(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    kind = str(c.expr(node.args[0], scope).type)
    return Value("'" + kind.replace("'", "''") + "'", VARCHAR)


# ------------------------------------------------------------------------- aggregates


def _decimal_aggregate(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    kind = value.type
    tail, distinct = c.tail(node, scope), "DISTINCT " if node.distinct else ""
    if kind.name == "unknown":
        value, kind = coerce(value, BIGINT), BIGINT
    if kind.name == "decimal":
        precision, scale = kind.numbers
        wide = f"CAST({value.sql} AS DECIMAL(38,{scale}))"
        total = f"sum({distinct}{wide}){tail}"
        if node.name == "sum":
            result = decimal(38, scale)
            return Value(f"CAST({total} AS {result.duck})", result)
        count = f"count({distinct}{value.sql}){tail}"
        up = Value(f"({total})", decimal(38, scale))
        down = Value(f"nullif({count}, 0)", decimal(19, 0))
        from local_aws.engine.arithmetic import combine

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
    if kind.name.startswith("interval") and node.name == "sum":
        return Value(f"CAST(sum({distinct}{value.sql}){tail} AS BIGINT)", kind)
    mismatch(
        f"Unexpected parameters ({kind}) for function {node.name}. Expected: "
        f"{node.name}(double), {node.name}(real), {node.name}(bigint), {node.name}(decimal(p,s))",
        node.at,
    )


def _listagg(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
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


def _grouping(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    inner = ", ".join(c.expr(a, scope).sql for a in node.args)
    return Value(f"CAST(grouping({inner}) AS INTEGER)", INTEGER)


# ------------------------------------------------------------------------- lambdas


def _reduce(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 4)
    items, start = c.expr(node.args[0], scope), c.expr(node.args[1], scope)
    if items.type.name != "array":
        mismatch(f"Unexpected parameters ({items.type}) for function reduce", node.at)
    element = items.type.of[0]
    _, trial = c.lambda_body(node.args[2], [start.type, element], scope)
    state = common(start.type, trial.type)
    if state is None:
        mismatch(f"reduce: the state is {start.type}, the lambda gives {trial.type}", node.at)
    if state.name == "varchar":
        state = VARCHAR
    # Elements and the state need one type to DuckDB, so both travel in a struct.
    self_name, item_name = f"v{c.names + 1}_", f"v{c.names + 2}_"
    c.names += 2
    _, step = c.lambda_body(
        node.args[2], [state, element], scope, [f"{self_name}.s", f"{item_name}.e"]
    )
    pack = "struct_pack(s := {}, e := {})"
    none_state, none_item = f"CAST(NULL AS {state.duck})", f"CAST(NULL AS {element.duck})"
    wrapped = (
        f"list_transform({items.sql}, lambda y_: {pack.format(none_state, 'y_')})"
    )
    first = pack.format(coerce(start, state).sql, none_item)
    body = pack.format(coerce(step, state).sql, none_item)
    folded = f"list_reduce({wrapped}, lambda {self_name}, {item_name}: {body}, {first}).s"
    names, last = c.lambda_body(node.args[3], [state], scope)
    final = f"list_transform([{folded}], lambda {names[0]}: {last.sql})[1]"
    return Value(f"CASE WHEN {items.sql} IS NULL THEN NULL ELSE {final} END", last.type)


def _zip_with(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 3)
    a, b = c.expr(node.args[0], scope), c.expr(node.args[1], scope)
    if a.type.name != "array" or b.type.name != "array":
        mismatch(f"Unexpected parameters ({a.type}, {b.type}) for function zip_with", node.at)
    c.names += 1
    pair = f"v{c.names}_"
    _, body = c.lambda_body(
        node.args[2], [a.type.of[0], b.type.of[0]], scope, [f"{pair}[1]", f"{pair}[2]"]
    )
    return Value(
        f"list_transform(list_zip({a.sql}, {b.sql}), lambda {pair}: {body.sql})", array(body.type)
    )


def _map_zip_with(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 3)
    a, b = c.expr(node.args[0], scope), c.expr(node.args[1], scope)
    if a.type.name != "map" or b.type.name != "map":
        mismatch(f"Unexpected parameters ({a.type}, {b.type}) for function map_zip_with", node.at)
    key = common(a.type.of[0], b.type.of[0])
    if key is None:
        mismatch("map_zip_with needs maps with the same type of key", node.at)
    left, right = (coerce(m, Type("map", (), (key, m.type.of[1]))) for m in (a, b))
    c.names += 1
    k = f"v{c.names}_"
    _, body = c.lambda_body(
        node.args[2], [key, a.type.of[1], b.type.of[1]], scope,
        [k, f"map_extract_value({left.sql}, {k})", f"map_extract_value({right.sql}, {k})"],
    )  # fmt: skip
    keys = f"list_distinct(list_concat(map_keys({left.sql}), map_keys({right.sql})))"
    entry = f"struct_pack(key := {k}, value := {body.sql})"
    return Value(
        f"map_from_entries(list_transform({keys}, lambda {k}: {entry}))",
        Type("map", (), (key, body.type)),
    )


def _set_operation(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2)
    values = [c.expr(a, scope) for a in node.args]
    if any(v.type.name != "array" for v in values):
        mismatch(f"Unexpected parameters for function {node.name}", node.at)
    a, b = c.unify(values, f"{node.name} needs arrays of one type", node.at)
    d = "y_ -> y_"
    del d
    both = f"list_concat({a.sql}, {b.sql})"
    keep = "list_contains({0}, y_) OR (y_ IS NULL AND len(list_filter({0}, lambda z_: z_ IS NULL)) > 0)"
    source = {
        "array_union": both,
        "array_intersect": f"list_filter({a.sql}, lambda y_: {keep.format(b.sql)})",
        "array_except": f"list_filter({a.sql}, lambda y_: NOT ({keep.format(b.sql)}))",
    }[node.name]
    null = f"{a.sql} IS NULL OR {b.sql} IS NULL"
    return Value(
        f"CASE WHEN {null} THEN NULL ELSE {distinct_list(source)} END", a.type
    )


def distinct_list(sql: str) -> str:
    """First occurrences in order, one null kept (DuckDB's own drops nulls and the order)."""
    return (
        f"list_reduce(list_transform({sql}, lambda y_: [y_]), lambda a_, b_: "
        "CASE WHEN (b_[1] IS NULL AND len(list_filter(a_, lambda y_: y_ IS NULL)) > 0) "
        "OR list_contains(a_, b_[1]) THEN a_ ELSE list_concat(a_, b_) END, "
        f"({sql})[1:0])"
    )


def _array_distinct(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    if value.type.name != "array":
        mismatch(f"Unexpected parameters ({value.type}) for function array_distinct", node.at)
    return Value(
        f"CASE WHEN {value.sql} IS NULL THEN NULL ELSE {distinct_list(value.sql)} END", value.type
    )


def _array_sort(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    if len(node.args) == 2:
        refuse("array_sort with a comparator is not supported here", node.at)
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    if value.type.name != "array" or not value.type.of[0].is_orderable:
        mismatch(f"Unexpected parameters ({value.type}) for function array_sort", node.at)
    return Value(f"list_sort({value.sql}, 'ASC', 'NULLS LAST')", value.type)


# ------------------------------------------------------------------------- JSON


def _json_extract(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    from local_aws.engine.call import json_path

    arity(node, 2)
    source, path = c.expr(node.args[0], scope), c.expr(node.args[1], scope)
    if source.type.name not in ("varchar", "json", "unknown"):
        mismatch(f"Unexpected parameters ({source.type}, {path.type}) for {node.name}", node.at)
    # Trino gives null for text that is no JSON.
    text = source.sql if source.type == JSON else (
        f"CASE WHEN json_valid({source.sql}) THEN {source.sql} END"
    )
    where = json_path(path)
    if node.name == "json_extract":
        return Value(f"json_extract({text}, {where})", JSON)
    return Value(f"local_json_extract_scalar({text}, {where})", VARCHAR)


def _array_text(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    source = value.sql
    if value.type.name == "varchar":
        source = f"CASE WHEN json_valid({value.sql}) THEN CAST({value.sql} AS JSON) END"
    elif value.type != JSON:
        mismatch(f"Unexpected parameters ({value.type}) for function {node.name}", node.at)
    return Value(
        f"CASE WHEN json_type({source}) = 'ARRAY' "
        f"THEN CAST(json_array_length({source}) AS BIGINT) END", BIGINT,
    )  # fmt: skip


def _date(c: ExpressionCompiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    return explicit(c.expr(node.args[0], scope), DATE, node.at, safe=False)


SPECIAL: dict[str, Special] = {
    "coalesce": Special(_coalesce), "nullif": Special(_nullif), "if": Special(_if),
    "try": Special(_try), "greatest": Special(_extremum), "least": Special(_extremum),
    "round": Special(_rounding), "floor": Special(_rounding), "ceil": Special(_rounding),
    "ceiling": Special(_rounding), "truncate": Special(_rounding), "abs": Special(_abs),
    "mod": Special(_mod), "typeof": Special(_typeof), "sum": Special(_decimal_aggregate, True),
    "avg": Special(_decimal_aggregate, True), "listagg": Special(_listagg, True),
    "grouping": Special(_grouping), "reduce": Special(_reduce), "zip_with": Special(_zip_with),
    "map_zip_with": Special(_map_zip_with), "array_union": Special(_set_operation),
    "array_intersect": Special(_set_operation), "array_except": Special(_set_operation),
    "array_distinct": Special(_array_distinct), "array_sort": Special(_array_sort),
    "json_extract": Special(_json_extract), "json_extract_scalar": Special(_json_extract),
    "json_array_length": Special(_array_text), "date": Special(_date),
    **{name: Special(compile_) for name, compile_ in {**TIME, **TEXT}.items()},
}  # fmt: skip

__all__ = ["BOOLEAN", "SPECIAL", "UNKNOWN", "as_decimal"]
