"""What a statement says, once parsed. DML and views are Trino's grammar, other DDL is Hive's."""

from __future__ import annotations

from dataclasses import dataclass, field

from local_aws.engine import tree


@dataclass(slots=True, eq=False)
class Statement:
    """``kind`` and ``subkind`` are Athena's StatementType and SubstatementType."""

    kind: str
    subkind: str
    parameters: int = field(default=0, init=False)
    """How many ``?`` it has."""


@dataclass(slots=True, eq=False)
class Select(Statement):
    """A query."""

    query: tree.Query


@dataclass(slots=True, eq=False)
class CreateTableAs(Statement):
    """CTAS."""

    table: list[str]
    at: int
    if_not_exists: bool
    properties: dict[str, tree.Expr]
    columns: list[str]
    query: tree.Query
    with_data: bool


@dataclass(slots=True, eq=False)
class CreateView(Statement):
    """``text`` is the query as written."""

    view: list[str]
    replace: bool
    query: tree.Query
    text: str


@dataclass(slots=True, eq=False)
class Insert(Statement):
    """INSERT INTO."""

    table: tree.TableRef
    columns: list[str]
    query: tree.Query


@dataclass(slots=True, eq=False)
class MergeCase:
    """One WHEN; ``action``: update, delete or insert."""

    matched: bool
    condition: tree.Expr | None
    action: str
    columns: list[str]
    values: list[tree.Expr]


@dataclass(slots=True, eq=False)
class Merge(Statement):
    """MERGE, and UPDATE and DELETE as merges without a source."""

    table: tree.TableRef
    alias: str | None
    source: tree.Relation | None
    on: tree.Expr | None
    cases: list[MergeCase]


@dataclass(slots=True, eq=False)
class Unload(Statement):
    """UNLOAD (query) TO 's3://...' WITH (...)."""

    query: tree.Query
    location: str
    at: int
    properties: dict[str, tree.Expr]


@dataclass(slots=True, eq=False)
class Explain(Statement):
    """EXPLAIN and EXPLAIN ANALYZE; ``options`` are TYPE and FORMAT."""

    statement: Statement
    analyze: bool
    options: dict[str, str]
    at: int


@dataclass(slots=True, eq=False)
class Prepare(Statement):
    """PREPARE name FROM text."""

    name: str
    text: str


@dataclass(slots=True, eq=False)
class Execute(Statement):
    """EXECUTE name USING a, b; ``values`` are their texts."""

    name: str
    values: list[str]


@dataclass(slots=True, eq=False)
class Deallocate(Statement):
    """DEALLOCATE PREPARE name."""

    name: str


@dataclass(slots=True, eq=False)
class Maintain(Statement):
    """OPTIMIZE and VACUUM."""

    table: list[str]
    where: tree.Expr | None


@dataclass(slots=True, eq=False)
class CreateDatabase(Statement):
    """CREATE SCHEMA."""

    name: str
    if_not_exists: bool
    comment: str | None
    location: str | None
    properties: dict[str, str]


@dataclass(slots=True, eq=False)
class AlterDatabase(Statement):
    """ALTER DATABASE name SET DBPROPERTIES."""

    name: str
    properties: dict[str, str]


@dataclass(slots=True, eq=False)
class Drop(Statement):
    """DROP TABLE, VIEW or SCHEMA (``what``)."""

    what: str
    name: list[str]
    if_exists: bool
    cascade: bool = False


@dataclass(slots=True, eq=False)
class Column:
    """A column of a Hive DDL, with its Glue type."""

    name: str
    type: str
    comment: str | None = None


@dataclass(slots=True, eq=False)
class CreateTable(Statement):
    """CREATE [EXTERNAL] TABLE with columns."""

    table: list[str]
    external: bool
    if_not_exists: bool
    columns: list[Column]
    partition_columns: list[Column] = field(default_factory=list)
    partition_transforms: list[str] = field(default_factory=list)
    bucketed_by: list[str] = field(default_factory=list)
    bucket_count: int = 0
    comment: str | None = None
    serde: str | None = None
    serde_properties: dict[str, str] = field(default_factory=dict)
    delimited: dict[str, str] = field(default_factory=dict)
    stored_as: str | None = None
    input_format: str | None = None
    output_format: str | None = None
    location: str | None = None
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class AlterTable(Statement):
    """ALTER TABLE; ``action`` names which of the fields are used."""

    table: list[str]
    action: str
    columns: list[Column] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    partitions: list[tuple[dict[str, str], str | None]] = field(default_factory=list)
    flag: bool = False
    """IF EXISTS or IF NOT EXISTS."""

    location: str | None = None


@dataclass(slots=True, eq=False)
class Repair(Statement):
    """MSCK REPAIR TABLE."""

    table: list[str]


@dataclass(slots=True, eq=False)
class Show(Statement):
    """SHOW ...; ``what``: tables, databases, partitions, columns, create_table, create_view,
    views, tblproperties, functions."""

    what: str
    name: list[str]
    pattern: str | None = None


@dataclass(slots=True, eq=False)
class Describe(Statement):
    """DESCRIBE table."""

    table: list[str]
