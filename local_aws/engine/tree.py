"""The syntax tree. ``at`` is the offset in the source, for messages."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Node:
    """Anything in the tree."""

    at: int


class Expr(Node):
    """A value."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Literal(Expr):
    """``kind``: null, boolean, integer, decimal, double, string, binary."""

    kind: str
    value: str


@dataclass(slots=True, eq=False)
class TypedLiteral(Expr):
    """``DATE '2024-01-01'``."""

    type_name: str
    value: str


@dataclass(slots=True, eq=False)
class IntervalLiteral(Expr):
    """``INTERVAL '1' DAY``."""

    value: str
    unit: str
    sign: int
    to: str | None


@dataclass(slots=True, eq=False)
class Ident(Expr):
    """A bare name, lower case unless it was quoted (names are case-insensitive anyway)."""

    name: str


@dataclass(slots=True, eq=False)
class Deref(Expr):
    """``base.name``: a qualified column or a row's field."""

    base: Expr
    name: str


@dataclass(slots=True, eq=False)
class Star(Expr):
    """``*`` or ``t.*``."""

    qualifier: Expr | None
    aliases: list[str]


@dataclass(slots=True, eq=False)
class Unary(Expr):
    """``-x``, ``+x``, ``NOT x``."""

    op: str
    operand: Expr


@dataclass(slots=True, eq=False)
class Binary(Expr):
    """Arithmetic, ``||``, comparison, AND, OR."""

    op: str
    left: Expr
    right: Expr


@dataclass(slots=True, eq=False)
class Quantified(Expr):
    """``x = ANY (query)``."""

    op: str
    quantifier: str
    left: Expr
    query: Query


@dataclass(slots=True, eq=False)
class Between(Expr):
    """``x BETWEEN low AND high``."""

    operand: Expr
    low: Expr
    high: Expr


@dataclass(slots=True, eq=False)
class InList(Expr):
    """``x IN (a, b)``."""

    operand: Expr
    items: list[Expr]


@dataclass(slots=True, eq=False)
class InQuery(Expr):
    """``x IN (query)``."""

    operand: Expr
    query: Query


@dataclass(slots=True, eq=False)
class Like(Expr):
    """``x LIKE pattern ESCAPE e``."""

    operand: Expr
    pattern: Expr
    escape: Expr | None


@dataclass(slots=True, eq=False)
class IsNull(Expr):
    """``x IS NULL``."""

    operand: Expr


@dataclass(slots=True, eq=False)
class IsDistinct(Expr):
    """``x IS DISTINCT FROM y``."""

    left: Expr
    right: Expr


@dataclass(slots=True, eq=False)
class Exists(Expr):
    """``EXISTS (query)``."""

    query: Query


@dataclass(slots=True, eq=False)
class ScalarQuery(Expr):
    """``(query)`` as a value."""

    query: Query


@dataclass(slots=True, eq=False)
class Case(Expr):
    """Both forms of CASE."""

    operand: Expr | None
    whens: list[tuple[Expr, Expr]]
    otherwise: Expr | None


@dataclass(slots=True, eq=False)
class Cast(Expr):
    """CAST and TRY_CAST."""

    operand: Expr
    type_text: str
    type_at: int
    safe: bool


@dataclass(slots=True, eq=False)
class SortItem(Node):
    """``x DESC NULLS FIRST``; Trino puts nulls last unless told otherwise."""

    expr: Expr
    descending: bool
    nulls_first: bool


@dataclass(slots=True, eq=False)
class Window(Node):
    """``OVER (...)``; ``frame`` is kept as the words of SQL."""

    base: str | None
    partition_by: list[Expr]
    order_by: list[SortItem]
    frame_unit: str | None = None
    frame_start: tuple[str, Expr | None] = ("", None)
    frame_end: tuple[str, Expr | None] | None = None


@dataclass(slots=True, eq=False)
class Call(Expr):
    """A function; special forms (EXTRACT, POSITION, TRIM) become calls too."""

    name: str
    args: list[Expr]
    distinct: bool = False
    star: bool = False
    order_by: list[SortItem] = field(default_factory=list)
    within_group: list[SortItem] = field(default_factory=list)
    filter: Expr | None = None
    window: Window | None = None
    ignore_nulls: bool = False


