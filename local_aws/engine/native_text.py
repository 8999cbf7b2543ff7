"""Text functions in Python: soundex, Java's formats, sizes and durations, Java's expressions."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NoReturn

from local_aws.engine.results import double_text, real_text, scientific


def _fail(text: str, name: str = "INVALID_FUNCTION_ARGUMENT") -> NoReturn:
    raise ValueError(f"LOCAL_FAIL|{name}|{text}|")


_SOUNDS = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "01230120022455012623010202", strict=True))


def _soundex(text: str) -> str:
    letters = [c for c in text.upper() if c.isalpha()]
    if any(c not in _SOUNDS for c in letters):
        _fail("Input must be ASCII")
    if not letters:
        return ""
    out, before = letters[0], _SOUNDS[letters[0]]
    for letter in letters[1:]:
        digit = _SOUNDS[letter]
        if digit != "0" and digit != before:
            out += digit
        if letter not in "HW":
            before = digit
    return out[:4].ljust(4, "0")


def _real_text(value: float) -> str:
    """A cast of a real: at most seven digits, always with an exponent."""
    if not math.isfinite(value) or value == 0:
        return real_text(value) + ("E0" if value == 0 else "")
    return scientific(Decimal(value), places=6)


# ------------------------------------------------------------------------- format()

_SPEC = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")


def _format(pattern: str, kinds: str, args: list[str | None]) -> str:
    out, last, following = "", 0, 0
    for spec in _SPEC.finditer(pattern):
        out += _plain(pattern[last : spec.start()])
        last = spec.end()
        index, flags, width, digits, letter = spec.groups()
        if letter in "%n":
            out += "%" if letter == "%" else "\n"
            continue
        if index is None:
            following += 1
        number = int(index) if index else following
        if number > len(args):
            _fail(f"Invalid format string: {pattern} (Format specifier '{spec.group()}')")
        shown = _one(letter, flags, digits, args[number - 1], kinds[number - 1], pattern)
        size = int(width or 0)
        if "0" in flags and shown.lstrip("+-")[:1].isdigit():
            sign = shown[: len(shown) - len(shown.lstrip("+-"))]
            shown = sign + shown[len(sign) :].rjust(size - len(sign), "0")
        out += shown.ljust(size) if "-" in flags else shown.rjust(size)
    return out + _plain(pattern[last:])


def _plain(text: str) -> str:
    if "%" in text:
        _fail(f"Invalid format string: {text}")
    return text


def _one(
    letter: str, flags: str, digits: str | None, value: str | None, kind: str, pattern: str
) -> str:
    if letter in "sS":
        shown = "null" if value is None else value
        shown = double_text(float(shown)) if kind == "f" and value is not None else shown
        shown = shown if digits is None else shown[: int(digits)]
        return shown.upper() if letter == "S" else shown
    if letter == "b":
        return "false" if value is None else value if kind == "b" else "true"
    if value is None:
        return "null"
    comma = "," if "," in flags else ""
    if letter in "dxXo" and kind == "i":
        shown = format(int(value), comma + letter)
    elif letter in "feE" and kind in "fn":
        exact = Decimal(value)
        step = Decimal(1).scaleb(-int(digits or 6))
        shown = (
            format(exact.quantize(step, ROUND_HALF_UP), f"{comma}f")
            if letter == "f"
            else format(float(value), f".{digits or 6}{letter}")
        )
    else:
        _fail(f"Invalid format string: {pattern} ({letter} of this type)")
    return "+" + shown if "+" in flags and not shown.startswith("-") else shown


_UNITS = ("", "K", "M", "B", "T", "Q")


def _format_number(value: float) -> str:
    size, step = Decimal(abs(value)), 0
    while size >= 1000 and step < len(_UNITS) - 1:
        size, step = size / 1000, step + 1
    if step == 0:
        return f"{'-' if value < 0 else ''}{int(size)}"
    places = 2 if size < 10 else 1 if size < 100 else 0
    shown = f"{size.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return f"{'-' if value < 0 else ''}{shown}{_UNITS[step]}"


_BYTES = {"B": 0, "kB": 1, "MB": 2, "GB": 3, "TB": 4, "PB": 5, "EB": 6, "ZB": 7, "YB": 8}


def _parse_data_size(text: str) -> str:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]+)", text)
    if found is None or found[2] not in _BYTES:
        _fail(f"Invalid data size: '{text}'")
    return str(int(Decimal(found[1]) * 1024 ** _BYTES[found[2]]))


_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _parse_duration(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*", text)
    if found is None or found[2] not in _SECONDS:
        _fail(f"duration is not a valid data duration string: {text}")
    return round(float(found[1]) * _SECONDS[found[2]] * 1000)


_SPANS = (("week", 604800), ("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def _human_seconds(value: float) -> str:
    rest, parts = round(abs(value)), []
    for name, size in _SPANS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}{'s' if count != 1 else ''}")
    return ", ".join(parts) or "0 seconds"


# ------------------------------------------------------------------------- Java's expressions


@functools.lru_cache(maxsize=256)
def java_pattern(pattern: str) -> re.Pattern[str]:
    """Java's expression as one of Python's, for what RE2 cannot do: look-around, references."""
    if re.search(r"\\[pPGXRhHvVzZQ]|&&|\[\[|\[:", pattern):
        _fail(f"Regular expression {pattern} is not supported here", "NOT_SUPPORTED")
    try:
        return re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", pattern), re.ASCII)
    except re.error as error:
        _fail(f"{error}: {pattern}")


def _group(pattern: str, group: int) -> re.Pattern[str]:
    compiled = java_pattern(pattern)
    if not 0 <= group <= compiled.groups:
        _fail(f"Pattern has {compiled.groups} groups. Cannot access group {group}")
    return compiled


def _regexp_like(text: str, pattern: str) -> bool:
    return java_pattern(pattern).search(text) is not None


def _regexp_extract(text: str, pattern: str, group: int) -> str | None:
    found = _group(pattern, group).search(text)
    return None if found is None else found.group(group)


def _regexp_extract_all(text: str, pattern: str, group: int) -> list[str | None]:
    return [found.group(group) for found in _group(pattern, group).finditer(text)]


def _regexp_replace(text: str, pattern: str, replacement: str) -> str:
    compiled = java_pattern(pattern)

    def filled(found: re.Match[str]) -> str:
        out, i = "", 0
        while i < len(replacement):
            char = replacement[i]
            if char == "\\":
                out += replacement[i + 1 : i + 2]
                i += 2
                continue
            name = re.compile(r"\$(?:\{([A-Za-z]\w*)\}|(\d))").match(replacement, i)
            if char == "$":
                if name is None:
                    _fail("Illegal replacement sequence: unreferenced group")
                key: Any = name[1] or int(name[2])
                try:
                    out += found.group(key) or ""
                except IndexError:
                    _fail(f"Illegal replacement sequence: unknown group {key}")
                i = name.end()
                continue
            out += char
            i += 1
        return out

    return compiled.sub(filled, text)


def _regexp_split(text: str, pattern: str) -> list[str]:
    parts, last = [], 0
    for found in java_pattern(pattern).finditer(text):
        parts.append(text[last : found.start()])
        last = found.end()
    return [*parts, text[last:]]


def _regexp_groups(text: str, pattern: str) -> list[list[str | None]]:
    return [list(found.groups()) for found in java_pattern(pattern).finditer(text)]


def _regexp_weave(text: str, pattern: str, made: list[str | None]) -> str:
    replacements = iter(made)
    return java_pattern(pattern).sub(lambda _: next(replacements) or "", text)


def _regexp_position(text: str, pattern: str, start: int, occurrence: int) -> int:
    if start < 1 or occurrence < 1:
        _fail("start position and occurrence cannot be smaller than 1")
    for number, found in enumerate(java_pattern(pattern).finditer(text, start - 1), 1):
        if number == occurrence:
            return found.start() + 1
    return -1


Function = tuple[str, Callable[..., Any], str]

FUNCTIONS: list[Function] = [
    ("py_real_text", _real_text, "FLOAT -> VARCHAR"),
    ("py_soundex", _soundex, "VARCHAR -> VARCHAR"),
    ("py_format", _format, "VARCHAR, VARCHAR, VARCHAR[] -> VARCHAR"),
    ("py_format_number", _format_number, "DOUBLE -> VARCHAR"),
    ("py_parse_data_size", _parse_data_size, "VARCHAR -> VARCHAR"),
    ("py_parse_duration", _parse_duration, "VARCHAR -> BIGINT"),
    ("py_human_seconds", _human_seconds, "DOUBLE -> VARCHAR"),
    ("py_regexp_like", _regexp_like, "VARCHAR, VARCHAR -> BOOLEAN"),
    ("py_regexp_extract", _regexp_extract, "VARCHAR, VARCHAR, BIGINT -> VARCHAR"),
    ("py_regexp_extract_all", _regexp_extract_all, "VARCHAR, VARCHAR, BIGINT -> VARCHAR[]"),
    ("py_regexp_replace", _regexp_replace, "VARCHAR, VARCHAR, VARCHAR -> VARCHAR"),
    ("py_regexp_split", _regexp_split, "VARCHAR, VARCHAR -> VARCHAR[]"),
    ("py_regexp_groups", _regexp_groups, "VARCHAR, VARCHAR -> VARCHAR[][]"),
    ("py_regexp_weave", _regexp_weave, "VARCHAR, VARCHAR, VARCHAR[] -> VARCHAR"),
    ("py_regexp_position", _regexp_position, "VARCHAR, VARCHAR, BIGINT, BIGINT -> INTEGER"),
]
