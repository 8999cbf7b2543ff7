"""How readers of the warehouse come to see what was built: Glue tables in, Glue calls out. Pure.

dbt builds in a schema of its own. Two more schemas, the sides, hold a definition of each of its
tables: where the data of one moment lies, or a view over tables of the same side. One side is live.
Readers query views that choose a side by one view that names it: changing that is the switch.

    daylight_build.t    what dbt writes
    daylight_a.t        where t's data lay at one publication
    daylight_b.t        where it lay at another
    daylight.t          select … from daylight_a.t where (select side from daylight.published) = 'a'
                        union all select … from daylight_b.t where (…) = 'b'
    daylight.published  select 'a' as side, …

Trino decides the condition while it plans, so nothing of the other side is read (DECISIONS.md).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ingestion.athena_views import Definition, body_of, columns_of, packed, sql_of, view

Tables = Mapping[str, Mapping[str, Any]]
"""The tables of one schema by name, as Glue gives them."""

SIDES = ("a", "b")
SWITCH = "published"
"""The view that names the live side; it also says since when and by which run."""

_MARKS = {"daylight": "published"}
_WRITTEN = (
    "Name",
    "Description",
    "Owner",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "ViewOriginalText",
    "ViewExpandedText",
    "TableType",
    "Parameters",
)
_TEMPORARY = re.compile(r"__(dbt_tmp|ha|bkp|tmp_not_partitioned)[_0-9a-f]*$")


@dataclass(frozen=True, slots=True)
class Names:
    """The schemas of one warehouse."""

    readers: str
    """What people and the site query: WAREHOUSE_SCHEMA."""

    @property
    def build(self) -> str:
        """Where dbt writes; profiles.yml says the same."""
        return f"{self.readers}_build"

    def side(self, side: str) -> str:
        """The schema of a side."""
        return f"{self.readers}_{side}"

    @property
    def all(self) -> list[str]:
        """Every one of them."""
        return [self.readers, self.build, *map(self.side, SIDES)]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What stands in all four schemas."""

    build: Tables
    sides: Mapping[str, Tables]
    readers: Tables

    @property
    def live(self) -> str | None:
        """The side that readers see; none before the first publication."""
        found = re.match(r"select '([ab])' as side\b", sql_of(self.readers.get(SWITCH, {})) or "")
        return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Call:
    """One call to Glue."""

    kind: Literal["create", "update", "delete"]
    database: str
    name: str
    definition: Definition | None = None
    version: str | None = None
    """The one that was looked at: if somebody was faster, the call is refused."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls in their order. Readers are served between any two of them."""

    side: str
    """The side that is live in the end."""

    before: list[Call]
    """What prepares the other side, unseen."""

    switch: Call | None
    """None if what was built is live already."""

    after: list[Call]
    """What removes the models that are no more."""

    @property
    def calls(self) -> list[Call]:
        """All of them."""
        return [*self.before, *([self.switch] if self.switch else []), *self.after]


def is_temporary(name: str) -> bool:
    """Tell whether dbt-athena made the table for the time of a run."""
    return bool(_TEMPORARY.search(name))


def pointer(table: Mapping[str, Any]) -> str:
    """Return where a table's rows lie, or a view's query: it changes whenever they do."""
    metadata = (table.get("Parameters") or {}).get("metadata_location")
    return str(sql_of(table) or metadata or table["StorageDescriptor"]["Location"])


def plan(
    names: Names,
    found: Catalogue,
    models: set[str],
    published_at: str,
    run_id: str,
    *,
    is_forced: bool = False,
) -> Plan:
    """Say how readers come to see all that is built of ``models`` at once.

    ``is_forced``: switch also if the live side is what was built, so that the other one is, too.
    """
    live = found.live
    idle = "b" if live == "a" else "a"
    built = {name: table for name, table in found.build.items() if name in models}
    leaving = [
        Call("delete", names.readers, name)
        for name, table in found.readers.items()
        if name not in built and name != SWITCH and _is_ours(table)
    ]
    if live and not is_forced and _is_same(found.sides[live], _on_side(names, live, built)):
        views = _views(names, found, {live: found.sides[live], idle: found.sides[idle]}, built)
        return Plan(live, list(views), None, leaving)

    wanted = _on_side(names, idle, built)
    moved = list(_moved(names.side(idle), found.sides[idle], wanted))
    gone = [Call("delete", names.side(idle), n) for n in found.sides[idle] if n not in built]
    switch = _switch(names, found, idle, published_at, run_id)
    if live is None:
        # Tables of an earlier release stand where the views will be; those need the switch.
        views = _views(names, found, {idle: wanted}, built)
        return Plan(idle, [*moved, *gone], switch, [*views, *leaving])
    sheltered = list(_sheltered(names, found, live, idle, wanted))
    touched = {call.name for call in sheltered}
    views = _views(names, found, {idle: wanted, live: found.sides[live]}, built, touched)
    return Plan(idle, [*sheltered, *moved, *gone, *views], switch, leaving)


def adopted(names: Names, found: Catalogue) -> list[Call]:
    """Return the calls that make the Iceberg tables of an earlier release the build's.

    The others are built anew in each run.
    """
    return [
        Call("create", names.build, name, _definition(table))
        for name, table in found.readers.items()
        if (table.get("Parameters") or {}).get("table_type", "").lower() == "iceberg"
    ]


