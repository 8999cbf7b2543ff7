"""What makes a query fail, in Athena's words.

QueryError      the statement cannot be run; ``str(error)`` is the StateChangeReason
"""

from __future__ import annotations

from typing import NoReturn

_ICEBERG_ERROR = 233
_TYPES = {
    "INTERNAL_ERROR": (1, 200),
    "GENERIC_INTERNAL_ERROR": (1, 200),
    "EXCEEDED_MEMORY_LIMIT": (1, 0),
}


_NAMES = {
    "Unexpected parameters": "FUNCTION_NOT_FOUND",
    "Column alias list": "MISMATCHED_COLUMN_ALIASES",
    "Cannot unnest type": "INVALID_FUNCTION_ARGUMENT",
    "Cannot add hour": "INVALID_FUNCTION_ARGUMENT",
}


class QueryError(Exception):
    """A statement that fails; ``name`` is Trino's name of the reason, e.g. ``TABLE_NOT_FOUND``."""

    def __init__(self, name: str, text: str, at: int | None = None) -> None:
        super().__init__(text)
        self.name = name
        self.text = text
        self.at = at
        self.place: tuple[int, int] | None = None

    def locate(self, source: str) -> QueryError:
        """Turn the offset into line and column, once the source is known."""
        if self.at is not None and self.place is None and self.at <= len(source):
            before = source[: self.at]
            self.place = before.count("\n") + 1, self.at - (before.rfind("\n") + 1) + 1
        return self

    def __str__(self) -> str:
        place = f"line {self.place[0]}:{self.place[1]}: " if self.place else ""
        return f"{self.name}: {place}{self.text}"

    @property
    def category(self) -> int:
        """1 system, 2 user, as in Athena's ErrorCategory."""
        return _TYPES.get(self.name, (2, 0))[0]

    @property
    def error_type(self) -> int:
        """Athena's ErrorType; dbt-athena retries Iceberg errors (233) that are commit conflicts."""
        if self.name.startswith("ICEBERG_"):
            return _ICEBERG_ERROR
        return _TYPES.get(self.name, (2, 1006))[1]


def refuse(text: str, at: int | None = None) -> NoReturn:
    """Fail with NOT_SUPPORTED: valid on Athena perhaps, but not known to be right here."""
    raise QueryError("NOT_SUPPORTED", text, at)


def mismatch(text: str, at: int | None = None) -> NoReturn:
    """Fail with TYPE_MISMATCH, or the name that Trino has for a mismatch of this kind."""
    for beginning, name in _NAMES.items():
        if text.startswith(beginning):
            raise QueryError(name, text, at)
    raise QueryError("TYPE_MISMATCH", text, at)


def syntax(text: str, at: int | None = None) -> NoReturn:
    """Fail with SYNTAX_ERROR."""
    raise QueryError("SYNTAX_ERROR", text, at)
