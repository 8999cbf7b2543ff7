"""The SQL standard's JSON functions, whose arguments have a grammar of their own."""

from __future__ import annotations

import json
from typing import Any

from local_aws.engine import tree
from local_aws.engine.parse_call import CallParser
from local_aws.engine.tree import Expr


def _path_call(p: CallParser) -> Expr:
    """``JSON_VALUE``, ``JSON_QUERY``, ``JSON_EXISTS``: document, path, and what to do when."""
    token = p.advance()
    name = token.text.lower()
    p.expect("(")
    document = p.expression()
    p.accept_words("FORMAT", "JSON")
    p.expect(",")
    options: dict[str, Any] = {"path": p.string(), "empty": "null", "error": "null"}
    options["error"] = "false" if name == "json_exists" else "null"
    defaults: dict[str, Expr] = {}
    if p.accept("RETURNING") is not None:
        options["returning"] = p.type_text()
    if name == "json_query":
        options["wrapper"] = _wrapper(p)
        if p.accept_words("KEEP", "QUOTES") or p.accept_words("OMIT", "QUOTES"):
            options["omit"] = p.token_ahead(-2).text == "OMIT"
            p.accept_words("ON", "SCALAR", "STRING")
    while not p.peek_op(")"):
        word, default = _behaviour(p)
        p.expect("ON")
        when = "empty" if p.accept("EMPTY") is not None else "error"
        if when == "error":
            p.expect("ERROR")
        options[when] = word
        if default is not None:
            defaults[when] = default
    p.expect(")")
    null = tree.Literal(token.at, "null", "null")
    shown = tree.Literal(token.at, "string", json.dumps(options))
    args = [document, shown, defaults.get("empty", null), defaults.get("error", null)]
    return tree.Call(token.at, f"${name}", args)


def _wrapper(p: CallParser) -> str:
    if p.accept("WITHOUT") is not None:
        p.accept("ARRAY")
        p.expect("WRAPPER")
        return "without"
    if p.accept("WITH") is None:
        return "without"
    kind = "conditional" if p.accept("CONDITIONAL") is not None else "with"
    p.accept("UNCONDITIONAL")
    p.accept("ARRAY")
    p.expect("WRAPPER")
    return kind


def _behaviour(p: CallParser) -> tuple[str, Expr | None]:
    if p.accept("DEFAULT") is not None:
        return "default", p.expression()
    for words in (("NULL",), ("ERROR",), ("TRUE",), ("FALSE",), ("UNKNOWN",),
                  ("EMPTY", "ARRAY"), ("EMPTY", "OBJECT")):  # fmt: skip
        if p.accept_words(*words):
            return words[-1].lower(), None
    p.unexpected("')', 'DEFAULT', 'EMPTY', 'ERROR', 'NULL'")


def _object(p: CallParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    args: list[Expr] = []
    while not p.peek_op(")") and not _ends(p):
        p.accept("KEY")
        args.append(p.value())
        if not p.accept_op(":"):
            p.expect("VALUE")
        args.append(_member(p))
        if not p.accept_op(","):
            break
    absent = _null_rule(p, default="null")
    p.accept_words("WITHOUT", "UNIQUE")
    p.accept("KEYS")
    p.expect(")")
    return tree.Call(at, "$json_object", [tree.Literal(at, "string", absent), *args])


def _array(p: CallParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    args: list[Expr] = []
    while not p.peek_op(")") and not _ends(p):
        args.append(_member(p))
        if not p.accept_op(","):
            break
    absent = _null_rule(p, default="absent")
    p.expect(")")
    return tree.Call(at, "$json_array", [tree.Literal(at, "string", absent), *args])


def _member(p: CallParser) -> Expr:
    value = p.expression()
    if p.accept_words("FORMAT", "JSON"):
        return tree.Call(value.at, "json_parse", [value])
    return value


def _ends(p: CallParser) -> bool:
    return p.peek_words("NULL", "ON") or p.peek_words("ABSENT", "ON")


def _null_rule(p: CallParser, *, default: str) -> str:
    for word in ("NULL", "ABSENT"):
        if p.accept_words(word, "ON", "NULL"):
            return word.lower()
    return default


JSON: dict[str, Any] = {
    "JSON_VALUE": _path_call,
    "JSON_QUERY": _path_call,
    "JSON_EXISTS": _path_call,
    "JSON_OBJECT": _object,
    "JSON_ARRAY": _array,
}
