"""Plaintext to value: strict JSON, else a Python literal as ``repr`` writes it. Never evaluates.

The literal reader accepts a part of what ``ast.literal_eval`` accepts, with the same meaning:
dicts with string keys, lists, tuples (read as lists), strings, numbers, True, False, None. It is
ours because ``ast`` is bounded neither in depth nor in time, and because its errors and warnings
quote the text that they complain about, which is a person's record.
"""

import json
import math
import re
from typing import Any

from ingestion.reasons import Reason

MAX_DEPTH = 64
MAX_KEYS = 1_000
MAX_DIGITS = 100
"""Longest number; far above any id, far below where conversions become slow or refused."""


class Refused(Exception):
    """A text is not plain data; carries a reason and nothing of the text."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def parse(text: str) -> Any:
    """Return the value that ``text`` spells.

    Raises:
        Refused: PLAINTEXT_SYNTAX, or PLAINTEXT_SHAPE where a cap is passed.
    """
    value = _parse_json(text if '"' in text else _respell(text))
    if value is _NOT_JSON:
        return _Literal(text).value()
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value):
        raise Refused(Reason.PLAINTEXT_SHAPE)
    return value


_NOT_JSON = object()
_LOWER_NAMES = re.compile("true|false|null|NaN|Infinity")
_PYTHON_NAMES = re.compile(r"\b(?:True|False|None)\b")
_JSON_NAMES = {"True": "true", "False": "false", "None": "null"}


def _respell(text: str) -> str:
    """Return ``text``, a repr without ``"``, as JSON; or a text that is no JSON.

    Without ``"`` and ``\\`` a change of quotes is exact: what lies between two quotes is the same
    characters in both languages, and what lies outside is respelled name by name.
    """
    if "\\" in text:
        return ""
    if "'" not in text:
        return text
    if _PYTHON_NAMES.search(text) or _LOWER_NAMES.search(text):
        parts = text.split("'")
        for place in range(0, len(parts), 2):  # even parts lie outside the quotes
            if _LOWER_NAMES.search(parts[place]):
                return ""  # a name in JSON, but none in Python
            parts[place] = _PYTHON_NAMES.sub(lambda m: _JSON_NAMES[m[0]], parts[place])
        return '"'.join(parts)
    return text.replace("'", '"')


def _parse_json(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise Refused(Reason.PLAINTEXT_SHAPE) from None
    except ValueError:
        return _NOT_JSON


def _is_too_deep(value: Any) -> bool:
    """Tell what Python's JSON reader leaves to the version of Python and its caller's stack."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return bool(level)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Two values for one key: readers disagree on which one counts, so neither does.
        raise Refused(Reason.PLAINTEXT_SYNTAX)
    if len(members) > MAX_KEYS:
        raise Refused(Reason.PLAINTEXT_SHAPE)
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise Refused(Reason.FIELD_RANGE)
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Refused(Reason.FIELD_RANGE)
    return value


def _no_constant(name: str) -> Any:
    raise Refused(Reason.PLAINTEXT_SYNTAX)  # NaN and Infinity are not JSON


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=_real,
    parse_constant=_no_constant,
)

_TOKEN = re.compile(
    r"""[ \t\r\n]*+(?:
        (?P<mark>[{}\[\](),:])
      | [uU]?+(?P<string>'(?!'')(?:[^'\\\r\n\0]++|\\[^\r\0])*+'
                        |"(?!"")(?:[^"\\\r\n\0]++|\\[^\r\0])*+")
      | (?P<real>[+-]?+(?:[0-9]++\.[0-9]*+(?:[eE][+-]?[0-9]++)?+|\.[0-9]++(?:[eE][+-]?[0-9]++)?+
                 |[0-9]++[eE][+-]?[0-9]++))(?![\w.])
      | (?P<integer>[+-]?+(?:0|[1-9][0-9]*+))(?![\w.])
      | (?P<name>True|False|None)\b
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"""\\(?:
        (?P<octal>[0-7]{1,3})
      | x(?P<x>[0-9a-fA-F]{2}) | u(?P<u>[0-9a-fA-F]{4}) | U(?P<U>[0-9a-fA-F]{8})
      | (?P<other>[\s\S])
    )""",
    re.VERBOSE,
)
_ESCAPES = {
    "\n": "",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_NAMES = {"True": True, "False": False, "None": None}


class _Literal:
    """A reader of one Python literal: one pass, no backtracking, depth counted."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._advance()

    def value(self) -> Any:
        value = self._value(0)
        if self._kind != "end":
            raise Refused(Reason.PLAINTEXT_SYNTAX)
        return value

    def _advance(self) -> None:
        match = _TOKEN.match(self._text, self._place)
        if match is None or match.lastgroup is None:
            raise Refused(Reason.PLAINTEXT_SYNTAX)
        self._place = match.end()
        self._kind = match.lastgroup
        self._token = match[self._kind]

    def _value(self, depth: int) -> Any:
        kind, token = self._kind, self._token
        if depth > MAX_DEPTH:
            raise Refused(Reason.PLAINTEXT_SHAPE)
        if kind == "mark":
            if token == "{":
                return self._dict(depth)
            if token in "([":
                return self._sequence(depth, ")" if token == "(" else "]")
            raise Refused(Reason.PLAINTEXT_SYNTAX)
        if kind == "end":
            raise Refused(Reason.PLAINTEXT_SYNTAX)
        self._advance()
        if kind == "string":
            return _unescape(token[1:-1])
        if kind == "integer":
            return _integer(token)
        if kind == "real":
            return _real(token)
        return _NAMES[token]

    def _at(self, mark: str) -> bool:
        return self._kind == "mark" and self._token == mark

    def _expect(self, mark: str) -> None:
        if not self._at(mark):
            raise Refused(Reason.PLAINTEXT_SYNTAX)
        self._advance()

    def _dict(self, depth: int) -> dict[str, Any]:
        self._advance()
        pairs: list[tuple[str, Any]] = []
        while not self._at("}"):
            key = self._value(depth + 1)
            if not isinstance(key, str):
                raise Refused(Reason.PLAINTEXT_SHAPE)
            self._expect(":")
            pairs.append((key, self._value(depth + 1)))
            if not self._at("}"):
                self._expect(",")
        self._advance()
        return _members(pairs)

    def _sequence(self, depth: int, closing: str) -> Any:
        self._advance()
        values: list[Any] = []
        commas = 0
        while not self._at(closing):
            values.append(self._value(depth + 1))
            if not self._at(closing):
                self._expect(",")
                commas += 1
        self._advance()
        # (1) is a number in brackets, (1,) and () are tuples.
        return values[0] if closing == ")" and values and not commas else values


def _unescape(body: str) -> str:
    return _ESCAPE.sub(_escaped, body) if "\\" in body else body


def _escaped(match: re.Match[str]) -> str:
    if octal := match["octal"]:
        return chr(int(octal, 8))
    if digits := match["x"] or match["u"] or match["U"]:
        point = int(digits, 16)
        if point > 0x10FFFF:
            raise Refused(Reason.PLAINTEXT_SYNTAX)
        return chr(point)
    other: str = match["other"]
    if other in "xuUN":  # too few digits, or a character by name, which repr never writes
        raise Refused(Reason.PLAINTEXT_SYNTAX)
    return _ESCAPES.get(other, "\\" + other)
