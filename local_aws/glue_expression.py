"""Glue's filter over partitions: the SQL-like Expression of GetPartitions, compiled to a predicate.

A filter that selects too much deletes data in a client that drops what it lists, so whatever is
not understood is refused with InvalidInputException, as Glue does, and never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from local_aws.glue import invalid

Predicate = Callable[[Sequence[str]], bool]
_Truth = Callable[[Sequence[str]], bool | None]
"""SQL's three values: None is unknown, which a filter does not select."""

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""How Hive writes the null partition."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<typed>(?:date|timestamp)\s*'(?:[^']|'')*')
      | (?P<string>'(?:[^']|'')*')
      | (?P<number>[+-]?\d+(?:\.\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*|"[^"]+"|`[^`]+`)
      | (?P<operator><>|!=|<=|>=|[=<>(),])
    )""",
    re.VERBOSE | re.IGNORECASE,
)

_INTEGERS = {"tinyint", "smallint", "int", "integer", "bigint", "long"}

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: bool(left == right),
    "<>": lambda left, right: bool(left != right),
    "!=": lambda left, right: bool(left != right),
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def compile_expression(text: str, partition_keys: Sequence[Mapping[str, Any]]) -> Predicate:
    """Turn an Expression into a function of a partition's values (in the keys' order).

    Raises GlueError (InvalidInputException) for anything it does not understand.
    """
    parser = _Parser(text, partition_keys)
    truth = parser.parse()
    return lambda values: truth(values) is True


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Key:
    index: int
    name: str
    type: str

    def value(self, values: Sequence[str]) -> Any:
        text = values[self.index]
        return None if text == HIVE_NULL else self.convert(text)

    def convert(self, text: str) -> Any:
        """The text as a value of the key's type, so that 9 < 10 for an int."""
        kind = self.type
        try:
            if kind in _INTEGERS:
                return int(text)
            if kind.startswith("decimal"):
                return Decimal(text)
            if kind == "date":
                return date.fromisoformat(text)
            if kind == "timestamp":
                return datetime.fromisoformat(text)
        except (ValueError, InvalidOperation) as error:
            message = f"{text!r} is not a {kind}, the type of partition key {self.name}."
            raise invalid(message) from error
        if kind == "string" or kind.startswith(("varchar", "char")):
            return text
        raise invalid(f"Partition key {self.name} of type {kind} cannot be used in an expression.")

    def literal(self, token: _Token) -> Any:
        if token.kind == "typed":
            kind, _, rest = token.text.partition("'")
            if kind.strip().lower() != self.type:
                raise invalid(f"{token.text} is compared with {self.name} of type {self.type}.")
            return self.convert(_unquote("'" + rest))
        if token.kind == "string":
            return self.convert(_unquote(token.text))
        if token.kind == "number":
            if self.type not in _INTEGERS and not self.type.startswith("decimal"):
                raise invalid(
                    f"The number {token.text} is compared with {self.name} of type {self.type}; "
                    "quote it."
                )
            return Decimal(token.text)
        raise invalid(f"Expected a literal, found {token.text!r}.")


