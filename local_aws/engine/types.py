"""Trino's types: their spelling in SQL, Glue and DuckDB, and which turns into which by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Type:
    """One type; ``numbers`` are length, precision or scale, ``of`` the element types."""

    name: str
    numbers: tuple[int, ...] = ()
    of: tuple[Type, ...] = ()
    fields: tuple[str | None, ...] = ()
    """A row's field names, one per element of ``of``."""

    def __str__(self) -> str:
        if self.name == "row":
            inner = (
                f'"{f}" {t}' if f and not _PLAIN.fullmatch(f) else f"{f} {t}" if f else str(t)
                for f, t in zip(self.fields, self.of, strict=True)
            )
            return f"row({', '.join(inner)})"
        if self.of:
            return f"{self.name}({', '.join(map(str, self.of))})"
        if self.name == "timestamptz":
            return f"timestamp({self.numbers[0]}) with time zone"
        if self.name == "decimal":
            return f"decimal({self.numbers[0]},{self.numbers[1]})"
        if self.numbers:
            return f"{self.name}({', '.join(map(str, self.numbers))})"
        return self.name.replace("_", " ")

    @property
    def duck(self) -> str:
        """The DuckDB type that carries the values."""
        if self.name == "decimal":
            return f"DECIMAL({self.numbers[0]},{self.numbers[1]})"
        if self.name == "array":
            return f"{self.of[0].duck}[]"
        if self.name == "map":
            return f"MAP({self.of[0].duck}, {self.of[1].duck})"
        if self.name == "row":
            inner = (
                f"{quote(f)} {t.duck}" for f, t in zip(self.struct_names, self.of, strict=True)
            )
            return f"STRUCT({', '.join(inner)})"
        return _DUCK[self.name]

    @property
    def struct_names(self) -> list[str]:
        """Field names; a field without one is ``field<n>``, as Athena prints it."""
        return [f if f is not None else f"field{i}" for i, f in enumerate(self.fields)]

    @property
    def glue(self) -> str:
        """The type as the Glue catalogue spells it."""
        if self.name == "array":
            return f"array<{self.of[0].glue}>"
        if self.name == "map":
            return f"map<{self.of[0].glue},{self.of[1].glue}>"
        if self.name == "row":
            inner = (f"{f}:{t.glue}" for f, t in zip(self.struct_names, self.of, strict=True))
            return f"struct<{','.join(inner)}>"
        if self.name == "varchar":
            return f"varchar({self.numbers[0]})" if self.numbers else "string"
        if self.name in _GLUE:
            return _GLUE[self.name]
        return str(self)

    @property
    def is_number(self) -> bool:
        """Whether arithmetic works on it."""
        return self.name in _NUMBERS

    @property
    def is_integer(self) -> bool:
        """tinyint to bigint."""
        return self.name in _INTEGERS

    @property
    def is_orderable(self) -> bool:
        """Whether ``<`` and ORDER BY work on it."""
        if self.name in ("map", "json", "function"):
            return False
        return all(inner.is_orderable for inner in self.of)


_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_INTEGERS = ("tinyint", "smallint", "integer", "bigint")
_NUMBERS = (*_INTEGERS, "decimal", "real", "double")
_DIGITS = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
_DUCK = {
    "boolean": "BOOLEAN", "tinyint": "TINYINT", "smallint": "SMALLINT", "integer": "INTEGER",
    "bigint": "BIGINT", "real": "FLOAT", "double": "DOUBLE", "varchar": "VARCHAR",
    "char": "VARCHAR", "varbinary": "BLOB", "date": "DATE", "time": "TIME",
    "timestamp": "TIMESTAMP", "timestamptz": "STRUCT(i TIMESTAMP, z VARCHAR)", "json": "JSON",
    "interval_day_to_second": "BIGINT", "interval_year_to_month": "BIGINT", "uuid": "UUID",
    "unknown": "INTEGER",
}  # fmt: skip
_GLUE = {
    "integer": "int", "real": "float", "varbinary": "binary", "timestamp": "timestamp",
    "timestamptz": "timestamp with time zone",
}  # fmt: skip

