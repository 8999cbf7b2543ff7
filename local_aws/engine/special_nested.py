"""Functions of arrays and maps that take lambdas or keep an order DuckDB would not."""

from __future__ import annotations

from collections.abc import Callable

from local_aws.engine import tree
from local_aws.engine.casts import coerce
from local_aws.engine.compiler import Compiler
from local_aws.engine.errors import mismatch, refuse
from local_aws.engine.scope import Scope, Value
from local_aws.engine.types import VARCHAR, Type, array, common


def arity(node: tree.Call, low: int, high: int | None = None) -> None:
    """Fail unless the call has ``low`` to ``high`` arguments."""
    if not low <= len(node.args) <= (low if high is None else high):
        mismatch(
            f"Unexpected number of arguments for function {node.name}: {len(node.args)}", node.at
        )


def _reduce(c: Compiler, node: tree.Call, scope: Scope) -> Value:
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
    wrapped = f"list_transform({items.sql}, lambda y_: {pack.format(none_state, 'y_')})"
    first = pack.format(coerce(start, state).sql, none_item)
    body = pack.format(coerce(step, state).sql, none_item)
    folded = f"list_reduce({wrapped}, lambda {self_name}, {item_name}: {body}, {first}).s"
    names, last = c.lambda_body(node.args[3], [state], scope)
    final = f"list_transform([{folded}], lambda {names[0]}: {last.sql})[1]"
    return Value(f"CASE WHEN {items.sql} IS NULL THEN NULL ELSE {final} END", last.type)


def _zip_with(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 3)
    a, b = c.expr(node.args[0], scope), c.expr(node.args[1], scope)
    if a.type.name != "array" or b.type.name != "array":
        mismatch(f"Unexpected parameters ({a.type}, {b.type}) for function zip_with", node.at)
    c.names += 1
    pair = f"v{c.names}_"
    _, body = c.lambda_body(
        node.args[2], [a.type.of[0], b.type.of[0]], scope, [f"{pair}[1]", f"{pair}[2]"]
    )
    made = f"list_transform(list_zip({a.sql}, {b.sql}), lambda {pair}: {body.sql})"
    nulls = f"({a.sql}) IS NULL OR ({b.sql}) IS NULL"
    return Value(f"CASE WHEN {nulls} THEN NULL ELSE {made} END", array(body.type))


def _zip(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2, 5)
    values = [c.expr(a, scope) for a in node.args]
    if any(v.type.name != "array" for v in values):
        mismatch(f"Unexpected parameters for function {node.name}", node.at)
    kind = Type("row", (), tuple(v.type.of[0] for v in values), tuple(None for _ in values))
    listed = ", ".join(v.sql for v in values)
    parts = ", ".join(f"field{i} := y_[{i + 1}]" for i in range(len(values)))
    nulls = " OR ".join(f"({v.sql}) IS NULL" for v in values)
    made = f"list_transform(list_zip({listed}), lambda y_: struct_pack({parts}))"
    return Value(f"CASE WHEN {nulls} THEN NULL ELSE {made} END", array(kind))


def _reduce_agg(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 4)
    item, start = c.expr(node.args[0], scope), c.expr(node.args[1], scope)
    _, trial = c.lambda_body(node.args[2], [start.type, item.type], scope)
    state = common(start.type, trial.type)
    if state is None or state.duck != item.type.duck:
        refuse("reduce_agg whose state is not of the type of its input", node.at)
    names, step = c.lambda_body(node.args[2], [state, item.type], scope)
    items = f"list_filter(list({item.sql}){c.tail(node, scope)}, lambda y_: y_ IS NOT NULL)"
    body = coerce(step, state).sql
    return Value(
        f"list_reduce({items}, lambda {', '.join(names)}: {body}, {coerce(start, state).sql})",
        state,
    )


def _map_zip_with(c: Compiler, node: tree.Call, scope: Scope) -> Value:
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


