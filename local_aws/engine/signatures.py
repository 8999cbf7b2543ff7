"""Signatures of functions: reading them from a table, and choosing one for given arguments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from local_aws.engine.types import UNKNOWN, Type, as_decimal, coerces, common, parse_type


@dataclass(frozen=True, slots=True)
class Pattern:
    """A type that may hold variables: one capital letter stands for any type."""

    name: str
    of: tuple[Pattern, ...] = ()
    exact: Type | None = None

    @property
    def is_variable(self) -> bool:
        """Whether it is a bare variable."""
        return len(self.name) == 1


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature with its translation."""

    name: str
    params: tuple[Pattern, ...]
    result: Pattern
    template: str
    variadic: bool
    kind: str
    """scalar, aggregate or window."""

    text: str
    keeps_length: bool = False
    """Whether the text in the result is declared as long as the first argument."""


def read_table(text: str) -> dict[str, list[Overload]]:
    """Lines of ``name(type, type...) -> type = template`` under headings of ``[kind]``.

    A result with ``*`` (``varchar*``) is declared as long as the first argument.
    """
    table: dict[str, list[Overload]] = {}
    kind = "scalar"
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            kind = line[1 : line.index("]")]
            continue
        head, template = line.split(" = ", 1)
        signature, result = head.rsplit(" -> ", 1)
        name, inner = signature.split("(", 1)
        inner = inner.rstrip()[:-1]
        variadic = inner.endswith("...")
        params = tuple(_pattern(part) for part in _split(inner.removesuffix("...")))
        shown = f"{name.strip()}({inner})"
        overload = Overload(
            name.strip(), params, _pattern(result.replace("*", "")), template.strip(), variadic,
            kind, shown, "*" in result,
        )  # fmt: skip
        table.setdefault(overload.name, []).append(overload)
    return table


def _split(text: str) -> Iterable[str]:
    depth, part = 0, ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            yield part
            part = ""
        else:
            part += char
    if part.strip():
        yield part


def _pattern(text: str) -> Pattern:
    text = text.strip()
    if "(" in text and text.split("(", 1)[0] in ("array", "map", "function", "row"):
        name, inner = text.split("(", 1)
        return Pattern(name, tuple(_pattern(part) for part in _split(inner[:-1])))
    if len(text) == 1 or text in ("decimal", "timestamp", "timestamptz", "row", "char"):
        return Pattern(text)
    return Pattern(text, (), parse_type(text.replace("_", " ") if "interval" in text else text))


Bindings = dict[str, Type]


def bind(pattern: Pattern, actual: Type, bindings: Bindings) -> bool:
    """Collect what the variables must be; False if ``actual`` cannot fit."""
    if pattern.is_variable:
        before = bindings.get(pattern.name)
        merged = actual if before is None else common(before, actual)
        if merged is None:
            return False
        bindings[pattern.name] = merged
        return True
    if actual == UNKNOWN:
        return True
    if pattern.of and pattern.name != "function":
        return (
            actual.name == pattern.name
            and len(pattern.of) == len(actual.of)
            and all(bind(p, t, bindings) for p, t in zip(pattern.of, actual.of, strict=True))
        )
    if pattern.exact is not None:
        return coerces(actual, pattern.exact)
    if pattern.name == "decimal":
        return actual.name == "decimal" or actual.is_integer
    if pattern.name == "timestamp":
        return actual.name in ("timestamp", "date")
    if pattern.name == "timestamptz":
        return actual.name in ("timestamptz", "timestamp", "date")
    return actual.name == pattern.name


def is_exact(pattern: Pattern, actual: Type) -> bool:
    """Whether no coercion is needed."""
    if pattern.exact is not None:
        return actual == pattern.exact or (actual.name == pattern.exact.name == "varchar")
    if pattern.of and actual.of:
        return actual.name == pattern.name and all(map(is_exact, pattern.of, actual.of))
    return pattern.is_variable or actual.name == pattern.name


def resolve(pattern: Pattern, actual: Type | None, bindings: Bindings) -> Type | None:
    """The type a pattern stands for, once its variables are known."""
    if pattern.is_variable:
        return bindings.get(pattern.name)
    if pattern.exact is not None:
        return pattern.exact
    if pattern.of:
        inner = []
        for i, part in enumerate(pattern.of):
            of = actual.of[i] if actual is not None and len(actual.of) > i else None
            kind = resolve(part, of, bindings)
            if kind is None:
                return None
            inner.append(kind)
        fields = tuple(None for _ in inner) if pattern.name == "row" else ()
        return Type(pattern.name, (), tuple(inner), fields)
    if actual is None:
        return None
    if pattern.name == "timestamp" and actual.name == "date":
        return Type("timestamp", (0,))
    if pattern.name == "timestamptz" and actual.name != "timestamptz":
        return Type("timestamptz", actual.numbers or (0,))
    if pattern.name == "decimal" and actual.is_integer:
        return as_decimal(actual)
    return actual
