"""Text functions that need a look at their arguments: concat, regular expressions, formats."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

from local_aws.engine import tree
from local_aws.engine.casts import coerce, explicit
from local_aws.engine.compiler import Compiler
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.native_text import java_pattern
from local_aws.engine.scope import Scope, Value
from local_aws.engine.types import BIGINT, VARBINARY, VARCHAR, Type, array, common, quote_text


def concat(values: list[Value], at: int) -> Value:
    """``||`` and ``concat``: all text, all bytes, or arrays with elements."""
    if any(v.is_null for v in values) and any(v.type.name == "array" for v in values):
        raise QueryError(
            "AMBIGUOUS_FUNCTION_CALL", "Could not choose a best candidate operator. Explicit type "
            "casts must be added.", at,
        )  # fmt: skip
    names = {v.type.name for v in values} - {"unknown"}
    if "char" in names and names <= {"varchar", "char"} and all(v.type.numbers for v in values):
        size = sum(v.type.numbers[0] for v in values)
        joined = " || ".join(coerce(v, VARCHAR).sql for v in values)
        return Value(f"rtrim({joined}, ' ')", Type("char", (size,)))
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


def _beyond_re2(value: Value, at: int) -> bool:
    """Whether RE2 reads it otherwise or not at all, so that Python's expressions have to do."""
    if not isinstance(value.literal, str):
        return False
    if re.search(r"\\Z|\\G|&&\[", value.literal):
        refuse(f"Regular expression {value.literal} is not supported here", at)
    return re.search(r"\(\?<|\(\?[=!>]|[*+?}]\+|\\[1-9]", value.literal) is not None


def _length(value: Value) -> Type:
    """Text declared as long as this one."""
    return Type("varchar", value.type.numbers if value.type.name == "varchar" else ())


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
    function = "py_regexp_like" if _beyond_re2(pattern, node.at) else "regexp_matches"
    return Value(f"{function}({text.sql}, {pattern.sql})", BOOLEAN)


