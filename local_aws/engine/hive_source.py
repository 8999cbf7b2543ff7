"""External tables: the files of the wanted partitions, read as the catalogue declares them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.footers import footer
from local_aws.engine.partitions import (
    DEFAULT_PARTITION,
    Partition,
    find_partitions,
    injected_columns,
)
from local_aws.engine.tables import Reader, Source, empty, glue_columns
from local_aws.engine.types import Type, quote, quote_text
from local_aws.glue import Catalog, Json
from local_aws.store import ObjectInfo, Store

if TYPE_CHECKING:
    from local_aws.engine.pushdown import Scans


SMALL_FILE = 1_000_000
MANY_FILES = 8
"""So many small files of lines are read as one."""


@dataclass(frozen=True, slots=True)
class File:
    """One file and the values of its partition."""

    info: ObjectInfo
    values: tuple[str, ...]


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
        for scan, numbers in zip(scans, chosen, strict=True):
            self._account([f for n in numbers for f in listed[n]], scan.read(used), reader)
        files = [file for found in listed.values() for file in found]
        if not files:
            return empty(self.columns, used)
        if self.format == "parquet":
            return self._scan_parquet(files, used)
        groups: dict[tuple[str, ...], list[File]] = {}
        for file in files:
            groups.setdefault(file.values, []).append(file)
        read = self._read_json if self.format == "json" else self._read_text
        named = {i: f"c{i}" for i in used if i < self.plain}
        return " UNION ALL ".join(
            f"SELECT {self._items(used, values, named)} FROM {read(members, used, reader)}"
            for values, members in groups.items()
        )

    # ------------------------------------------------------------------ files

    def _files(self, partition: Partition) -> list[File]:
        return [
            File(info, partition.values)
            for info in partition.files()
            if info.size and is_data(info.key[len(partition.prefix) :])
        ]

    def _account(self, files: list[File], columns: set[int], reader: Reader) -> None:
        """Count the bytes of these columns; of lines of text, of all."""
        wanted = [self.columns[i][0] for i in sorted(columns) if i < self.plain]
        for file in files:
            parquet = self.format == "parquet"
            reader.scanned(footer(file.info.path).size_of(wanted) if parquet else file.info.size)

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
            cells = ", ".join(partition_value(p.values[n], kind) for p in partitions)
            lists.append(f"unnest(CAST([{cells}] AS {kind.duck}[])) AS c{self.plain + n}")
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
        groups: dict[object, list[File]] = {}
        for file in files:
            foot = footer(file.info.path)
            hive = self._folders_tell(file)
            key = (foot.signature, None if hive else file.values)
            groups.setdefault(key, []).append(file)
        return " UNION ALL ".join(
            self._select_parquet(members, used, hive=key[1] is None)  # type: ignore[index]
            for key, members in groups.items()
        )

    def _folders_tell(self, file: File) -> bool:
        """Whether the path says the partition as ``key=value``: then DuckDB prunes by itself."""
        if not self.partitions:
            return False
        path = str(file.info.path)
        names = [name for name, _ in self.columns[self.plain :]]
        return all(
            f"/{name}={value}/" in path and value.replace("-", "").isalnum()
            for name, value in zip(names, file.values, strict=True)
        ) and path.count("=") == len(names) + file.info.path.name.count("=")

    def _select_parquet(self, files: list[File], used: set[int], *, hive: bool) -> str:
        foot = footer(files[0].info.path)
        sources = {}
        for i in sorted(used):
            name, kind = self.columns[i]
            if i >= self.plain:
                if hive:
                    sources[i] = f"CAST({quote(name)} AS {kind.duck})"
                continue
            sources[i] = foot.read_as(name, kind)
        listed = ", ".join(quote_text(str(f.info.path)) for f in files)
        options = "hive_partitioning=false"
        if hive:
            kinds = ", ".join(f"{quote(n)}: VARCHAR" for n, _ in self.columns[self.plain :])
            options = f"hive_partitioning=true, hive_types={{{kinds}}}"
        items = self._items(used, files[0].values, sources)
        return f"SELECT {items} FROM read_parquet([{listed}], {options})"

    def _items(self, used: set[int], values: tuple[str, ...], sources: dict[int, str]) -> str:
        items = []
        for i in sorted(used):
            if i in sources:
                items.append(f"{sources[i]} AS c{i}")
            else:
                kind = self.columns[i][1]
                value = partition_value(values[i - self.plain], kind)
                items.append(f"CAST({value} AS {kind.duck}) AS c{i}")
        return ", ".join(items) or "1 AS x"

    # ------------------------------------------------------------------ JSON and text

    def _read_json(self, files: list[File], used: set[int], reader: Reader) -> str:
        names = [(i, *self.columns[i]) for i in sorted(used) if i < self.plain]
        if not names:
            names = [(0, *self.columns[0])]
        spelled = _json_keys(files, [name for _, name, _ in names])
        columns = ", ".join(
            f"{quote_text(spelled.get(name, name))}: {quote_text(_json_type(kind))}"
            for _, name, kind in names
        )
        listed = ", ".join(quote_text(str(path)) for path in self._joined(files, reader))
        inner = ", ".join(
            f"{_from_json(quote(spelled.get(name, name)), kind)} AS c{i}" for i, name, kind in names
        )
        return (
            f"(SELECT {inner} FROM read_json([{listed}], format='newline_delimited', "
            f"hive_partitioning=false, columns={{{columns}}})) AS j_"
        )

    def _joined(self, files: list[File], reader: Reader) -> list[Path]:
        """The files, the small ones as one: DuckDB takes a millisecond to open each."""
        small = [file for file in files if file.info.size <= SMALL_FILE]
        if len(small) < MANY_FILES:
            return [file.info.path for file in files]
        joined = reader.new_blob(self.store)
        with joined.open("wb") as whole:
            for file in small:
                data = file.info.path.read_bytes()
                whole.write(data if data.endswith(b"\n") else data + b"\n")
        return [joined, *(file.info.path for file in files if file.info.size > SMALL_FILE)]

    def _read_text(self, files: list[File], used: set[int], reader: Reader) -> str:
        options = self._text_options()
        columns = ", ".join(f"{quote_text(f'c{i}')}: 'VARCHAR'" for i in range(self.plain))
        listed = ", ".join(quote_text(str(f.info.path)) for f in files)
        read = (
            f"read_csv([{listed}], columns={{{columns}}}, {options}, header=false, "
            "auto_detect=false, null_padding=true, strict_mode=false, hive_partitioning=false)"
        )
        cast = "CAST" if self.format == "csv" else "TRY_CAST"
        items = []
        for i in sorted(used) or [0]:
            if i >= self.plain:
                continue
            kind = self.columns[i][1]
            if kind.of:
                refuse("Nested types in text files are not supported here")
            sql = f"c{i}"
            if kind.name != "varchar":
                sql = f"{cast}(nullif({sql}, '') AS {kind.duck})"
            items.append(f"{sql} AS c{i}")
        return f"(SELECT {', '.join(items)} FROM {read}) AS t_"

    def _text_options(self) -> str:
        parameters = self.table.get("Parameters") or {}
        serde = (self.table["StorageDescriptor"].get("SerdeInfo") or {}).get("Parameters") or {}
        skip = int(parameters.get("skip.header.line.count", 0))
        if self.format == "csv":
            delimiter = serde.get("separatorChar", ",")
            quoting = serde.get("quoteChar", '"')
            escape = serde.get("escapeChar", quoting)
            null = "\x01\x02"
        else:
            delimiter = serde.get("field.delim", serde.get("serialization.format", "\x01"))
            quoting, escape = "", serde.get("escape.delim", "")
            null = serde.get("serialization.null.format", "\\N")
        if len(delimiter) != 1:
            refuse(f"A delimiter of {len(delimiter)} characters is not supported here")
        escape = quoting if escape not in ("", '"', "'") and not quoting else escape
        return (
            f"delim={quote_text(delimiter)}, quote={quote_text(quoting)}, "
            f"escape={quote_text(escape)}, nullstr={quote_text(null)}, skip={skip}"
        )


def is_data(rest: str) -> bool:
    """Hive skips files and folders whose name begins with ``_`` or ``.``."""
    return not any(part.startswith(("_", ".")) for part in rest.split("/"))


def partition_value(value: str, kind: Type) -> str:
    """A partition's text as SQL."""
    return "NULL" if value == DEFAULT_PARTITION else f"CAST({quote_text(value)} AS {kind.duck})"


