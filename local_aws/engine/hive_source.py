"""External tables: the files of the wanted partitions, read as the catalogue declares them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from local_aws.engine.constants import at_utc
from local_aws.engine.errors import QueryError
from local_aws.engine.footers import footer
from local_aws.engine.formats import storage_format
from local_aws.engine.partitions import (
    DEFAULT_PARTITION,
    Partition,
    find_partitions,
    injected_columns,
    partition_path,
)
from local_aws.engine.predicates import Bounds, may_hold
from local_aws.engine.tables import Reader, Rows, Source, empty, glue_columns
from local_aws.engine.text_files import compression, read_json, read_text
from local_aws.engine.types import BIGINT, TIMESTAMPTZ3, VARCHAR, Type, quote, quote_text
from local_aws.glue import Catalog, Json
from local_aws.store import ObjectInfo, Store

if TYPE_CHECKING:
    from local_aws.engine.pushdown import Scan, Scans


_BETWEEN = "\x1e\x1f"
"""Stands between the values of partitions; control characters are no part of one."""

HIDDEN = (
    ("$path", VARCHAR), ("$file_size", BIGINT), ("$file_modified_time", TIMESTAMPTZ3),
    ("$partition", VARCHAR),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class File:
    """One file and the values of its partition."""

    info: ObjectInfo
    values: tuple[str, ...]
    read: Path | None = None
    """Where to read it from, if not from the object itself."""

    @property
    def path(self) -> Path:
        """What is read."""
        return self.read or self.info.path


class HiveSource(Source):
    """A table of files in Parquet, JSON or delimited text."""

    prunable = True

    def __init__(self, store: Store, catalog: Catalog, table: Json) -> None:
        self.store = store
        self.catalog = catalog
        self.table = table
        self.columns, self.plain = glue_columns(table)
        self.partitions = frozenset(range(self.plain, len(self.columns)))
        self.format = storage_format(table)
        self.hidden = HIDDEN if self.partitions else HIDDEN[:-1]

    def scan(
        self, used: set[int], constraints: list[str], alias: str, reader: Reader,
        scans: Scans,
    ) -> str:  # fmt: skip
        """One SELECT over all files that can matter."""
        self._check_injected(constraints, alias)
        partitions = find_partitions(self.store, self.catalog, self.table) if scans else []
        chosen = self._matching(partitions, constraints, scans, alias, reader)
        listed = {
            number: self._files(partitions[number]) for number in sorted(set().union(*chosen))
        }
        files = [file for found in listed.values() for file in found]
        hidden = any(i >= len(self.columns) for i in used)
        wanted: set[str] = set()
        for scan, numbers in zip(scans, chosen, strict=True):
            found = [f for n in numbers for f in listed[n]]
            if hidden:
                found = [f for f in found if self._can_hold(f, scan)]
                wanted |= {file.info.uri for file in found}
            self._account(found, scan.read(used), reader)
        if hidden:
            files = [file for file in files if file.info.uri in wanted]
        if not files:
            return empty(self.readable, used)
        if self.format == "orc":
            files = [as_parquet(file, self.store, reader) for file in files]
        if self.format in ("parquet", "orc"):
            return self._scan_parquet(files, used)
        return self._scan_lines(files, used, reader)

    # ------------------------------------------------------------------ files

    def _files(self, partition: Partition) -> list[File]:
        return [
            File(info, partition.values)
            for prefix, info in partition.find()
            if info.size and is_data(info.key[len(prefix) :])
        ]

    def _can_hold(self, file: File, scan: Scan) -> bool:
        """Whether what is asked of the hidden columns is true of a file."""

        def find(number: int, field: str) -> Bounds | None:
            known = {"$path": file.info.uri, "$file_size": file.info.size}
            value = known.get(self.readable[number][0])
            return None if value is None else Bounds(value, value, no_null=True)

        return all(may_hold(item, find) for item in scan.filters)

    def _account(self, files: list[File], columns: set[int], reader: Reader) -> None:
        """Count the bytes of these columns; of ORC and lines of text, of all."""
        wanted = [self.columns[i][0] for i in sorted(columns) if i < self.plain]
        for file in files:
            if self.format == "parquet":
                reader.scanned(footer(file.info.path).size_of(wanted))
            elif wanted or self.format != "orc":
                reader.scanned(file.info.size)

    def _check_injected(self, constraints: list[str], alias: str) -> None:
        for name in injected_columns(self.table):
            mark = f"({alias}.c{[n for n, _ in self.columns].index(name)} "
            if not any(f"{mark}= " in c or f"{mark}IN " in c for c in constraints):
                raise QueryError(
                    "CONSTRAINT_VIOLATION",
                    f"For the injected projected partition column {name}, the WHERE clause must "
                    "contain only static equality conditions, and at least one such condition must "
                    "be present.",
                )

    def _matching(
        self, partitions: list[Partition], constraints: list[str], scans: Scans, alias: str,
        reader: Reader,
    ) -> list[set[int]]:  # fmt: skip
        """For each scan the partitions that meet what stands in the SELECT itself, and what the
        plan says of the scan."""
        everything = set(range(len(partitions)))
        implied = [scan.partition_filter for scan in scans]
        if not partitions or not self.partitions or not (constraints or any(implied)):
            return [everything for _ in scans]
        lists = []
        for n, (_, kind) in enumerate(self.columns[self.plain :]):
            # One constant for all: a thousand of them take DuckDB longer than the query.
            cells = quote_text(_BETWEEN.join(p.values[n] for p in partitions))
            value = f"nullif(unnest(string_split({cells}, '{_BETWEEN}')), '{DEFAULT_PARTITION}')"
            lists.append(f"CAST({value} AS {kind.duck}) AS c{self.plain + n}")
        numbered = f"SELECT unnest(range({len(partitions)})) AS i, {', '.join(lists)}"
        where = f" WHERE {' AND '.join(constraints)}" if constraints else ""
        items = ", ".join(f"({sql or 'true'}) IS TRUE" for sql in implied)
        try:
            rows = reader.evaluate(f"SELECT i, {items} FROM ({numbered}) AS {alias}{where}")
        except QueryError:
            # A value that a filter cannot take may be one that other filters exclude.
            if not constraints:
                return [everything for _ in scans]
            rows = reader.evaluate(f"SELECT i FROM ({numbered}) AS {alias}{where}")
            return [{row[0] for row in rows} for _ in scans]
        return [{row[0] for row in rows if row[n]} for n in range(1, len(scans) + 1)]

    # ------------------------------------------------------------------ Parquet

    def _scan_parquet(self, files: list[File], used: set[int]) -> str:
        if not used:  # rows are only counted, and the footers tell how many there are
            return f"SELECT 1 AS x FROM range({sum(footer(file.path).rows for file in files)})"
        hidden = any(i >= len(self.columns) for i in used)
        groups: dict[tuple[object, ...], list[File]] = {}
        for file in files:
            hive = not hidden and self._folders_tell(file)
            key = (footer(file.path).signature, hive, hive or hidden or file.values)
            groups.setdefault(key, []).append(file)
        return " UNION ALL ".join(
            self._select_parquet(members, used, hive=bool(key[1]), hidden=hidden)
            for key, members in groups.items()
        )

    def _folders_tell(self, file: File) -> bool:
        """Whether the path says the partition as ``key=value``: then DuckDB prunes by itself."""
        if not self.partitions:
            return False
        path = str(file.path)
        names = [name for name, _ in self.columns[self.plain :]]
        return all(
            f"/{name}={value}/" in path and value.replace("-", "").isalnum()
            for name, value in zip(names, file.values, strict=True)
        ) and path.count("=") == len(names) + file.path.name.count("=")

    def _select_parquet(
        self, files: list[File], used: set[int], *, hive: bool, hidden: bool
    ) -> str:
        foot = footer(files[0].path)
        sources = {}
        for i in sorted(used):
            name, kind = self.readable[i]
            if i >= self.plain:
                if hive:
                    sources[i] = f"CAST({quote(name)} AS {kind.duck})"
                elif hidden:
                    sources[i] = by_file([self._constant(file, i) for file in files], kind)
                continue
            sources[i] = foot.read_as(name, kind)
        listed = ", ".join(quote_text(str(f.path)) for f in files)
        options = "hive_partitioning=false"
        if hive:
            kinds = ", ".join(f"{quote(n)}: VARCHAR" for n, _ in self.columns[self.plain :])
            options = f"hive_partitioning=true, hive_types={{{kinds}}}"
        items = self._items(used, files[0], sources)
        return f"SELECT {items} FROM read_parquet([{listed}], {options})"

    def _items(self, used: set[int], file: File, sources: dict[int, str]) -> str:
        items = []
        for i in sorted(used):
            kind = self.readable[i][1]
            sql = sources.get(i) or f"CAST({self._constant(file, i)} AS {kind.duck})"
            items.append(f"{sql} AS c{i}")
        return ", ".join(items) or "1 AS x"

    def _constant(self, file: File, number: int) -> str:
        """A column that is the same in all of a file: of its partition, or hidden."""
        name, kind = self.readable[number]
        if number < len(self.columns):
            return partition_value(file.values[number - self.plain], kind)
        if name == "$file_size":
            return str(file.info.size)
        if name == "$file_modified_time":
            return at_utc(file.info.last_modified)
        if name == "$partition":
            names = [column for column, _ in self.columns[self.plain :]]
            return quote_text(partition_path(names, list(file.values)).rstrip("/"))
        return quote_text(file.info.uri)

    # ------------------------------------------------------------------ lines

    def _scan_lines(self, files: list[File], used: set[int], reader: Reader) -> str:
        hidden = any(i >= len(self.columns) for i in used)
        groups: dict[object, list[File]] = {}
        for file in files:
            alike = (file.values, compression(file.info))
            groups.setdefault(file.info.key if hidden else alike, []).append(file)
        plain, own = self.columns[: self.plain], sorted(i for i in used if i < self.plain)
        selects = []
        for members in groups.values():
            infos = [file.info for file in members]
            if self.format == "json":
                read = read_json(infos, plain, own, self.store, reader)
            else:
                read = read_text(infos, plain, own, self.table, csv=self.format == "csv")
            items = self._items(used, members[0], {i: f"c{i}" for i in own})
            selects.append(f"SELECT {items} FROM {read}")
        return " UNION ALL ".join(selects)


def as_parquet(file: File, store: Store, reader: Reader) -> File:
    """An ORC file as one in Parquet, for DuckDB, which knows no ORC."""
    from pyarrow import orc

    blob = reader.new_blob(store)
    try:
        whole = orc.ORCFile(str(file.info.path))
        with pq.ParquetWriter(blob, whole.schema, compression="none") as writer:
            for stripe in range(whole.nstripes):
                writer.write_batch(whole.read_stripe(stripe))
    except (pa.ArrowInvalid, OSError) as error:
        raise QueryError(
            "HIVE_CANNOT_OPEN_SPLIT", f"Error opening Hive split {file.info.uri}: {error}"
        ) from None
    return replace(file, read=blob)


def by_file(values: list[str], kind: Type) -> str:
    """One of the constants, by the number of the file that is read."""
    return f"CAST([{', '.join(values)}] AS {kind.duck}[])[CAST(file_index AS BIGINT) + 1]"


def is_data(rest: str) -> bool:
    """Hive skips files and folders whose name begins with ``_`` or ``.``."""
    return not any(part.startswith(("_", ".")) for part in rest.split("/"))


def partition_value(value: str, kind: Type) -> str:
    """A partition's text as SQL."""
    return "NULL" if value == DEFAULT_PARTITION else f"CAST({quote_text(value)} AS {kind.duck})"


def partitions_table(store: Store, catalog: Catalog, table: Json) -> Rows:
    """``"t$partitions"``: the values of each partition."""
    columns, plain = glue_columns(table)
    return Rows(
        columns[plain:],
        [
            tuple(None if value == DEFAULT_PARTITION else value for value in partition.values)
            for partition in find_partitions(store, catalog, table)
        ],
    )
