"""JSON text to envelopes, in bounded memory; what is no envelope becomes its own text.

A stand-in is a string: decoding finds no object there and quarantines it as ENVELOPE_SHAPE, so
that one broken element costs itself and nothing else.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

MAX_ELEMENT = 4 * 1024 * 1024
"""Longest single envelope; a token may have a million characters."""

_MAX_DEPTH = 64
_SPACE = re.compile(r"[ \t\r\n]*+")
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\]]', re.DOTALL)


class Broken(Exception):
    """A text is no JSON array; carries the place, and nothing of the text."""


def _integer(digits: str) -> int | str:
    # More digits than any id has: kept as text, because int() refuses the longest ones.
    return int(digits) if len(digits) <= 20 else digits


def _real(digits: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else digits


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_real, parse_constant=str)


def parse_line(line: bytes) -> object:
    """Return the envelope in one line of NDJSON, or the line as text."""
    try:
        text = line.decode("utf-8")
        value = _DECODER.decode(text)
        return text if _is_deep(value) else value
    except (ValueError, RecursionError):  # also UnicodeDecodeError
        return line[:MAX_ELEMENT].decode("utf-8", "backslashreplace")


def parse_array(text: str) -> list[object]:
    """Return the elements of a JSON array.

    Raises:
        Broken: if it is none, with the place.
    """
    try:
        value = _DECODER.decode(text)
        is_deep = isinstance(value, list) and any(map(_is_deep, value))
    except RecursionError:
        is_deep = True
    except ValueError as error:
        place = getattr(error, "pos", 0)
        raise Broken(f"at character {place:,} of {len(text):,}") from None
    if is_deep:
        # Element by element, because only so a deep one can be told from the others.
        return list(read_array(iter([text, ""]).__next__))
    if not isinstance(value, list):
        raise Broken(f"it is {_KINDS.get(type(value), 'a number')}, not an array")
    return value


_KINDS: dict[type, str] = {
    dict: "an object",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


def read_array(read: Callable[[], str]) -> Iterator[object]:
    """Yield the elements of a JSON array whose text arrives in pieces, "" at its end.

    Raises:
        Broken: where the text stops being an array; the elements before were yielded.
    """
    buffer = _Buffer(read)
    if not buffer.take("["):
        raise Broken("at its first character")
    count = 0
    if buffer.take("]"):
        return
    while True:
        yield buffer.element(count + 1)
        count += 1
        if buffer.take("]"):
            break
        if not buffer.take(","):
            raise Broken(f"after element {count:,}")
    if not buffer.is_done():
        raise Broken(f"behind its last element, number {count:,}")


class _Buffer:
    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._text = ""
        self._place = 0
        self._ended = False

    def _more(self) -> bool:
        piece = "" if self._ended else self._read()
        self._ended = not piece
        self._text = self._text[self._place :] + piece
        self._place = 0
        return bool(piece)

    def _skip_space(self) -> bool:
        while True:
            match = _SPACE.match(self._text, self._place)
            self._place = match.end() if match else self._place
            if self._place < len(self._text):
                return True
            if not self._more():
                return False

    def take(self, mark: str) -> bool:
        if self._skip_space() and self._text[self._place] == mark:
            self._place += 1
            return True
        return False

    def is_done(self) -> bool:
        return not self._skip_space()

    def element(self, number: int) -> object:
        self._skip_space()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
            except RecursionError:
                return self._skip_element(number)
            except ValueError:
                end = len(self._text)
            # An element that ends with the buffer may go on behind it.
            if end < len(self._text) or (self._ended and end > self._place):
                if end == len(self._text):
                    raise Broken(f"in element {number:,}")
                text = self._text[self._place : end]
                self._place = end
                return text if _is_deep(value) else value
            if len(self._text) - self._place > MAX_ELEMENT or not self._more():
                raise Broken(f"in element {number:,}")

    def _skip_element(self, number: int) -> str:
        """Return the text of an element that is too deep to be parsed."""
        while True:
            depth = 0
            for match in _STRUCTURE.finditer(self._text, self._place):
                if match[0] in "{[":
                    depth += 1
                elif match[0] in "}]":
                    depth -= 1
                    if depth == 0:
                        text = self._text[self._place : match.end()]
                        self._place = match.end()
                        return text
            if len(self._text) - self._place > MAX_ELEMENT or not self._more():
                raise Broken(f"in element {number:,}")


def _is_deep(value: object) -> bool:
    """Tell whether a value is too deep to be walked safely later."""
    level: list[Any] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