def _regexp_extract(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if not 2 <= len(node.args) <= 3:
        mismatch("Unexpected parameters for function regexp_extract", node.at)
    text, pattern, *rest = _texts(c, node, scope, 2)
    group, plain = "0", not _beyond_re2(pattern, node.at)
    if rest:
        group = coerce(rest[0], BIGINT).sql
        plain = (
            plain
            and isinstance(rest[0].literal, int)
            and isinstance(pattern.literal, str)
            and _always_takes_part(pattern.literal, rest[0].literal)
        )
    if not plain:
        return Value(f"py_regexp_extract({text.sql}, {pattern.sql}, {group})", _length(text))
    group = str(rest[0].literal) if rest else "0"
    return Value(
        f"CASE WHEN regexp_matches({text.sql}, {pattern.sql}) "
        f"THEN regexp_extract({text.sql}, {pattern.sql}, {group}) END",
        _length(text),
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
        return _replace_by_lambda(c, node, scope)
    if not 2 <= len(node.args) <= 3:
        mismatch("Unexpected parameters for function regexp_replace", node.at)
    text, pattern, *rest = _texts(c, node, scope, 3)
    beyond = _beyond_re2(pattern, node.at)
    if not rest:
        empty = f"regexp_replace({text.sql}, {pattern.sql}, '', 'g')"
        if beyond:
            empty = f"py_regexp_replace({text.sql}, {pattern.sql}, '')"
        return Value(empty, _length(text))
    kind = _replaced_length(text, rest[0])
    known = rest[0].literal if isinstance(rest[0].literal, str) else None
    duck = _replacement(known) if known is not None and not beyond else None
    if duck is None:
        return Value(f"py_regexp_replace({text.sql}, {pattern.sql}, {rest[0].sql})", kind)
    return Value(f"regexp_replace({text.sql}, {pattern.sql}, {quote_text(duck)}, 'g')", kind)


def _regexp_extract_all(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    counting = node.name == "regexp_count"
    if not 2 <= len(node.args) <= (2 if counting else 3):
        mismatch(f"Unexpected parameters for function {node.name}", node.at)
    text, pattern, *rest = _texts(c, node, scope, 2)
    group = coerce(rest[0], BIGINT).sql if rest else "0"
    found = f"py_regexp_extract_all({text.sql}, {pattern.sql}, {group})"
    if not rest and not _beyond_re2(pattern, node.at):
        found = f"regexp_extract_all({text.sql}, {pattern.sql})"
    if counting:
        return Value(f"CAST(len({found}) AS BIGINT)", BIGINT)
    return Value(found, array(_length(text)))


def _regexp_split(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if len(node.args) != 2:
        mismatch("Unexpected parameters for function regexp_split", node.at)
    text, pattern = _texts(c, node, scope, 2)
    beyond, plain = _beyond_re2(pattern, node.at), False
    with contextlib.suppress(ValueError):
        # DuckDB leaves out what empty matches would cut.
        literal = pattern.literal
        plain = isinstance(literal, str) and java_pattern(literal).search("") is None
    function = "regexp_split_to_array" if plain and not beyond else "py_regexp_split"
    return Value(f"{function}({text.sql}, {pattern.sql})", array(_length(text)))


def _replaced_length(text: Value, replacement: Value) -> Type:
    if not text.type.numbers or not replacement.type.numbers:
        return VARCHAR
    x, y = text.type.numbers[0], replacement.type.numbers[0]
    return Type("varchar", (min(2**31 - 1, x + max(x * y // 2, y) * (x + 1)),))


def _replace_by_lambda(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    """Texts between the matches, and in turn what the lambda makes of each match's groups."""
    text, pattern = (coerce(c.expr(a, scope), VARCHAR) for a in node.args[:2])
    if not isinstance(pattern.literal, str):
        refuse("regexp_replace with a lambda needs a literal pattern here", node.at)
    names, body = c.lambda_body(node.args[2], [array(VARCHAR)], scope)
    if body.type.name != "varchar":
        mismatch(f"Lambda must return varchar, not {body.type}", node.at)
    groups = f"py_regexp_groups({text.sql}, {pattern.sql})"
    made = f"list_transform({groups}, lambda {names[0]}: {body.sql})"
    return Value(f"py_regexp_weave({text.sql}, {pattern.sql}, {made})", VARCHAR)


def _replace(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if not 2 <= len(node.args) <= 3:
        mismatch("Unexpected parameters for function replace", node.at)
    text, search, *rest = _texts(c, node, scope, 3)
    if not rest:
        return Value(f"replace({text.sql}, {search.sql}, '')", _length(text))
    kind = VARCHAR
    if text.type.numbers and rest[0].type.numbers:
        x, z = text.type.numbers[0], rest[0].type.numbers[0]
        kind = Type("varchar", (min(2**31 - 1, x + z * (x + 1)),))
    between = (
        f"CASE WHEN {search.sql} = '' THEN {rest[0].sql} || array_to_string(list_transform("
        f"str_split({text.sql}, ''), lambda y_: y_ || {rest[0].sql}), '') "
        f"ELSE replace({text.sql}, {search.sql}, {rest[0].sql}) END"
    )
    return Value(between, kind)


_FORMS = {"boolean": "b", "real": "f", "double": "f", "decimal": "n"}


def _format(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if len(node.args) < 2:
        raise QueryError(
            "SYNTAX_ERROR", "The 'format' function must have at least two arguments", node.at
        )
    pattern, *values = (c.expr(a, scope) for a in node.args)
    if pattern.type.name != "varchar":
        mismatch(f"Unexpected parameters ({pattern.type}) for function format", node.at)
    parts, kinds = [], ""
    for value in values:
        if value.type.of or value.type.name in ("varbinary", "json"):
            refuse(f"format of {value.type} is not supported here", node.at)
        number = value.type.name in ("real", "double")
        text = f"CAST({value.sql} AS VARCHAR)" if number else coerce_text(value)
        parts.append(text)
        kinds += "i" if value.type.is_integer else _FORMS.get(value.type.name, "s")
    return Value(f"py_format({pattern.sql}, '{kinds}', [{', '.join(parts)}])", VARCHAR)


def coerce_text(value: Value) -> str:
    """A value cast to varchar."""
    return explicit(value, VARCHAR, 0, safe=False).sql


def _normalize(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if not 1 <= len(node.args) <= 2:
        mismatch("Unexpected parameters for function normalize", node.at)
    (text,) = _texts(c, tree.Call(node.at, node.name, node.args[:1]), scope, 1)
    form = node.args[1] if len(node.args) > 1 else tree.Ident(node.at, "nfc")
    if not isinstance(form, tree.Ident) or form.name not in ("nfc", "nfd", "nfkc", "nfkd"):
        raise QueryError("SYNTAX_ERROR", "Expecting: 'NFC', 'NFD', 'NFKC', 'NFKD'", node.at)
    return Value(f"py_normalize({text.sql}, '{form.name.upper()}')", VARCHAR)


def _concat_ws(c: Compiler, node: tree.Call, scope: Scope) -> Value:
    if len(node.args) < 2:
        raise QueryError(
            "INVALID_FUNCTION_ARGUMENT", "There must be two or more arguments", node.at
        )
    values = [c.expr(a, scope) for a in node.args]
    if len(values) == 2 and values[1].type.name == "array":
        items = coerce(values[1], array(VARCHAR)).sql
        kept = f"list_filter({items}, lambda y_: y_ IS NOT NULL)"
        return Value(f"array_to_string({kept}, {values[0].sql})", VARCHAR)
    values = _texts(c, node, scope, len(values))
    return Value(f"concat_ws({', '.join(v.sql for v in values)})", VARCHAR)


def _replacement(java: str) -> str | None:
    """``$1`` to ``\\1``; a backslash takes the next character as it is; None if RE2 has it not."""
    out, i = [], 0
    while i < len(java):
        char = java[i]
        if char == "\\" and i + 1 < len(java):
            out.append("\\\\" if java[i + 1] == "\\" else java[i + 1])
            i += 2
        elif char == "$":
            if not java[i + 1 : i + 2].isdigit() or java[i + 2 : i + 3].isdigit():
                return None
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
    kind = array(_length(text))
    if not rest:
        return Value(parts, kind)
    limit = coerce(rest[0], BIGINT).sql
    tail = f"array_to_string({parts}[{limit} :], {delimiter.sql})"
    return Value(
        f"CASE WHEN len({parts}) <= {limit} THEN {parts} "
        f"ELSE list_concat({parts}[1 : {limit} - 1], [{tail}]) END",
        kind,
    )


TEXT: dict[str, Callable[[Compiler, tree.Call, Scope], Value]] = {
    "concat": _concat_call,
    "regexp_like": _regexp_like,
    "regexp_extract": _regexp_extract,
    "regexp_replace": _regexp_replace,
    "regexp_extract_all": _regexp_extract_all,
    "regexp_count": _regexp_extract_all,
    "regexp_split": _regexp_split,
    "replace": _replace,
    "format": _format,
    "normalize": _normalize,
    "concat_ws": _concat_ws,
    "to_hex": _to_hex,
    "split": _split,
}
