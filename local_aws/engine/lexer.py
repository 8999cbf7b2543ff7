"""Text to tokens, as Trino's grammar cuts it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from local_aws.engine.errors import QueryError


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``text`` is upper case for words, the value for strings and quoted names."""

    kind: str
    """word, quoted, backtick, string, binary, integer, decimal, double, op, param or end."""

    text: str
    at: int
    """Offset in the source."""

    end: int
    raw: str


_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<binary>[xX]'[^']*')
    | (?P<unicode>[uU]&'(?:[^']|'')*')
    | (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<backtick>`(?:[^`]|``)+`)
    | (?P<double>(?:\d+(?:\.\d*)?|\.\d+)[eE][+-]?\d+)
    | (?P<decimal>\d+\.\d*|\.\d+)
    | (?P<based>0(?:[xX][0-9A-Fa-f]|[oO][0-7]|[bB][01])(?:_?[0-9A-Fa-f])*)(?![A-Za-z_])
    | (?P<integer>\d+(?:_\d+)*)(?![A-Za-z_])
    | (?P<word>[A-Za-z_][A-Za-z0-9_@]*)
    | (?P<op><>|!=|<=|>=|\|\||->|=>|[-+*/%=<>(),.;\[\]?:{}|^$])
    """,
    re.VERBOSE | re.DOTALL,
)


def tokenize(source: str) -> list[Token]:
    """All tokens, the last one being ``end``; raises QueryError on a character of no token."""
    tokens: list[Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise QueryError(
                "SYNTAX_ERROR", f"mismatched input '{source[at]}'. Expecting: <expression>", at
            )
        kind, raw, end = str(match.lastgroup), match.group(), match.end()
        if kind != "space":
            tokens.append(Token(*_value(kind, raw, at), at, end, raw))
        at = end
    tokens.append(Token("end", "<EOF>", at, at, ""))
    return tokens


def _value(kind: str, raw: str, at: int) -> tuple[str, str]:
    if kind == "word":
        return kind, raw.upper()
    if kind == "string":
        return kind, raw[1:-1].replace("''", "'")
    if kind == "quoted":
        return kind, raw[1:-1].replace('""', '"')
    if kind == "backtick":
        return kind, raw[1:-1].replace("``", "`")
    if kind == "integer":
        return kind, raw.replace("_", "")
    if kind == "based":
        try:
            return "integer", str(int(raw, 0))
        except ValueError:
            raise QueryError("SYNTAX_ERROR", f"Invalid numeric literal: {raw}", at) from None
    if kind == "binary":
        text = re.sub(r"\s", "", raw[2:-1])
        if len(text) % 2 or re.search(r"[^0-9a-fA-F]", text):
            raise QueryError("SYNTAX_ERROR", "Binary literal must be pairs of hex digits", at)
        return kind, text
    if kind == "unicode":
        return "string", _unescaped(raw[3:-1].replace("''", "'"), at)
    return kind, raw


def _unescaped(text: str, at: int) -> str:
    """``\\2603`` and ``\\+01F600`` in U&'...' as the characters they mean."""

    def char(found: re.Match[str]) -> str:
        if found[1]:
            return "\\"
        if not (found[2] or found[3]):
            raise QueryError("SYNTAX_ERROR", "Incomplete escape sequence", at)
        return chr(int(found[2] or found[3], 16))

    escape = r"\\(?:(\\)|([0-9A-Fa-f]{4})|\+([0-9A-Fa-f]{6}))?"
    return re.sub(escape, char, text)