def readers_view(names: Names, table: str, sides: Mapping[str, Mapping[str, str]]) -> Definition:
    """Return the readers' view of a table, over the columns that it has on each side.

    A column that one side lacks is null there: while columns change, every query goes on working.
    Where both have one, the first side's type and place count.
    """
    every: dict[str, str] = {}
    for columns in sides.values():
        every |= {column: kind for column, kind in columns.items() if column not in every}
    parts = []
    for side in sorted(sides):
        items = ", ".join(
            f'"{name}"' if sides[side].get(name) == kind else f"cast(null as {kind}) as {name}"
            for name, kind in every.items()
        )
        parts.append(
            f'select {items} from "{names.side(side)}"."{table}" '
            f'where (select side from "{names.readers}"."{SWITCH}") = \'{side}\''
        )
    return view(names.readers, table, " union all ".join(parts), every, _MARKS)


def _on_side(names: Names, side: str, tables: Tables) -> dict[str, Definition]:
    """Return the definitions that a side has of tables, and of views over its own tables."""
    return {name: _copied(names, side, table) for name, table in tables.items()}


def _copied(names: Names, side: str, table: Mapping[str, Any]) -> Definition:
    copied, body = _definition(table), body_of(table)
    if body is not None:
        schema = names.side(side)
        # Quoted, as dbt writes it; Athena keeps the quotes.
        body["originalSql"] = body["originalSql"].replace(f'"{names.build}".', f'"{schema}".')
        copied["ViewOriginalText"] = packed(body | {"schema": schema})
    return copied


def _definition(table: Mapping[str, Any]) -> Definition:
    return {key: table[key] for key in _WRITTEN if table.get(key) is not None}


def _is_same(standing: Tables, wanted: Tables) -> bool:
    return all(name in standing and _definition(standing[name]) == wanted[name] for name in wanted)


def _moved(database: str, standing: Tables, wanted: Mapping[str, Definition]) -> Iterator[Call]:
    for name, table in wanted.items():
        if name not in standing:
            yield Call("create", database, name, table)
        elif _definition(standing[name]) != table:
            yield Call("update", database, name, table, standing[name]["VersionId"])


def _sheltered(
    names: Names, found: Catalogue, live: str, idle: str, wanted: Tables
) -> Iterator[Call]:
    """Let a view look at the live side alone while its columns change on the other one.

    Also a side that nobody reads has to have the columns that a view names. The view of a model
    that is no more is empty behind the switch, not of another moment.
    """
    for name, old in found.sides[idle].items():
        standing = found.readers.get(name)
        if standing is None or not _is_ours(standing):
            continue
        if name in wanted and columns_of(old) == columns_of(wanted[name]):
            continue
        if name in found.sides[live]:
            sheltered = readers_view(names, name, {live: columns_of(found.sides[live][name])})
            if not _is_like(standing, sheltered):
                yield Call("update", names.readers, name, sheltered, standing["VersionId"])
        else:
            yield Call("delete", names.readers, name)


def _views(
    names: Names,
    found: Catalogue,
    sides: Mapping[str, Tables],
    built: Tables,
    touched: set[str] | None = None,
) -> Iterator[Call]:
    """Let every readers' view choose between the sides that have its table.

    ``touched`` are the views that have changed since ``found`` was looked at.
    """
    for name in built:
        columns = {
            side: columns_of(tables[name]) for side, tables in sides.items() if name in tables
        }
        wanted, standing = readers_view(names, name, columns), found.readers.get(name)
        is_sheltered = name in (touched or ())
        if standing is not None and not is_sheltered and _is_like(standing, wanted):
            continue
        if standing is not None and not _is_ours(standing):
            # A table of an earlier release; its files stay where they are.
            yield Call("delete", names.readers, name)
            standing = None
        if standing is None or (is_sheltered and found.live not in columns):
            yield Call("create", names.readers, name, wanted)
        else:
            version = None if is_sheltered else standing["VersionId"]
            yield Call("update", names.readers, name, wanted, version)


def _switch(names: Names, found: Catalogue, side: str, published_at: str, run_id: str) -> Call:
    told = re.sub(r"[^\w.:+-]", "", run_id)
    at = published_at[:19].replace("T", " ")
    columns = {
        "side": "varchar(1)",
        "published_at": "timestamp(3)",
        "run_id": f"varchar({len(told)})",
    }
    sql = f"select '{side}' as side, timestamp '{at}.000' as published_at, '{told}' as run_id"
    marks = _MARKS | {"published_at": published_at}
    wanted = view(names.readers, SWITCH, sql, columns, marks)
    standing = found.readers.get(SWITCH)
    if standing is None:
        return Call("create", names.readers, SWITCH, wanted)
    return Call("update", names.readers, SWITCH, wanted, standing["VersionId"])


def _is_like(standing: Mapping[str, Any], wanted: Definition) -> bool:
    """Tell whether a view is the wanted one, whatever Glue has added to its definition."""
    return (
        _is_ours(standing)
        and sql_of(standing) == sql_of(wanted)
        and columns_of(standing) == columns_of(wanted)
    )


def _is_ours(table: Mapping[str, Any]) -> bool:
    """Tell whether a publication made it: what others keep in the readers' schema is theirs."""
    return (table.get("Parameters") or {}).get("daylight") == _MARKS["daylight"]
