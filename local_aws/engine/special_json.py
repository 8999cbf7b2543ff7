"""JSON: paths in both spellings, and the constructors of the SQL standard."""

from __future__ import annotations

import json
from collections.abc import Callable

from local_aws.engine import tree
from local_aws.engine.casts import coerce, explicit
from local_aws.engine.compiler import Compiler
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.json_path import json_path, json_steps
from local_aws.engine.native_json import standard_steps
from local_aws.engine.scope import Scope, Value
from local_aws.engine.special_nested import arity
from local_aws.engine.types import BIGINT, BOOLEAN, JSON, VARCHAR, Type, parse_type, quote_text

Compile = Callable[[Compiler, tree.Call, Scope], Value]


def _json_extract(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2)
    source, path = c.expr(node.args[0], scope), c.expr(node.args[1], scope)
    if source.type.name not in ("varchar", "json", "unknown"):
        mismatch(f"Unexpected parameters ({source.type}, {path.type}) for {node.name}", node.at)
    # Trino gives null for text that is no JSON.
    text = (
        source.sql
        if source.type == JSON
        else (f"CASE WHEN json_valid({source.sql}) THEN {source.sql} END")
    )
    where = json_path(path)
    length = source.type.numbers if source.type.name == "varchar" else ()
    if node.name == "json_extract":
        return Value(f"json_extract({text}, {where})", JSON)
    steps = quote_text(json.dumps(json_steps(str(path.literal))))
    return Value(f"local_json_extract_scalar({text}, {where}, {steps})", Type("varchar", length))


def _array_length(c: Compiler, node: tree.Call, scope: Scope) -> Value:
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


def _array_get(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    arity(node, 2)
    source, index = c.expr(node.args[0], scope), coerce(c.expr(node.args[1], scope), BIGINT)
    if source.type.name not in ("varchar", "json"):
        mismatch(f"Unexpected parameters ({source.type}) for function {node.name}", node.at)
    items = f"local_valid({source.sql})"
    path = f"('$[' || CASE WHEN {index.sql} < 0 THEN '#' ELSE '' END || {index.sql} || ']')"
    item = f"json_extract({items}, {path})"
    # Trino gives text without its quotes here, though the type says JSON; its manual warns of it.
    text = f"CASE WHEN json_type({item}) = 'VARCHAR' THEN {item} ->> '$' ELSE {item}::VARCHAR END"
    return Value(f"CASE WHEN json_type({items}) = 'ARRAY' THEN {text} END", JSON)


# ------------------------------------------------------------------------- the SQL standard's


def _found(c: Compiler, node: tree.Call, scope: Scope) -> tuple[dict[str, str], str, Value]:
    """Options, the lookup's SQL (what came of it, and the text), and the document."""
    document, shown = c.expr(node.args[0], scope), node.args[1]
    assert isinstance(shown, tree.Literal)
    options: dict[str, str] = json.loads(shown.value)
    if document.type.name not in ("varchar", "char", "unknown", "json"):
        mismatch(f"Cannot read input of type {document.type} as JSON", node.at)
    if standard_steps(options["path"]) is None:
        refuse(f"JSON path {options['path']} is not supported here", node.at)
    text = f"CAST({document.sql} AS VARCHAR)"
    mode = f"{node.name[6:]}:{options.get('wrapper', '')}:{options.get('omit', '')}"
    sql = f"py_json_standard({text}, {quote_text(options['path'])}, {quote_text(mode)})"
    return options, sql, document


def _json_value(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    options, found, _ = _found(c, node, scope)
    kind = parse_type(options["returning"]) if "returning" in options else VARCHAR
    made = explicit(Value(f"{found}[2]", VARCHAR), kind, node.at, safe=options["error"] != "error")
    whens = []
    for when, arg in (("empty", node.args[2]), ("error", node.args[3])):
        if options[when] == "error":
            code = "PATH_EVALUATION_ERROR" if when == "error" else "JSON_VALUE_RESULT_ERROR"
            then = f"local_fail('{code}', 'cannot extract SQL scalar from JSON', {found}[2])"
        elif options[when] == "default":
            then = explicit(c.expr(arg, scope), kind, node.at, safe=False).sql
        else:
            then = "NULL"
        whens.append(f"WHEN '{when}' THEN {then}")
    return Value(f"CASE {found}[1] {' '.join(whens)} WHEN 'value' THEN {made.sql} END", kind)


def _json_query(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    options, found, _ = _found(c, node, scope)
    if options.get("returning", "varchar").lower() != "varchar":
        refuse("JSON_QUERY RETURNING other than varchar is not supported here", node.at)
    shown = {"array": "'[]'", "object": "'{}'", "null": "NULL"}
    whens = []
    for when in ("empty", "error"):
        fail = f"local_fail('PATH_EVALUATION_ERROR', 'path evaluation failed', {found}[2])"
        whens.append(f"WHEN '{when}' THEN {shown.get(options[when], fail)}")
    return Value(f"CASE {found}[1] {' '.join(whens)} ELSE {found}[2] END", VARCHAR)


def _json_exists(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    options, found, _ = _found(c, node, scope)
    if options["error"] == "error":
        error = f"local_fail('PATH_EVALUATION_ERROR', 'path evaluation failed', {found}[2])"
    else:
        error = {"true": "true", "false": "false"}.get(options["error"], "NULL")
    return Value(
        f"CASE {found}[1] WHEN 'empty' THEN false WHEN 'error' THEN {error} "
        "WHEN 'value' THEN true WHEN 'many' THEN true END",
        BOOLEAN,
    )


def _json(value: Value, at: int) -> str:
    """A member of an object or array as JSON text; text stays text, whatever is in it."""
    if value.is_null:
        return "CAST(NULL AS VARCHAR)"
    if value.type.of or value.type.name == "varbinary":
        refuse(f"JSON of {value.type} is not supported here", at)
    if value.type.name not in ("varchar", "boolean", "json") and not value.type.is_number:
        value = explicit(value, VARCHAR, at, safe=False)
    return f"CAST({explicit(value, JSON, at, safe=False).sql} AS VARCHAR)"


def _constructed(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    rule, *args = node.args
    assert isinstance(rule, tree.Literal)
    absent, named = rule.value == "absent", node.name == "$json_object"
    parts = []
    for i in range(0, len(args), 2 if named else 1):
        member = _json(c.expr(args[i + named], scope), node.at)
        text = member if absent else f"coalesce({member}, 'null')"
        if named:
            key = c.expr(args[i], scope)
            if key.type.name not in ("varchar", "char"):
                raise QueryError("INVALID_FUNCTION_ARGUMENT", "Invalid type of JSON object key")
            text = f"(CAST(to_json({coerce(key, VARCHAR).sql}) AS VARCHAR) || ':' || {text})"
        parts.append(text)
    opening, closing = ("{", "}") if named else ("[", "]")
    kept = f"list_filter(CAST([{', '.join(parts)}] AS VARCHAR[]), lambda y_: y_ IS NOT NULL)"
    return Value(f"('{opening}' || array_to_string({kept}, ',') || '{closing}')", VARCHAR)


JSONS: dict[str, Compile] = {
    "json_extract": _json_extract, "json_extract_scalar": _json_extract,
    "json_array_length": _array_length, "json_array_get": _array_get,
    "$json_value": _json_value, "$json_query": _json_query, "$json_exists": _json_exists,
    "$json_object": _constructed, "$json_array": _constructed,
}  # fmt: skip
