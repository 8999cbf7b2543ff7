"""DDL on the catalogue: databases, external tables, ALTER, DROP, partitions."""

from __future__ import annotations

from typing import Any

from local_aws.engine import statements as st
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.formats import glue_format
from local_aws.engine.partitions import location_of
from local_aws.engine.tables import CATALOG, is_iceberg
from local_aws.glue import Catalog, GlueError, Json
from local_aws.store import Store

TABLE_INPUT = ("Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys",
               "ViewOriginalText", "ViewExpandedText", "TableType", "Parameters")  # fmt: skip


def as_input(table: Json, **changes: Any) -> Json:
    """A Table as TableInput, some fields changed."""
    return {**{k: table[k] for k in TABLE_INPUT if k in table}, **changes}


class Ddl:
    """Runs one DDL statement in a database."""

    def __init__(self, store: Store, catalog: Catalog, database: str) -> None:
        self.store = store
        self.catalog = catalog
        self.database = database

    def name(self, parts: list[str]) -> tuple[str, str]:
        """Database and table of a Hive name."""
        if len(parts) == 3 and parts[0] == CATALOG:
            parts = parts[1:]
        if len(parts) > 2:
            raise QueryError("FAILED: SemanticException", f"Invalid table name {'.'.join(parts)}")
        return (parts[0] if len(parts) == 2 else self.database), parts[-1]

    def table(self, parts: list[str]) -> Json:
        """The table, or Athena's error."""
        database, name = self.name(parts)
        table = self.catalog.get_table(database, name)
        if table is None:
            raise QueryError("FAILED: SemanticException", f"Table not found {database}.{name}")
        return table

    # ------------------------------------------------------------------ databases

    def create_database(self, node: st.CreateDatabase) -> None:
        """CREATE SCHEMA."""
        body: Json = {"Name": node.name, "Parameters": node.properties}
        if node.comment:
            body["Description"] = node.comment
        if node.location:
            body["LocationUri"] = node.location
        try:
            self.catalog.create_database(body)
        except GlueError as error:
            if error.code != "AlreadyExistsException":
                raise
            if not node.if_not_exists:
                raise QueryError(
                    "FAILED: Execution Error", f"Database {node.name} already exists"
                ) from None

    def alter_database(self, node: st.AlterDatabase) -> None:
        """ALTER DATABASE ... SET DBPROPERTIES."""
        database = self.catalog.get_database(node.name)
        if database is None:
            raise QueryError("FAILED: SemanticException", f"Database does not exist: {node.name}")
        kept = {k: database[k] for k in ("Description", "LocationUri") if k in database}
        parameters = {**(database.get("Parameters") or {}), **node.properties}
        self.catalog.update_database(node.name, {**kept, "Parameters": parameters})

    def drop(self, node: st.Drop) -> Json | None:
        """DROP; returns the Iceberg table whose files must go too."""
        if node.what == "database":
            self._drop_database(node)
            return None
        database, name = self.name(node.name)
        table = self.catalog.get_table(database, name)
        if table is None:
            if node.if_exists:
                return None
            what = "View" if node.what == "view" else "Table"
            raise QueryError(
                f"{what.upper()}_NOT_FOUND", f"{what} '{CATALOG}.{database}.{name}' does not exist"
            )
        is_view = table.get("TableType") == "VIRTUAL_VIEW"
        if is_view != (node.what == "view"):
            has = "a view" if is_view else "a table"
            raise QueryError("TYPE_MISMATCH", f"{database}.{name} is {has}: use DROP VIEW or TABLE")
        self.catalog.delete_table(database, name)
        return table if is_iceberg(table) else None

    def _drop_database(self, node: st.Drop) -> None:
        name = node.name[-1]
        if self.catalog.get_database(name) is None:
            if not node.if_exists:
                raise QueryError("SCHEMA_NOT_FOUND", f"Schema '{name}' does not exist")
            return
        if not node.cascade and self.catalog.tables(name):
            raise QueryError(
                "FAILED: Execution Error",
                f"Database {name} is not empty. One or more tables exist.",
            )
        self.catalog.delete_database(name)

    # ------------------------------------------------------------------ tables

    def create_table(self, node: st.CreateTable) -> None:
        """CREATE EXTERNAL TABLE."""
        database, name = self.name(node.table)
        if self.catalog.get_database(database) is None:
            raise QueryError("FAILED: SemanticException", f"Database does not exist: {database}")
        if self.catalog.get_table(database, name) is not None:
            if node.if_not_exists:
                return
            raise QueryError("FAILED: Execution Error", f"Table {database}.{name} already exists")
        if not node.columns:
            raise QueryError("FAILED: SemanticException", "A table needs columns")
        if node.location is None:
            raise QueryError("FAILED: SemanticException", "A table needs a LOCATION")
        names = [c.name for c in [*node.columns, *node.partition_columns]]
        if len(set(names)) != len(names):
            raise QueryError("FAILED: SemanticException", "Duplicate column name")
        if not node.external:
            raise QueryError(
                "NOT_SUPPORTED",
                "Only external tables can be created like this: use CREATE EXTERNAL TABLE, or "
                "TBLPROPERTIES ('table_type'='ICEBERG')",
            )
        missing = [b for b in node.bucketed_by if b not in [c.name for c in node.columns]]
        if missing:
            raise QueryError("FAILED: SemanticException", f"Invalid column reference {missing[0]}")
        if node.partition_transforms:
            raise QueryError("FAILED: SemanticException", "Partition columns need a type")
        self.catalog.create_table(database, self._input(name, node))

    def _input(self, name: str, node: st.CreateTable) -> Json:
        input_format, output_format, serde = glue_format(_format_of(node))
        serde = {**serde, "Parameters": {**node.delimited, **node.serde_properties}}
        if node.serde:
            serde["SerializationLibrary"] = node.serde
        if not node.serde and not node.stored_as and "field.delim" in node.delimited:
            serde["Parameters"]["serialization.format"] = node.delimited["field.delim"]
        parameters = {"EXTERNAL": "TRUE", **node.properties}
        if node.comment:
            parameters["comment"] = node.comment
        return {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Owner": "hadoop",
            "Parameters": parameters,
            "StorageDescriptor": {
                "Columns": [_column(c) for c in node.columns],
                "Location": str(node.location).rstrip("/"),
                "InputFormat": node.input_format or input_format,
                "OutputFormat": node.output_format or output_format,
                "Compressed": False,
                "NumberOfBuckets": node.bucket_count or -1,
                "SerdeInfo": serde,
                "BucketColumns": node.bucketed_by,
                "SortColumns": [],
                "Parameters": {},
                "StoredAsSubDirectories": False,
            },
            "PartitionKeys": [_column(c) for c in node.partition_columns],
        }

    def alter(self, node: st.AlterTable) -> None:
        """ALTER TABLE of a table of files."""
        table = self.table(node.table)
        getattr(self, f"_{node.action}")(node, table)

    def _update(self, table: Json, **changes: Any) -> None:
        self.catalog.update_table(
            table["DatabaseName"], as_input(table, **changes), version_id=table["VersionId"]
        )

    def _with_columns(self, table: Json, columns: list[Json]) -> None:
        self._update(table, StorageDescriptor={**table["StorageDescriptor"], "Columns": columns})

    def _add_columns(self, node: st.AlterTable, table: Json) -> None:
        have = table["StorageDescriptor"]["Columns"]
        names = {c["Name"] for c in [*have, *(table.get("PartitionKeys") or [])]}
        for column in node.columns:
            if column.name in names:
                raise QueryError("FAILED: Execution Error", f"Duplicate column name: {column.name}")
        self._with_columns(table, [*have, *(_column(c) for c in node.columns)])

    def _replace_columns(self, node: st.AlterTable, table: Json) -> None:
        self._with_columns(table, [_column(c) for c in node.columns])

    def _drop_column(self, node: st.AlterTable, table: Json) -> None:
        raise QueryError(
            "FAILED: ParseException", "DROP COLUMN is only supported for Iceberg tables"
        )

    def _change_column(self, node: st.AlterTable, table: Json) -> None:
        refuse("CHANGE COLUMN is only supported for Iceberg tables here")

    def _rename(self, node: st.AlterTable, table: Json) -> None:
        raise QueryError("NOT_SUPPORTED", "RENAME is only supported for Iceberg tables")

    def rename(self, node: st.AlterTable, table: Json) -> None:
        """RENAME TO, of an Iceberg table."""
        database, name = self.name(node.name)
        with self.store.write():
            if self.catalog.get_table(database, name) is not None:
                raise QueryError("FAILED: Execution Error", f"Table {database}.{name} exists")
            self.catalog.create_table(database, as_input(table, Name=name))
            self.catalog.delete_table(table["DatabaseName"], table["Name"])

    def _set_properties(self, node: st.AlterTable, table: Json) -> None:
        parameters = {**(table.get("Parameters") or {}), **node.properties}
        self._update(table, Parameters=parameters)

    def _unset_properties(self, node: st.AlterTable, table: Json) -> None:
        parameters = dict(table.get("Parameters") or {})
        for key in node.keys:
            if key not in parameters and not node.flag:
                raise QueryError(
                    "FAILED: SemanticException", f"Table property {key} does not exist"
                )
            parameters.pop(key, None)
        self._update(table, Parameters=parameters)

    def _set_location(self, node: st.AlterTable, table: Json) -> None:
        descriptor = {**table["StorageDescriptor"], "Location": str(node.location).rstrip("/")}
        self._update(table, StorageDescriptor=descriptor)

    # ------------------------------------------------------------------ partitions

    def _values(self, table: Json, spec: dict[str, str]) -> list[str]:
        keys = [k["Name"] for k in table.get("PartitionKeys") or []]
        if set(spec) != set(keys):
            raise QueryError(
                "FAILED: SemanticException",
                f"Partition spec {spec} does not name the partition columns {keys}",
            )
        return [spec[key] for key in keys]

    def _add_partitions(self, node: st.AlterTable, table: Json) -> None:
        database, name = table["DatabaseName"], table["Name"]
        keys = [k["Name"] for k in table.get("PartitionKeys") or []]
        with self.store.write():
            for spec, location in node.partitions:
                values = self._values(table, spec)
                if self.catalog.get_partition(database, name, values) is not None:
                    if node.flag:
                        continue
                    raise QueryError("FAILED: SemanticException", "Partition already exists")
                if location is None:
                    path = "/".join(f"{k}={v}" for k, v in zip(keys, values, strict=True))
                    location = f"{table['StorageDescriptor']['Location'].rstrip('/')}/{path}"
                self._create_partition(table, values, location)

    def _create_partition(self, table: Json, values: list[str], location: str) -> None:
        descriptor = {**table["StorageDescriptor"], "Location": location.rstrip("/")}
        self.catalog.create_partition(
            table["DatabaseName"], table["Name"],
            {"Values": values, "StorageDescriptor": descriptor, "Parameters": {}},
        )  # fmt: skip

    def _drop_partitions(self, node: st.AlterTable, table: Json) -> None:
        with self.store.write():
            for spec, _ in node.partitions:
                values = self._values(table, spec)
                place = (table["DatabaseName"], table["Name"], values)
                if self.catalog.get_partition(*place) is None:
                    if node.flag:
                        continue
                    raise QueryError("FAILED: SemanticException", f"Partition not found {spec}")
                self.catalog.delete_partition(*place)

    def _changed_partition(self, table: Json, spec: dict[str, str]) -> tuple[list[str], Json]:
        values = self._values(table, spec)
        found = self.catalog.get_partition(table["DatabaseName"], table["Name"], values)
        if found is None:
            raise QueryError("FAILED: SemanticException", f"Partition not found {spec}")
        keys = ("Values", "StorageDescriptor", "Parameters")
        return values, {k: found[k] for k in keys if k in found}

    def _move_partition(self, node: st.AlterTable, table: Json) -> None:
        ((spec, location),) = node.partitions
        values, found = self._changed_partition(table, spec)
        found["StorageDescriptor"] = {
            **found["StorageDescriptor"], "Location": str(location).rstrip("/"),
        }  # fmt: skip
        self.catalog.update_partition(table["DatabaseName"], table["Name"], values, found)

    def _rename_partition(self, node: st.AlterTable, table: Json) -> None:
        (old, _), (new, _) = node.partitions
        values, found = self._changed_partition(table, old)
        found["Values"] = self._values(table, new)
        self.catalog.update_partition(table["DatabaseName"], table["Name"], values, found)

    def repair(self, node: st.Repair) -> list[str]:
        """MSCK REPAIR TABLE: add the partitions that have a folder."""
        table = self.table(node.table)
        keys = [k["Name"] for k in table.get("PartitionKeys") or []]
        if not keys:
            return []
        location = table["StorageDescriptor"]["Location"]
        bucket, prefix = location_of(location)
        found: dict[tuple[str, ...], str] = {}
        for info in self.store.list(bucket, prefix):
            folders = info.key[len(prefix) :].split("/")[:-1][: len(keys)]
            pairs = [folder.split("=", 1) for folder in folders]
            if [p[0].lower() for p in pairs] == keys and all(len(p) == 2 for p in pairs):
                found[tuple(p[1] for p in pairs)] = "/".join(folders)
        lines = []
        with self.store.write():
            for values, path in sorted(found.items()):
                place = (table["DatabaseName"], table["Name"], list(values))
                if self.catalog.get_partition(*place) is None:
                    lines.append(f"Repair: Added partition to metastore {table['Name']}:{path}")
                    self._create_partition(table, list(values), f"s3://{bucket}/{prefix}{path}")
        return lines


def _column(column: st.Column) -> Json:
    found = {"Name": column.name, "Type": column.type}
    if column.comment:
        found["Comment"] = column.comment
    return found


def _format_of(node: st.CreateTable) -> str:
    if node.serde and "JsonSerDe" in node.serde:
        return "json"
    if node.serde and "ParquetHiveSerDe" in node.serde:
        return "parquet"
    if node.serde and "OrcSerde" in node.serde:
        return "orc"
    if node.stored_as in (None, "textfile"):
        return "text"
    if node.stored_as == "parquet":
        return "parquet"
    if node.stored_as in ("json", "orc"):
        return node.stored_as
    return refuse(f"Tables STORED AS {str(node.stored_as).upper()} are not supported here")
