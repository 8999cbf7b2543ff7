"""Iceberg tables: CTAS, CREATE, INSERT, ALTER, OPTIMIZE, VACUUM, DROP."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from pyiceberg.exceptions import CommitFailedException, ValidationError, ValidationException
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.types import IcebergType

from local_aws.engine import statements as st
from local_aws.engine import tree
from local_aws.engine.compile_query import QueryCompiler
from local_aws.engine.compiler import Rel
from local_aws.engine.constants import constant_sql
from local_aws.engine.duck import Run
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.formats import check_known, codec
from local_aws.engine.hive_tables import HiveTables
from local_aws.engine.iceberg_bounds import FileBounds
from local_aws.engine.iceberg_commit import replace
from local_aws.engine.iceberg_source import IcebergSource
from local_aws.engine.iceberg_types import schema_of, to_iceberg, to_trino
from local_aws.engine.iceberg_write import partition_spec, placed_files, write_files
from local_aws.engine.partitions import location_of
from local_aws.engine.scope import Field, Scope
from local_aws.engine.types import Type, parse_type
from local_aws.engine.writing import check_columns
from local_aws.glue import Catalog, Json
from local_aws.iceberg import StoreFileIO, TableCatalog, conflict, load
from local_aws.store import Store

_MAINTENANCE = ("vacuum", "optimize")
TABLE_PROPERTIES = frozenset(
    {"table_type", "format", "write_compression", "optimize_rewrite_delete_file_threshold",
     "optimize_rewrite_data_file_threshold", "optimize_rewrite_min_data_file_size_bytes",
     "optimize_rewrite_max_data_file_size_bytes", "vacuum_min_snapshots_to_keep",
     "vacuum_max_snapshot_age_seconds", "vacuum_max_metadata_files_to_keep",
     "write_target_data_file_size_bytes", "format_version"}
)  # fmt: skip
"""What TBLPROPERTIES may say of an Iceberg table."""

_KNOWN = TABLE_PROPERTIES | {"is_external", "location", "partitioning"}


class IcebergTables:
    """Changes Iceberg tables for one query."""

    def __init__(self, store: Store, catalog: Catalog, run: Run, now: datetime) -> None:
        self.store = store
        self.catalog = catalog
        self.run = run
        self.now = now

    # ------------------------------------------------------------------ new tables

    def create_as(
        self, node: st.CreateTableAs, name: tuple[str, str], rel: Rel, sql: str,
        properties: dict[str, Any],
    ) -> int:  # fmt: skip
        """CREATE TABLE AS; the number of rows."""
        check_known(properties, _KNOWN, node.at)
        if properties.get("is_external", False) is not False:
            raise QueryError(
                "INVALID_TABLE_PROPERTY", "is_external must be false for an Iceberg table", node.at
            )
        if str(properties.get("format", "parquet")).lower() != "parquet":
            refuse("Iceberg tables in other than Parquet are not supported here", node.at)
        columns = check_columns(rel.columns, node.columns)
        metadata = self._new(
            columns, properties.get("location"), list(properties.get("partitioning") or []),
            _kept(properties), {},
        )  # fmt: skip
        bucket, prefix = location_of(metadata.location)
        if self.store.list(bucket, prefix, limit=1):
            raise QueryError(
                "ICEBERG_FILESYSTEM_ERROR",
                f"Cannot create a table on a non-empty location: {metadata.location}, set "
                "'iceberg.unique-table-location=true' in your Iceberg catalog properties "
                "to use unique table locations for every table.",
            )
        files = write_files(self.run, self.store, sql, metadata) if node.with_data else []
        self._append_new(name, metadata, files)
        return sum(file.rows for file in files)

    def create(self, node: st.CreateTable, name: tuple[str, str]) -> None:
        """CREATE TABLE with columns."""
        if self.catalog.get_table(*name) is not None:
            if node.if_not_exists:
                return
            raise QueryError("TABLE_ALREADY_EXISTS", f"Table already exists: {'.'.join(name)}")
        columns = []
        for column in node.columns:
            kind = parse_type(column.type, hive=True)
            columns.append((column.name, _stored(kind)))
        _check_properties(node.properties)
        if node.properties.get("format", "parquet").lower() != "parquet":
            refuse("Iceberg tables in other than Parquet are not supported here")
        metadata = self._new(
            columns, node.location, node.partition_transforms, _kept(node.properties),
            {column.name: column.comment for column in node.columns if column.comment},
        )  # fmt: skip
        self._append_new(name, metadata, [])

    def _new(
        self, columns: list[tuple[str, Type]], location: Any, partitioning: list[str],
        properties: dict[str, str], comments: dict[str, str],
    ) -> TableMetadata:  # fmt: skip
        if not location:
            raise QueryError("INVALID_TABLE_PROPERTY", "Table location must be specified")
        schema = schema_of(columns, comments)
        return new_table_metadata(
            schema, partition_spec(schema, [str(p) for p in partitioning]), UNSORTED_SORT_ORDER,
            str(location).rstrip("/"), dict(properties),
        )  # fmt: skip

    def _append_new(self, name: tuple[str, str], metadata: TableMetadata, files: list[Any]) -> None:
        catalog = TableCatalog(self.store, self.catalog, *name, glue=None, strict=True)
        table = Table(name, metadata, "", catalog.io, catalog)
        if not files:
            catalog.commit_table(table, (), ())
            return
        with (
            placed_files(self.store, metadata, files, self.now) as placed,
            table.transaction() as change,
            change.update_snapshot().fast_append() as append,
        ):
            for file in placed:
                append.append_data_file(file)

    # ------------------------------------------------------------------ INSERT

    def insert(
        self, node: st.Insert, glue: Json, hive: HiveTables, compiler: QueryCompiler, rel: Rel,
        sql: str,
    ) -> int:  # fmt: skip
        """INSERT INTO; the number of rows. Two inserts at once both succeed."""
        table = load(self.store, self.catalog, glue)
        columns = [(f.name.lower(), to_trino(f.field_type)) for f in table.schema().fields]
        select = hive.aligned(node, columns, compiler, rel, sql)
        files = write_files(self.run, self.store, select, table.metadata)
        if files:
            with placed_files(self.store, table.metadata, files, self.now) as placed:
                self.append(glue, placed)
        return sum(file.rows for file in files)

    def append(self, glue: Json, placed: list[Any]) -> None:
        """Commit new files; the commit is tried again on what others committed meanwhile."""
        database, name = glue["DatabaseName"], glue["Name"]
        for _ in range(20):
            current = self.catalog.get_table(database, name)
            if current is None:
                raise QueryError("TABLE_NOT_FOUND", f"Table '{database}.{name}' does not exist")
            table = load(self.store, self.catalog, current)
            try:
                with (
                    table.transaction() as change,
                    change.update_snapshot().fast_append() as append,
                ):
                    for file in placed:
                        append.append_data_file(file)
            except (CommitFailedException, ValidationException):
                continue
            return
        raise conflict(database, name)

    # ------------------------------------------------------------------ ALTER

    def alter(self, node: st.AlterTable, glue: Json) -> None:
        """ALTER TABLE: columns and properties."""
        table = load(self.store, self.catalog, glue, strict=True)
        action = getattr(self, f"_{node.action}", None)
        if action is None:
            refuse(f"{node.subkind.replace('_', ' ')} is not supported for Iceberg tables here")
        try:
            action(node, table, glue)
        except CommitFailedException:
            raise conflict(glue["DatabaseName"], glue["Name"]) from None
        except (ValidationError, ValueError) as error:
            raise QueryError("NOT_SUPPORTED", str(error).split("\n", 1)[0]) from None

    def _set_properties(self, node: st.AlterTable, table: Table, glue: Json) -> None:
        _check_properties(node.properties)
        self._update_parameters(glue, {**(glue.get("Parameters") or {}), **node.properties})

    def _unset_properties(self, node: st.AlterTable, table: Table, glue: Json) -> None:
        _check_properties(node.keys)
        parameters = dict(glue.get("Parameters") or {})
        gone = [key for key in node.keys if key in table.metadata.properties]
        if gone:
            with table.transaction() as change:
                change.remove_properties(*gone)
            glue = self.catalog.require_table(glue["DatabaseName"], glue["Name"])
            parameters = dict(glue["Parameters"])
        for key in node.keys:
            parameters.pop(key, None)
        self._update_parameters(glue, parameters)

    def _update_parameters(self, glue: Json, parameters: Json) -> None:
        from local_aws.engine.ddl import as_input

        self.catalog.update_table(
            glue["DatabaseName"], as_input(glue, Parameters=parameters),
            version_id=glue["VersionId"],
        )  # fmt: skip

    def _add_columns(self, node: st.AlterTable, table: Table, glue: Json) -> None:
        have = {f.name.lower() for f in table.schema().fields}
        with table.update_schema() as update:
            for column in node.columns:
                if column.name in have:
                    raise QueryError(
                        "COLUMN_ALREADY_EXISTS", f"Column '{column.name}' already exists"
                    )
                update.add_column(column.name, _iceberg(column.type), column.comment)

    def _drop_column(self, node: st.AlterTable, table: Table, glue: Json) -> None:
        (name,) = node.name
        if name not in {f.name.lower() for f in table.schema().fields}:
            raise QueryError("COLUMN_NOT_FOUND", f"Column '{name}' does not exist")
        if name in {source for _, _, source in partition_fields(table.metadata)}:
            raise QueryError("NOT_SUPPORTED", f"Cannot drop partition field: {name}")
        with table.update_schema(allow_incompatible_changes=True) as update:
            update.delete_column(name)

    def _replace_columns(self, node: st.AlterTable, table: Table, glue: Json) -> None:
        refuse("REPLACE COLUMNS is not supported for Iceberg tables: add, drop or change columns")

    def _change_column(self, node: st.AlterTable, table: Table, glue: Json) -> None:
        (name,), (column,) = node.name, node.columns
        with table.update_schema(allow_incompatible_changes=False) as update:
            kind = _iceberg(column.type)
            if table.schema().find_type(name) != kind:
                update.update_column(name, field_type=kind)
            if column.name != name:
                update.rename_column(name, column.name)

    # ------------------------------------------------------------------ OPTIMIZE, VACUUM

    def maintain(self, node: st.Maintain, glue: Json, compiler: QueryCompiler) -> None:
        """OPTIMIZE rewrites small files into one; VACUUM forgets old snapshots and their files."""
        if node.subkind == "OPTIMIZE":
            self._optimize(glue, node.where, compiler)
        else:
            self._vacuum(glue)

    def _optimize(self, glue: Json, where: tree.Expr | None, compiler: QueryCompiler) -> None:
        source = IcebergSource(self.store, glue)
        files = source.files()
        if where is not None:
            files = self._of_partitions(source, files, where, compiler)
        deletes = source.deletes()
        if not files or (len(files) < 2 and not deletes):
            return
        select = source.select(files, set(range(len(source.columns))))
        new = write_files(self.run, self.store, select, source.metadata)
        if len(new) >= len(files) and not deletes:
            for file in new:
                file.path.unlink(missing_ok=True)
            return
        with placed_files(self.store, source.metadata, new, self.now) as placed:
            replace(self.store, self.catalog, glue, files, placed, holds_same_rows=True)

    def _of_partitions(
        self, source: IcebergSource, files: list[Any], where: tree.Expr, compiler: QueryCompiler
    ) -> list[Any]:
        """The files of the partitions that meet a condition, which may be about nothing else."""
        table = source.table
        used: set[int] = set()
        qualifier = ("awsdatacatalog", table["DatabaseName"], table["Name"])
        fields = [
            Field(name, kind, f"r0.c{i}", qualifier, partial(used.add, i))
            for i, (name, kind) in enumerate(source.columns)
        ]
        condition = compiler.condition(where, Scope(fields), "WHERE clause")
        bounds = FileBounds(source.metadata, source.schema)
        found = []
        for file in files:
            cells = []
            for i in sorted(used):
                value = bounds.partition_value(file, i)
                if value is None or "SELECT" in condition:
                    raise QueryError(
                        "NOT_SUPPORTED",
                        "Unexpected FilterNode found in plan; probably connector was not able to "
                        "handle provided WHERE expression", where.at,
                    )  # fmt: skip
                cells.append(f"{constant_sql(value[0], source.columns[i][1])} AS c{i}")
            row = f"(SELECT {', '.join(cells) or '1 AS x'}) AS r0"
            if self.run.evaluate(f"SELECT 1 FROM {row} WHERE {condition}"):
                found.append(file)
        return found

    def _vacuum(self, glue: Json) -> None:
        table = load(self.store, self.catalog, glue, strict=True)
        metadata = table.metadata
        parameters = {**metadata.properties, **(glue.get("Parameters") or {})}
        age = int(parameters.get("vacuum_max_snapshot_age_seconds", 432_000))
        keep = int(parameters.get("vacuum_min_snapshots_to_keep", 1))
        limit = (time.time() - age) * 1000
        ordered = sorted(metadata.snapshots, key=lambda s: s.timestamp_ms, reverse=True)
        current = metadata.current_snapshot_id
        old = [
            s.snapshot_id for s in ordered[keep:]
            if s.timestamp_ms < limit and s.snapshot_id != current
        ]  # fmt: skip
        if not old:
            return
        files_io = StoreFileIO(self.store)

        def reachable(meta: TableMetadata) -> set[str]:
            found: set[str] = set()
            for snapshot in meta.snapshots:
                found.add(snapshot.manifest_list)
                for manifest in snapshot.manifests(files_io):
                    found.add(manifest.manifest_path)
                    found |= {
                        e.data_file.file_path
                        for e in manifest.fetch_manifest_entry(files_io, discard_deleted=True)
                    }
            return found

        before = reachable(metadata)
        expiry = table.maintenance.expire_snapshots()
        for snapshot_id in old:
            expiry.by_id(snapshot_id)
        expiry.commit()
        for uri in before - reachable(table.metadata):
            self.store.delete(*Store.parse_uri(uri))


def delete_files(store: Store, glue: Json) -> None:
    """What DROP TABLE does to an Iceberg table: its files go."""
    location = (glue.get("StorageDescriptor") or {}).get("Location")
    if not location:
        return
    bucket, prefix = location_of(location)
    with store.write():
        for info in store.list(bucket, prefix):
            store.delete(bucket, info.key)


def partition_fields(metadata: TableMetadata) -> list[tuple[str, str, str]]:
    """Name, transform and column of each field of the partitioning."""
    schema = metadata.schema()
    return [
        (field.name, str(field.transform), schema.find_column_name(field.source_id) or "")
        for field in metadata.spec().fields
    ]


def _check_properties(keys: Iterable[str]) -> None:
    for key in keys:
        if key not in TABLE_PROPERTIES:
            raise QueryError("GENERIC_USER_ERROR", f"Unsupported table property key: {key}")


def _kept(properties: dict[str, Any]) -> dict[str, str]:
    """What the table's metadata says of how it is written and looked after."""
    return {
        "write.parquet.compression-codec": codec(properties, "parquet", "zstd"),
        **{k: str(v) for k, v in properties.items() if k.split("_")[0] in _MAINTENANCE},
    }


def _stored(kind: Type) -> Type:
    """DDL's types as Iceberg stores them: every timestamp has six digits."""
    if kind.name in ("timestamp", "timestamptz"):
        return Type(kind.name, (6,))
    if kind.of:
        return Type(kind.name, (), tuple(_stored(t) for t in kind.of), kind.fields)
    return kind


def _iceberg(text: str) -> IcebergType:
    from itertools import count

    return to_iceberg(_stored(parse_type(text, hive=True)), count(1_000_000))
