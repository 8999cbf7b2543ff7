"""What the parts of the compiler ask of each other; each part implements some of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local_aws.engine import tree
from local_aws.engine.errors import QueryError
from local_aws.engine.scope import Field, Scope, Value
from local_aws.engine.tables import Resolver, Source
from local_aws.engine.types import Type


@dataclass(slots=True)
class Column:
    """An output column; ``name`` is None when the query gives none."""

    name: str | None
    type: Type


@dataclass(slots=True)
class Rel:
    """A compiled query: a SELECT whose columns are called ``c0, c1, ...``."""

    sql: str
    columns: list[Column]


@dataclass(slots=True)
class TableUse:
    """One reference to a table."""

    source: Source
    alias: str
    name: str = ""
    """``catalog:database:table``."""

    used: set[int] = field(default_factory=set)
    constraints: list[str] = field(default_factory=list)


@dataclass(slots=True)
class CommonTable:
    """A name of WITH in scope."""

    sql_name: str
    columns: list[Column]


def _cannot_evaluate(sql: str) -> list[tuple[Any, ...]]:
    raise QueryError("NOT_SUPPORTED", "A constant expression cannot be computed here")


class Compiler:
    """State of one statement's compilation, and the calls between its parts."""

    def __init__(
        self, resolver: Resolver, now: datetime, parameters: list[tree.Expr] | None = None
    ) -> None:
        self.resolver = resolver
        self.now = now
        """When the query started, UTC; every ``now()`` in it is this instant."""

        self.parameters: list[tree.Expr] = parameters or []
        self.evaluate: Callable[[str], list[tuple[Any, ...]]] = _cannot_evaluate
        """Runs a query without tables: for clauses that want a constant."""

        self.names = 0
        """Numbers given to relations and lambda parameters so far."""

        self.windows: list[dict[str, tree.Window]] = []
        self.tables: dict[int, TableUse] = {}
        self.optional: dict[str, str] = {}
        """Marks in the SQL of items that only stand there if somebody names them: their text."""

        self.ctes: list[dict[str, CommonTable]] = [{}]
        self.touched: list[Field] | None = None
        self.view_depth = 0

    def next_name(self, letter: str) -> str:
        """A name that nothing else in the statement has."""
        self.names += 1
        return f"{letter}{self.names}" + ("_" if letter == "v" else "")

    def settled(self, sql: str) -> str:
        """SQL with its optional items, or without them: once all of it is compiled."""
        for mark, text in self.optional.items():
            sql = sql.replace(mark, text)
        return sql

    def touch(self, found: Field) -> Field:
        """Note the use of a column, also for whoever watches (``touched``)."""
        if self.touched is not None:
            self.touched.append(found)
        return found.touch()

    def query(self, node: tree.Query, parent: Scope | None = None) -> Rel:
        """Compile a query."""
        raise NotImplementedError

    def subquery(self, query: tree.Query, scope: Scope) -> tuple[str, list[Type]]:
        """SQL and column types of a query inside an expression."""
        raise NotImplementedError

    def conjunct(self, node: tree.Expr, scope: Scope, what: str) -> str:
        """Compile a condition that rows must meet to count at all."""
        raise NotImplementedError

    def expr(self, node: tree.Expr, scope: Scope) -> Value:
        """Compile an expression."""
        raise NotImplementedError

    def condition(self, node: tree.Expr, scope: Scope, what: str) -> str:
        """Compile an expression that must be boolean."""
        raise NotImplementedError

    def unify(self, values: list[Value], message: str, at: int) -> list[Value]:
        """All values as their common type."""
        raise NotImplementedError

    def compare(self, op: str, left: Value, right: Value, at: int) -> Value:
        """A comparison, after both sides came to one type."""
        raise NotImplementedError

    def comparable(self, value: Value) -> str:
        """What to compare: of a time with zone only the instant counts."""
        raise NotImplementedError

    def tail(self, node: tree.Call, scope: Scope) -> str:
        """`` FILTER (...) OVER (...)``."""
        raise NotImplementedError

    def sort_list(self, items: list[tree.SortItem], scope: Scope) -> str:
        """``a ASC NULLS LAST, ...``."""
        raise NotImplementedError

    def sort_sql(self, value: Value, item: tree.SortItem) -> str:
        """One sort key."""
        raise NotImplementedError

    def lambda_body(
        self, node: tree.Expr, kinds: list[Type], scope: Scope, names: list[str] | None = None
    ) -> tuple[list[str], Value]:
        """Names of a lambda's parameters in SQL, and its body."""
        raise NotImplementedError