class _Parser:
    """Recursive descent: or > and > not > comparison."""

    def __init__(self, text: str, partition_keys: Sequence[Mapping[str, Any]]) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._keys = {
            key["Name"].lower(): _Key(index, key["Name"], key.get("Type", "string").lower())
            for index, key in enumerate(partition_keys)
        }

    def parse(self) -> _Truth:
        truth = self._either()
        if self._peek().kind != "end":
            raise self._unexpected()
        return truth

    def _either(self) -> _Truth:
        sides = [self._both()]
        while self._word("or"):
            sides.append(self._both())
        return sides[0] if len(sides) == 1 else lambda values: _any(side(values) for side in sides)

    def _both(self) -> _Truth:
        sides = [self._single()]
        while self._word("and"):
            sides.append(self._single())
        return sides[0] if len(sides) == 1 else lambda values: _all(side(values) for side in sides)

    def _single(self) -> _Truth:
        if self._word("not"):
            return _negated(self._single())
        if self._operator("("):
            truth = self._either()
            self._expect(")")
            return truth
        return self._comparison()

    def _comparison(self) -> _Truth:
        first = self._next()
        if first.kind != "name":  # literal operator key
            operator = self._comparator()
            key = self._key(self._next())
            return _compared(key, _MIRRORED.get(operator, operator), key.literal(first))
        key = self._key(first)
        if self._word("is"):
            negated = self._word("not")
            self._expect("null")
            return lambda values: (key.value(values) is None) is not negated
        negated = self._word("not")
        if self._word("in"):
            truth = self._membership(key)
        elif self._word("between"):
            low = key.literal(self._next())
            self._expect("and")
            high = key.literal(self._next())
            at_least, at_most = _compared(key, ">=", low), _compared(key, "<=", high)

            def truth(values: Sequence[str]) -> bool | None:
                return _all((at_least(values), at_most(values)))
        elif self._word("like"):
            truth = self._pattern(key)
        elif negated:
            raise self._unexpected()
        else:
            return _compared(key, self._comparator(), key.literal(self._next()))
        return _negated(truth) if negated else truth

    def _membership(self, key: _Key) -> _Truth:
        self._expect("(")
        members = [key.literal(self._next())]
        while self._operator(","):
            members.append(key.literal(self._next()))
        self._expect(")")

        def truth(values: Sequence[str]) -> bool | None:
            value = key.value(values)
            return None if value is None else value in members

        return truth

    def _pattern(self, key: _Key) -> _Truth:
        token = self._next()
        if token.kind != "string":
            raise invalid(f"LIKE needs a quoted pattern, found {token.text!r}.")
        parts = ({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in _unquote(token.text))
        pattern = re.compile("".join(parts), re.DOTALL)

        def truth(values: Sequence[str]) -> bool | None:
            text = values[key.index]
            return None if text == HIVE_NULL else bool(pattern.fullmatch(text))

        return truth

    def _comparator(self) -> str:
        token = self._next()
        if token.text not in _COMPARE:
            raise invalid(f"Expected a comparison, found {token.text!r} in {self._text!r}.")
        return token.text

    def _key(self, token: _Token) -> _Key:
        name = token.text.strip('"`').lower()
        if token.kind != "name" or name not in self._keys:
            raise invalid(f"{token.text!r} is not a partition key; they are {list(self._keys)}.")
        return self._keys[name]

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        if token.kind == "end":
            raise invalid(f"The expression {self._text!r} ends too early.")
        return token

    def _word(self, word: str) -> bool:
        token = self._peek()
        if token.kind == "name" and token.text.lower() == word:
            self._at += 1
            return True
        return False

    def _operator(self, text: str) -> bool:
        token = self._peek()
        if token.kind == "operator" and token.text == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not (self._operator(text) or self._word(text)):
            raise self._unexpected()

    def _unexpected(self) -> Exception:
        return invalid(
            f"Unexpected {self._peek().text or 'end'!r} in the expression {self._text!r}."
        )


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise invalid(
                f"Cannot read the expression {text!r} from {text[at:].strip()[:20]!r} on."
            )
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind]))
        at = match.end()
    return [*tokens, _Token("end", "")]


def _compared(key: _Key, operator: str, literal: Any) -> _Truth:
    compare = _COMPARE[operator]

    def truth(values: Sequence[str]) -> bool | None:
        value = key.value(values)
        return None if value is None else compare(value, literal)

    return truth


def _negated(truth: _Truth) -> _Truth:
    def opposite(values: Sequence[str]) -> bool | None:
        known = truth(values)
        return None if known is None else not known

    return opposite


def _any(truths: Any) -> bool | None:
    seen = list(truths)
    return True if True in seen else None if None in seen else False


def _all(truths: Any) -> bool | None:
    seen = list(truths)
    return False if False in seen else None if None in seen else True


def _unquote(text: str) -> str:
    return text[1:-1].replace("''", "'")
