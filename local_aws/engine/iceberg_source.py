"""Reading Iceberg tables: the data files of a snapshot, columns matched by field id."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from local_aws.engine.constants import at_utc
from local_aws.engine.errors import QueryError, mismatch, refuse
from local_aws.engine.hive_source import by_file
from local_aws.engine.predicates import alike, may_hold
from local_aws.engine.tables import Reader, Source, empty
from local_aws.engine.types import TIMESTAMPTZ3, VARCHAR, quote_text
from local_aws.glue import Json
from local_aws.objects import ObjectInfo
from local_aws.store import Store

if TYPE_CHECKING:
    from local_aws.engine import tree
    from local_aws.engine.compiler import Compiler
    from local_aws.engine.pushdown import Scan, Scans


class IcebergSource(Source):
    """The current snapshot, or a former one."""

    prunable = True

    def __init__(self, store: Store, table: Json, snapshot_id: int | None = None) -> None:
        from local_aws.engine.iceberg_types import to_trino
        from local_aws.iceberg import metadata_of

        self.store = store
        self.table = table
        self.metadata = metadata_of(store, table)
        self.snapshot_id = snapshot_id
        self.schema = self.metadata.schema()
        if snapshot_id is not None:
            snapshot = self.metadata.snapshot_by_id(snapshot_id)
            if snapshot is not None and snapshot.schema_id is not None:
                self.schema = self.metadata.schema_by_id(snapshot.schema_id) or self.schema
        self.columns = [(f.name.lower(), to_trino(f.field_type)) for f in self.schema.fields]
        self.hidden = (("$path", VARCHAR), ("$file_modified_time", TIMESTAMPTZ3))

    def files(self) -> list[Any]:
        """The data files."""
        from local_aws.iceberg import data_files

        return data_files(self.store, self.metadata, self.snapshot_id)

    def deletes(self) -> list[Any]:
        """The delete files."""
        from local_aws.iceberg import position_deletes

        return position_deletes(self.store, self.metadata, self.snapshot_id)

    def scan(
        self, used: set[int], constraints: list[str], alias: str, reader: Reader,
        scans: Scans,
    ) -> str:  # fmt: skip
        """One SELECT over the data files that can matter."""
        files, wanted = self.files(), set()
        for scan in scans:
            found = self.matching(files, scan)
            self.account(found, scan.read(used), reader)
            wanted |= {file.file_path for file in found}
        if not wanted:
            return empty(self.readable, used)
        for delete in self.deletes():
            reader.scanned(delete.file_size_in_bytes)
        return self.select([file for file in files if file.file_path in wanted], used)

    def matching(self, files: list[Any], scan: Scan) -> list[Any]:
        """The files that may hold a row which the filters take."""
        if not scan.filters:
            return files
        from local_aws.engine.iceberg_bounds import FileBounds

        bounds = FileBounds(self.metadata, self.schema)
        return [
            file for file in files
            if all(may_hold(item, partial(bounds.of, file)) for item in scan.filters)
        ]  # fmt: skip

    def holding(self, files: list[Any], number: int, ranges: list[tuple[Any, Any]]) -> list[Any]:
        """The files in which a column may have a value of one of the ranges."""
        from local_aws.engine.iceberg_bounds import FileBounds

        found = FileBounds(self.metadata, self.schema)
        kept: list[Any] = []
        for file in files if ranges else ():
            bounds = found.of(file, number)
            if bounds is None or any(
                not alike(bounds, *ends) or bounds.can_hold(*ends) for ends in ranges
            ):
                kept.append(file)
        return kept

    def account(self, files: Iterable[Any], used: set[int], reader: Reader) -> None:
        """Count the bytes of the used columns."""
        from local_aws.engine.iceberg_types import leaves

        numbers = [
            n for i in used if i < len(self.columns)
            for n in leaves(self.schema.fields[i].field_type, self.schema.fields[i].field_id)
        ]  # fmt: skip
        for file in files:
            sizes = file.column_sizes or {}
            reader.scanned(
                sum(sizes.get(n, 0) for n in numbers) if sizes else file.file_size_in_bytes
            )

    def select(self, files: Iterable[Any], used: set[int], extra: str = "") -> str:
        """A SELECT of these files; ``extra`` are further items, e.g. the row's number."""
        from local_aws.engine.iceberg_types import from_file, read_type

        paths, infos = [], []
        for file in files:
            if str(file.file_format).rsplit(".", 1)[-1].upper() != "PARQUET":
                refuse("Iceberg data files other than Parquet are not supported here")
            infos.append(self._info(file))
            paths.append(quote_text(str(infos[-1].path)))
        wanted = sorted(used | {0} if max(used, default=-1) >= len(self.columns) else used) or [0]
        entries, items = [], []
        for i in wanted:
            if i >= len(self.columns):
                name, kind = self.readable[i]
                values = [
                    quote_text(info.uri) if name == "$path" else at_utc(info.last_modified)
                    for info in infos
                ]
                items.append(f"{by_file(values, kind)} AS c{i}")
                continue
            kind = self.columns[i][1]
            entries.append(
                f"{self.schema.fields[i].field_id}: {{name: 'f{i}', "
                f"type: {quote_text(read_type(kind))}, default_value: NULL}}"
            )
            items.append(f"{from_file(f'f{i}', kind)} AS c{i}")
        items += [extra] if extra else []
        deletes = [quote_text(str(self._info(file).path)) for file in self.deletes()]
        options = "hive_partitioning=false"
        if extra or deletes:
            options += ", file_row_number=true"
        sql = (
            f"SELECT {', '.join(items)} FROM read_parquet([{', '.join(paths)}], "
            f"schema=MAP {{{', '.join(entries)}}}, {options})"
        )
        if not deletes:
            return sql
        own = by_file([quote_text(info.uri) for info in infos], VARCHAR)
        return (
            f"{sql} ANTI JOIN (SELECT file_path AS p_, pos AS n_ FROM "
            f"read_parquet([{', '.join(deletes)}])) AS d_ "
            f"ON {own} = d_.p_ AND file_row_number = d_.n_"
        )

    def _info(self, file: Any) -> ObjectInfo:
        info = self.store.get(*Store.parse_uri(file.file_path))
        if info is None:
            raise QueryError("ICEBERG_CANNOT_OPEN_SPLIT", f"File not found: {file.file_path}")
        return info

    def at_version(self, kind: str, version: tree.Expr, compiler: Compiler) -> Source:
        """FOR VERSION AS OF a snapshot id, FOR TIMESTAMP AS OF a time that is constant."""
        from local_aws.engine.scope import Scope

        value = compiler.expr(version, Scope([]))
        if value.type.name == "unknown":
            raise QueryError("INVALID_ARGUMENTS", "Pointer value cannot be NULL", version.at)
        if kind == "version":
            if not isinstance(value.literal, int):
                refuse("FOR VERSION AS OF needs a snapshot id here", version.at)
            wanted = value.literal
            if self.metadata.snapshot_by_id(wanted) is None:
                raise QueryError(
                    "INVALID_ARGUMENTS",
                    f"Iceberg snapshot ID does not exists: {wanted}",
                    version.at,
                )
            return IcebergSource(self.store, self.table, wanted)
        if value.type.name not in ("timestamptz", "timestamp", "date"):
            mismatch(
                f"Type {value.type} invalid. Temporal pointer for timestamp must be a timestamp",
                version.at,
            )
        instant = value.sql if value.type.name != "timestamptz" else f"({value.sql}).i"
        ((moment,),) = compiler.evaluate(f"SELECT epoch_ms(CAST({instant} AS TIMESTAMP))")
        if moment is None:
            raise QueryError("INVALID_ARGUMENTS", "Pointer value cannot be NULL", version.at)
        before = [e for e in self.metadata.snapshot_log if e.timestamp_ms <= moment]
        if not before:
            raise QueryError(
                "INVALID_ARGUMENTS",
                "No version history table "
                f"{self.table['DatabaseName']}.{self.table['Name']} at or before "
                f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
                version.at,
            )
        return IcebergSource(self.store, self.table, before[-1].snapshot_id)
