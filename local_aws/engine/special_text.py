"""Text functions that need a look at their arguments: concat, regular expressions, formats."""

from __future__ import annotations

import re
from collections.abc import Callable

from local_aws.engine import tree
from local_aws.engine.casts import coerce
from local_aws.engine.compiler import Compiler
from local_aws.engine.errors import mismatch, refuse
from local_aws.engine.scope import Scope, Value
from local_aws.engine.types import BIGINT, VARBINARY, VARCHAR, array, common


def concat(values: list[Value], at: int) -> Value:
    """``||`` and ``concat``: all text, all bytes, or arrays with elements."""
    names = {v.type.name for v in values} - {"unknown"}
    if names <= {"varchar", "char"}:
        return Value("(" + " || ".join(coerce(v, VARCHAR).sql for v in values) + ")", VARCHAR)
    if names == {"varbinary"}:
        return Value("(" + " || ".join(coerce(v, VARBINARY).sql for v in values) + ")", VARBINARY)
    if "array" in names:
        return _concat_arrays(values, at)
    shown = ", ".join(str(v.type) for v in values)
    mismatch(
        f"Unexpected parameters ({shown}) for function concat. Expected: concat(char(x), char(y)), "
        "concat(array(E), E) E, concat(E, array(E)) E, concat(array(E)) E, concat(varchar), "
        "concat(varbinary)",
        at,
    )


def _concat_arrays(values: list[Value], at: int) -> Value:
    kind = next(v.type for v in values if v.type.name == "array")
    for value in values:
        other = value.type if value.type.name == "array" else array(value.type)
        merged = common(kind, other)
        if merged is None:
            shown = ", ".join(str(v.type) for v in values)
            mismatch(f"Unexpected parameters ({shown}) for function concat", at)
        kind = merged
    parts = [
        coerce(v, kind).sql if v.type.name == "array" else f"[{coerce(v, kind.of[0]).sql}]"
        for v in values
    ]
    joined = parts[0]
    for part in parts[1:]:
        joined = f"list_concat({joined}, {part})"
    nulls = " OR ".join(f"({p}) IS NULL" for p in parts)
    return Value(f"CASE WHEN {nulls} THEN NULL ELSE {joined} END", kind)