@dataclass(slots=True, eq=False)
class Lambda(Expr):
    """``(x, y) -> body``."""

    params: list[str]
    body: Expr


@dataclass(slots=True, eq=False)
class ArrayLiteral(Expr):
    """``ARRAY[a, b]``."""

    items: list[Expr]


@dataclass(slots=True, eq=False)
class RowLiteral(Expr):
    """``ROW(a, b)`` or ``(a, b)``."""

    items: list[Expr]


@dataclass(slots=True, eq=False)
class Subscript(Expr):
    """``base[index]``."""

    base: Expr
    index: Expr


@dataclass(slots=True, eq=False)
class AtTimeZone(Expr):
    """``x AT TIME ZONE zone``."""

    operand: Expr
    zone: Expr


@dataclass(slots=True, eq=False)
class Parameter(Expr):
    """``?``."""

    index: int


# ------------------------------------------------------------------------------- queries


class Relation(Node):
    """Something in FROM."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class TableRef(Relation):
    """A table, view or CTE by name, perhaps at a version."""

    parts: list[str]
    version_kind: str | None = None
    version: Expr | None = None


@dataclass(slots=True, eq=False)
class SubqueryRef(Relation):
    """``(query)`` in FROM, LATERAL or not."""

    query: Query
    lateral: bool = False


@dataclass(slots=True, eq=False)
class Unnest(Relation):
    """``UNNEST(a, b) WITH ORDINALITY``."""

    exprs: list[Expr]
    ordinality: bool


@dataclass(slots=True, eq=False)
class Aliased(Relation):
    """``relation AS name (columns)``."""

    relation: Relation
    name: str
    columns: list[str]


@dataclass(slots=True, eq=False)
class Sampled(Relation):
    """``relation TABLESAMPLE BERNOULLI (10)``; ``method``: bernoulli or system."""

    relation: Relation
    method: str
    percentage: Expr


@dataclass(slots=True, eq=False)
class Join(Relation):
    """``kind``: inner, left, right, full, cross."""

    kind: str
    left: Relation
    right: Relation
    on: Expr | None
    using: list[str]


@dataclass(slots=True, eq=False)
class SelectItem(Node):
    """One item of SELECT."""

    expr: Expr
    alias: str | None


@dataclass(slots=True, eq=False)
class GroupingElement(Node):
    """``kind``: simple, rollup, cube or sets; ``sets`` is a list of lists of expressions."""

    kind: str
    sets: list[list[Expr]]


class QueryBody(Node):
    """SELECT, VALUES, a set operation or a query in parentheses."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Select(QueryBody):
    """One SELECT."""

    distinct: bool
    items: list[SelectItem]
    relation: Relation | None
    where: Expr | None
    group_by: list[GroupingElement]
    group_distinct: bool
    having: Expr | None
    windows: dict[str, Window]


@dataclass(slots=True, eq=False)
class Values(QueryBody):
    """``VALUES (1, 2), (3, 4)``."""

    rows: list[Expr]


@dataclass(slots=True, eq=False)
class SetOperation(QueryBody):
    """UNION, INTERSECT, EXCEPT."""

    op: str
    all: bool
    left: QueryBody
    right: QueryBody


@dataclass(slots=True, eq=False)
class Nested(QueryBody):
    """``(query)``."""

    query: Query


@dataclass(slots=True, eq=False)
class CommonTable(Node):
    """One name of WITH."""

    name: str
    columns: list[str]
    query: Query


@dataclass(slots=True, eq=False)
class Query(Node):
    """A query with everything around its body; ``end`` is the offset behind it."""

    ctes: list[CommonTable]
    body: QueryBody
    order_by: list[SortItem]
    offset: Expr | None
    limit: Expr | None
    end: int = 0
    recursive: bool = False
    """Whether it said WITH RECURSIVE."""

    ties: bool = False
    """Whether rows that sort like the last of ``limit`` come too."""