BOOLEAN, TINYINT, SMALLINT = Type("boolean"), Type("tinyint"), Type("smallint")
INTEGER, BIGINT = Type("integer"), Type("bigint")
REAL, DOUBLE = Type("real"), Type("double")
VARCHAR, VARBINARY, JSON = Type("varchar"), Type("varbinary"), Type("json")
DATE, UNKNOWN = Type("date"), Type("unknown")
TIMESTAMP3, TIMESTAMP6 = Type("timestamp", (3,)), Type("timestamp", (6,))
TIMESTAMPTZ3, TIMESTAMPTZ6 = Type("timestamptz", (3,)), Type("timestamptz", (6,))
DAY_TO_SECOND, YEAR_TO_MONTH = Type("interval_day_to_second"), Type("interval_year_to_month")


def quote(name: str) -> str:
    """A DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    """A DuckDB string literal."""
    return "'" + value.replace("'", "''") + "'"


def decimal(precision: int, scale: int) -> Type:
    """``decimal(precision, scale)``."""
    return Type("decimal", (precision, scale))


def array(element: Type) -> Type:
    """``array(element)``."""
    return Type("array", (), (element,))


def as_decimal(kind: Type) -> Type:
    """The decimal that holds every value of an integer type."""
    return kind if kind.name == "decimal" else decimal(_DIGITS[kind.name], 0)


def common(a: Type, b: Type) -> Type | None:
    """The type both turn into by themselves, or None."""
    if a == b or b.name == "unknown":
        return a
    if a.name == "unknown":
        return b
    if a.is_number and b.is_number:
        return _common_number(a, b)
    if a.name == b.name:
        return _common_same_name(a, b)
    names = {a.name, b.name}
    if names == {"varchar", "char"}:
        return Type("char", (max(t.numbers[0] if t.numbers else 65536 for t in (a, b)),))
    if names <= {"date", "timestamp", "timestamptz"}:
        digits = max([0, *(n for t in (a, b) for n in t.numbers)])
        return Type("timestamptz" if "timestamptz" in names else "timestamp", (digits,))
    return None


def _common_number(a: Type, b: Type) -> Type:
    names = {a.name, b.name}
    if "double" in names:
        return DOUBLE
    if "real" in names:
        return REAL
    if "decimal" in names:
        (p, s), (q, t) = as_decimal(a).numbers, as_decimal(b).numbers
        scale = max(s, t)
        return decimal(min(38, max(p - s, q - t) + scale), scale)
    return a if _DIGITS[a.name] >= _DIGITS[b.name] else b


def _common_same_name(a: Type, b: Type) -> Type | None:
    if a.of:
        if len(a.of) != len(b.of):
            return None
        inner = [common(x, y) for x, y in zip(a.of, b.of, strict=True)]
        if any(t is None for t in inner):
            return None
        fields = tuple(x if x == y else None for x, y in zip(a.fields, b.fields, strict=True))
        return Type(a.name, (), tuple(t for t in inner if t is not None), fields)
    if not a.numbers or not b.numbers:
        return Type(a.name)
    return Type(a.name, (max(a.numbers[0], b.numbers[0]),))


def coerces(a: Type, b: Type) -> bool:
    """Whether ``a`` turns into ``b`` without a cast."""
    if a == b:
        return True
    if a.name == "char" and b.name == "varchar":
        return not b.numbers or a.numbers <= b.numbers
    both = common(a, b)
    if both is None:
        return False
    if b.name == "decimal" and a.is_number and a.name not in ("real", "double"):
        return both == b
    if b.name == "varchar":
        return both.name == "varchar" and (not b.numbers or both.numbers == b.numbers)
    if b.of:
        return a.name == "unknown" or all(coerces(x, y) for x, y in zip(a.of, b.of, strict=True))
    return both == b


class _Scanner:
    """Splits the text of a type into words, numbers and brackets."""

    def __init__(self, text: str) -> None:
        self.words = re.findall(r'"(?:[^"]|"")*"|`[^`]*`|\w+|[^\s\w]', text)
        self.at = 0

    def peek(self) -> str:
        return self.words[self.at].lower() if self.at < len(self.words) else ""

    def take(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def accept(self, *words: str) -> bool:
        if tuple(w.lower() for w in self.words[self.at : self.at + len(words)]) == words:
            self.at += len(words)
            return True
        return False


def parse_type(text: str, *, hive: bool = False) -> Type:
    """Read a type as SQL or (``hive``) Glue spells it; raises ValueError."""
    scanner = _Scanner(text)
    kind = _parse(scanner, hive)
    if scanner.peek():
        raise ValueError(text)
    return kind


def _parse(s: _Scanner, hive: bool) -> Type:
    name = s.take()
    if name in ("array", "map"):
        return Type(name, (), tuple(_list(s, hive)))
    if name in ("row", "struct"):
        return _parse_row(s, hive)
    numbers = tuple(_numbers(s))
    if name == "decimal" or (name in ("numeric", "dec") and not hive):
        default = (10, 0) if hive else (38, 0)
        return decimal(*(numbers + default[len(numbers) :]))
    if name in ("timestamp", "time"):
        digits = numbers or (3,)
        if s.accept("with", "time", "zone"):
            return Type(f"{name}tz", digits)
        s.accept("without", "time", "zone")
        if digits[0] > 6:
            raise ValueError(name)
        return Type(name, digits)
    if name in ("varchar", "char"):
        return Type(name, numbers or ((1,) if name == "char" else ()))
    if numbers:
        raise ValueError(name)
    if name == "double":
        s.accept("precision")
    if name == "interval":
        if s.accept("day", "to", "second"):
            return DAY_TO_SECOND
        if s.accept("year", "to", "month"):
            return YEAR_TO_MONTH
    known = _HIVE_NAMES if hive else _SQL_NAMES
    if name not in known:
        raise ValueError(name)
    return known[name]


_BASE = {t.name: t for t in (BOOLEAN, TINYINT, SMALLINT, INTEGER, BIGINT, DOUBLE, DATE)}
_SQL_NAMES = {**_BASE, "int": INTEGER, "real": REAL, "varbinary": VARBINARY, "json": JSON,
              "uuid": Type("uuid"), "unknown": UNKNOWN}  # fmt: skip
_HIVE_NAMES = {**_BASE, "int": INTEGER, "float": REAL, "real": REAL, "string": VARCHAR,
               "binary": VARBINARY, "varbinary": VARBINARY, "json": JSON, "uuid": Type("uuid"),
               "long": BIGINT, "bool": BOOLEAN}  # fmt: skip


def _list(s: _Scanner, hive: bool) -> Iterator[Type]:
    if s.take() not in ("(", "<"):
        raise ValueError("type parameters")
    while True:
        yield _parse(s, hive)
        if s.take() != ",":
            return


def _numbers(s: _Scanner) -> Iterator[int]:
    if s.peek() != "(":
        return
    s.take()
    while True:
        yield int(s.take())
        if s.take() != ",":
            return


def _parse_row(s: _Scanner, hive: bool) -> Type:
    fields: list[str | None] = []
    kinds: list[Type] = []
    if s.take() not in ("(", "<"):
        raise ValueError("row")
    while True:
        start = s.at
        name: str | None = s.take().strip('"`')
        s.accept(":")
        if s.peek() in (",", ")", ">", "(", "<") and s.words[s.at - 1] != ":":
            s.at, name = start, None
        try:
            kind = _parse(s, hive)
        except ValueError:
            if name is None:
                raise
            s.at, name = start, None
            kind = _parse(s, hive)
        fields.append(name)
        kinds.append(kind)
        if s.take() != ",":
            return Type("row", (), tuple(kinds), tuple(fields))