def _concat_call(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if len(node.args) < 2:
        mismatch("There must be two or more concatenation arguments", node.at)
    return concat([c.expr(a, scope) for a in node.args], node.at)


def _pattern(value: Value, at: int) -> None:
    """Refuse what Java's expressions have and RE2 reads otherwise or not at all."""
    if not isinstance(value.literal, str):
        return
    if re.search(r"\(\?<?[=!]|\(\?>|[*+?}]\+|\\[1-9]|\\Z|\\G|&&\[", value.literal):
        refuse(f"Regular expression {value.literal} is not supported here", at)


def _texts(c: Compiler, node: tree.Call, scope: Scope, count: int) -> list[Value]:
    values = [c.expr(a, scope) for a in node.args]
    for value in values[:count]:
        if value.type.name not in ("varchar", "char", "unknown"):
            shown = ", ".join(str(v.type) for v in values)
            mismatch(f"Unexpected parameters ({shown}) for function {node.name}", node.at)
    values[:count] = [v if v.type.name == "varchar" else coerce(v, VARCHAR) for v in values[:count]]
    return values


def _regexp_like(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    from local_aws.engine.types import BOOLEAN

    if len(node.args) != 2:
        mismatch("Unexpected parameters for function regexp_like", node.at)
    text, pattern = _texts(c, node, scope, 2)
    _pattern(pattern, node.at)
    return Value(f"regexp_matches({text.sql}, {pattern.sql})", BOOLEAN)


def _regexp_extract(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if not 2 <= len(node.args) <= 3:
        mismatch("Unexpected parameters for function regexp_extract", node.at)
    text, pattern, *rest = _texts(c, node, scope, 2)
    _pattern(pattern, node.at)
    group = "0"
    if rest:
        if not isinstance(rest[0].literal, int) or not isinstance(pattern.literal, str):
            refuse("regexp_extract needs a literal pattern and group here", node.at)
        if not _always_takes_part(pattern.literal, rest[0].literal):
            refuse("regexp_extract of a group that may not take part in a match", node.at)
        group = str(rest[0].literal)
    return Value(
        f"CASE WHEN regexp_matches({text.sql}, {pattern.sql}) "
        f"THEN regexp_extract({text.sql}, {pattern.sql}, {group}) END",
        VARCHAR,
    )


def _always_takes_part(pattern: str, group: int) -> bool:
    """Whether a match always sets the group: else Trino gives null and DuckDB the empty string."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sre_parse

    def walk(items: object) -> bool:
        for op, arg in items:  # type: ignore[attr-defined]
            name = str(op)
            if name == "SUBPATTERN":
                if arg[0] == group or walk(arg[3]):
                    return True
            elif name in ("MAX_REPEAT", "MIN_REPEAT") and arg[0] > 0 and walk(arg[2]):
                return True
        return False

    try:
        return group == 0 or walk(sre_parse.parse(pattern))
    except re.error:
        return False


def _regexp_replace(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if len(node.args) == 3 and isinstance(node.args[2], tree.Lambda):
        refuse("regexp_replace with a lambda is not supported here", node.at)
    if not 2 <= len(node.args) <= 3:
        mismatch("Unexpected parameters for function regexp_replace", node.at)
    text, pattern, *rest = _texts(c, node, scope, 3)
    _pattern(pattern, node.at)
    replacement = ""
    if rest:
        if not isinstance(rest[0].literal, str):
            refuse("regexp_replace needs a literal replacement here", node.at)
        replacement = _replacement(rest[0].literal, node.at)
    quoted = "'" + replacement.replace("'", "''") + "'"
    return Value(f"regexp_replace({text.sql}, {pattern.sql}, {quoted}, 'g')", VARCHAR)


def _replacement(java: str, at: int) -> str:
    """``$1`` to ``\\1``; a backslash takes the next character as it is."""
    out, i = [], 0
    while i < len(java):
        char = java[i]
        if char == "\\" and i + 1 < len(java):
            out.append("\\\\" if java[i + 1] == "\\" else java[i + 1])
            i += 2
        elif char == "$":
            if not java[i + 1 : i + 2].isdigit() or java[i + 2 : i + 3].isdigit():
                refuse(f"Replacement {java} is not supported here", at)
            out.append("\\" + java[i + 1])
            i += 2
        else:
            out.append(char)
            i += 1
    return "".join(out)


def _to_hex(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if len(node.args) != 1:
        mismatch("Unexpected parameters for function to_hex", node.at)
    value = c.expr(node.args[0], scope)
    if value.type.name not in ("varbinary", "unknown"):
        mismatch(
            f"Unexpected parameters ({value.type}) for function to_hex. "
            "Expected: to_hex(varbinary)", node.at,
        )  # fmt: skip
    return Value(f"hex({coerce(value, VARBINARY).sql})", VARCHAR)


def _split(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if not 2 <= len(node.args) <= 3:
        mismatch("Unexpected parameters for function split", node.at)
    text, delimiter, *rest = _texts(c, node, scope, 2)
    if delimiter.literal == "":
        refuse("The delimiter may not be the empty string", node.at)
    parts = f"str_split({text.sql}, {delimiter.sql})"
    if not rest:
        return Value(parts, array(VARCHAR))
    limit = coerce(rest[0], BIGINT).sql
    tail = f"array_to_string({parts}[{limit} :], {delimiter.sql})"
    return Value(
        f"CASE WHEN len({parts}) <= {limit} THEN {parts} "
        f"ELSE list_concat({parts}[1 : {limit} - 1], [{tail}]) END",
        array(VARCHAR),
    )


TEXT: dict[str, Callable[[Compiler, tree.Call, Scope], Value]] = {
    "concat": _concat_call,
    "regexp_like": _regexp_like,
    "regexp_extract": _regexp_extract,
    "regexp_replace": _regexp_replace,
    "to_hex": _to_hex,
    "split": _split,
}