def _json_type(kind: Type) -> str:
    """Times come as text and are read by us; the rest DuckDB reads."""
    return "VARCHAR" if kind.name in ("timestamp", "varbinary") else kind.duck


def _from_json(sql: str, kind: Type) -> str:
    if kind.name == "timestamp":
        return f"CAST(replace(rtrim({sql}, 'Z'), 'T', ' ') AS TIMESTAMP)"
    if kind.name == "varbinary":
        return f"from_base64({sql})"
    return sql


def _json_keys(files: list[File], names: list[str]) -> dict[str, str]:
    """How the files spell the columns: JSON's keys are matched without regard to case."""
    spelled: dict[str, str] = {}
    for file in files:
        with file.info.path.open("rb") as lines:
            line = lines.readline()
        try:
            first = json.loads(line)
        except ValueError:
            raise QueryError(
                "HIVE_BAD_DATA",
                f"Error parsing JSON in {file.info.uri}: Row is not a valid JSON Object",
            ) from None
        for key in first if isinstance(first, dict) else ():
            lowered = key.lower()
            clash = key != lowered and spelled.setdefault(lowered, key) != key
            if lowered in names and clash:
                refuse(f"Files that spell the key {key} differently are not supported here")
    return spelled


def storage_format(table: Json) -> str:
    """parquet, json, csv or text, by the SerDe."""
    descriptor = table.get("StorageDescriptor") or {}
    serde = str((descriptor.get("SerdeInfo") or {}).get("SerializationLibrary", ""))
    found = {
        "ParquetHiveSerDe": "parquet", "JsonSerDe": "json", "OpenCSVSerde": "csv",
        "LazySimpleSerDe": "text",
    }.get(serde.rsplit(".", 1)[-1])  # fmt: skip
    if found is None:
        refuse(f"Table {table.get('Name')}: SerDe {serde or 'unknown'} is not supported here")
    return found
