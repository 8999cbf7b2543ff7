"""What names mean at a place in a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from local_aws.engine.errors import QueryError
from local_aws.engine.types import Type


@dataclass(slots=True)
class Value:
    """A compiled expression: DuckDB's SQL and Trino's type."""

    sql: str
    type: Type
    literal: object = None
    """The value, where the expression is a literal (str, int, bool)."""

    is_null: bool = False
    """Whether it is the literal NULL."""

    wall: str | None = None
    """Of a time with zone: what the clock shows, where that can be said without taking it apart."""

    utc: str | None = None
    """Of a time with zone: the instant, likewise."""


@dataclass(slots=True)
class Field:
    """A column that can be named."""

    name: str | None
    type: Type
    sql: str
    qualifier: tuple[str, ...] = ()
    """How the relation may be called, e.g. ``("awsdatacatalog", "sales", "orders")``."""

    use: Callable[[], None] | None = None
    """Told when the column is needed, so that scans read no more than that."""

    partition_of: int | None = None
    """Number of the table reference of which this is a partition column."""

    hidden: bool = False
    """Whether ``*`` leaves it out, e.g. a table's ``$path``."""

    def touch(self) -> Field:
        """Note that the column is needed."""
        if self.use is not None:
            self.use()
        return self


@dataclass(slots=True)
class Scope:
    """The fields of one FROM, then those of the query around it."""

    fields: list[Field]
    parent: Scope | None = None
    outer_names: dict[str, Value] = field(default_factory=dict)
    """Output names, which ORDER BY may use before the columns."""

    def find(self, parts: list[str], at: int) -> tuple[Field, list[str]] | None:
        """The field that the longest prefix of ``parts`` names, and the rest of the parts."""
        scope: Scope | None = self
        while scope is not None:
            found = scope._find_here(parts, at)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def _find_here(self, parts: list[str], at: int) -> tuple[Field, list[str]] | None:
        for split in range(min(len(parts) - 1, 3), -1, -1):
            prefix, name = tuple(parts[:split]), parts[split]
            hits = [
                f for f in self.fields
                if f.name == name and (not prefix or f.qualifier[-split:] == prefix)
            ]  # fmt: skip
            if len(hits) > 1:
                raise QueryError(
                    "AMBIGUOUS_NAME", f"Column '{'.'.join(parts[: split + 1])}' is ambiguous", at
                )
            if hits:
                return hits[0], parts[split + 1 :]
        return None

    def qualified(self, prefix: list[str]) -> list[Field]:
        """The fields of the relation called ``prefix``."""
        size = len(prefix)
        return [f for f in self.fields if f.qualifier[-size:] == tuple(prefix)]