def _set_operation(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2)
    values = [c.expr(a, scope) for a in node.args]
    if any(v.type.name != "array" for v in values):
        mismatch(f"Unexpected parameters for function {node.name}", node.at)
    a, b = c.unify(values, f"{node.name} needs arrays of one type", node.at)
    both = f"list_concat({a.sql}, {b.sql})"
    has_null = "len(list_filter({0}, lambda z_: z_ IS NULL)) > 0"
    keep = f"list_contains({{0}}, y_) OR (y_ IS NULL AND {has_null})"
    source = {
        "array_union": both,
        "array_intersect": f"list_filter({a.sql}, lambda y_: {keep.format(b.sql)})",
        "array_except": f"list_filter({a.sql}, lambda y_: NOT ({keep.format(b.sql)}))",
    }[node.name]
    null = f"{a.sql} IS NULL OR {b.sql} IS NULL"
    return Value(f"CASE WHEN {null} THEN NULL ELSE {distinct_list(source)} END", a.type)


def distinct_list(sql: str) -> str:
    """First occurrences in order, one null kept (DuckDB's own drops nulls and the order)."""
    return (
        f"list_reduce(list_transform({sql}, lambda y_: [y_]), lambda a_, b_: "
        "CASE WHEN (b_[1] IS NULL AND len(list_filter(a_, lambda y_: y_ IS NULL)) > 0) "
        "OR list_contains(a_, b_[1]) THEN a_ ELSE list_concat(a_, b_) END, "
        f"({sql})[1:0])"
    )


def _array_distinct(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    if value.type.name != "array":
        mismatch(f"Unexpected parameters ({value.type}) for function array_distinct", node.at)
    return Value(
        f"CASE WHEN {value.sql} IS NULL THEN NULL ELSE {distinct_list(value.sql)} END", value.type
    )


def _sort_by(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    """By a comparator: each element is put behind those that are not greater."""
    value = c.expr(node.args[0], scope)
    if value.type.name != "array":
        mismatch(f"Unexpected parameters ({value.type}) for function array_sort", node.at)
    element = value.type.of[0]
    c.names += 1
    sorted_, other = f"v{c.names}_", f"v{c.names}_y_"
    _, body = c.lambda_body(node.args[1], [element, element], scope, [other, f"{sorted_}n[1]"])
    if not body.type.is_integer:
        mismatch(f"Unexpected parameters: the comparator gives {body.type}", node.at)
    checked = f"local_comparison({body.sql})"
    before = f"len(list_filter({sorted_}, lambda {other}: {checked} <= 0))"
    step = (
        f"list_concat(list_concat({sorted_}[1 : {before}], {sorted_}n), {sorted_}[{before} + 1 :])"
    )
    single = f"list_transform({value.sql}, lambda y_: [y_])"
    folded = f"list_reduce({single}, lambda {sorted_}, {sorted_}n: {step}, ({value.sql})[1:0])"
    return Value(f"CASE WHEN ({value.sql}) IS NULL THEN NULL ELSE {folded} END", value.type)


def _array_sort(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if len(node.args) == 2:
        return _sort_by(c, node, scope)
    arity(node, 1)
    value = c.expr(node.args[0], scope)
    if value.type.name != "array" or not value.type.of[0].is_orderable:
        mismatch(f"Unexpected parameters ({value.type}) for function array_sort", node.at)
    return Value(f"list_sort({value.sql}, 'ASC', 'NULLS LAST')", value.type)


NESTED: dict[str, Callable[[Compiler, tree.Call, Scope], Value]] = {
    "reduce": _reduce,
    "zip": _zip,
    "zip_with": _zip_with,
    "map_zip_with": _map_zip_with,
    "array_union": _set_operation,
    "array_intersect": _set_operation,
    "array_except": _set_operation,
    "array_distinct": _array_distinct,
    "array_sort": _array_sort,
}
