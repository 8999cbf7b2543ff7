"""Tables of files: CTAS, INSERT, and their entries in the Glue catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from local_aws.engine import statements as st
from local_aws.engine.casts import coerce
from local_aws.engine.compile_query import QueryCompiler
from local_aws.engine.compiler import Rel
from local_aws.engine.duck import Run
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.formats import (
    FORMAT_PROPERTIES,
    Output,
    check_format,
    check_known,
    codec,
    constant,
    glue_format,
    output_of,
    storage_format,
)
from local_aws.engine.macros import family
from local_aws.engine.partitions import location_of
from local_aws.engine.scope import Value
from local_aws.engine.tables import glue_columns
from local_aws.engine.types import VARCHAR, Type, coerces
from local_aws.engine.writing import check_columns, check_hive_type, place, write
from local_aws.glue import Catalog, Json
from local_aws.store import Store

_KNOWN = {"table_type", "is_external", "external_location", "location", "partitioned_by",
          "bucketed_by", "bucket_count", *FORMAT_PROPERTIES}  # fmt: skip
_UNLOAD = ("format", "compression", "compression_level", "field_delimiter", "partitioned_by")


class HiveTables:
    """Writes tables of files for one query."""

    def __init__(self, store: Store, catalog: Catalog, run: Run, now: datetime) -> None:
        self.store = store
        self.catalog = catalog
        self.run = run
        self.now = now

    # ------------------------------------------------------------------ CTAS

    def create_as(
        self, node: st.CreateTableAs, name: tuple[str, str], rel: Rel, sql: str,
        properties: dict[str, Any], default_location: str,
    ) -> int:  # fmt: skip
        """CREATE TABLE AS; the number of rows."""
        check_known(properties, _KNOWN, node.at)
        columns = check_columns(rel.columns, node.columns)
        for column, kind in columns:
            check_hive_type(column, kind)
        kept, partitions = _split_partitions(columns, properties.get("partitioned_by") or [])
        location = str(
            properties.get("external_location") or properties.get("location") or default_location
        )
        bucket, prefix = self._empty(location, f"table '{name[0]}.{name[1]}'")
        output = output_of(properties, kept, partitions)
        output.bucketed_by, output.bucket_count = _buckets(properties, kept)
        written = write(self.run, self.store, sql, output) if node.with_data else []
        with self.store.write():
            found = place(
                self.run, self.store, (bucket, prefix), written, [n for n, _ in partitions],
                self.now,
            )  # fmt: skip
            table = table_input(name[1], output, f"s3://{bucket}/{prefix}".rstrip("/"))
            self.catalog.create_table(name[0], table)
            self._add_partitions(name, table, found)
        return sum(file.rows for file in written)

    # ------------------------------------------------------------------ INSERT

    def insert(
        self, node: st.Insert, table: Json, compiler: QueryCompiler, rel: Rel, sql: str
    ) -> int:
        """INSERT INTO; the number of rows."""
        columns, plain = glue_columns(table)
        select = self.aligned(node, columns, compiler, rel, sql)
        output = self._output(table, columns, plain)
        written = write(self.run, self.store, select, output)
        name = (table["DatabaseName"], table["Name"])
        location = location_of(table["StorageDescriptor"]["Location"])
        parameters = table.get("Parameters") or {}
        if str(parameters.get("storage.location.template", "")):
            refuse("INSERT INTO a table with storage.location.template")
        with self.store.write():
            if self.catalog.get_table(*name) is None:
                raise QueryError("TABLE_NOT_FOUND", f"Table '{'.'.join(name)}' does not exist")
            found = place(
                self.run, self.store, location, written, [n for n, _ in columns[plain:]], self.now
            )
            if str(parameters.get("projection.enabled", "")).lower() != "true":
                self._add_partitions(name, table, found)
        return sum(file.rows for file in written)

    def _output(self, table: Json, columns: list[tuple[str, Type]], plain: int) -> Output:
        """How the table's files are written."""
        descriptor, parameters = table["StorageDescriptor"], table.get("Parameters") or {}
        if descriptor.get("BucketColumns") and int(descriptor.get("NumberOfBuckets") or 0) > 0:
            name = f"{table['DatabaseName']}.{table['Name']}"
            raise QueryError("NOT_SUPPORTED", f"INSERT INTO the bucketed table {name}")
        format_ = storage_format(table)
        if format_ == "csv":
            refuse("INSERT INTO a table with OpenCSVSerde")
        serde = (descriptor.get("SerdeInfo") or {}).get("Parameters") or {}
        wanted = parameters.get("write.compression", parameters.get(f"{format_}.compress"))
        given = {"write_compression": wanted} if wanted is not None else {}
        default = {"parquet": "zstd", "orc": "zlib"}.get(format_, "gzip")
        output = Output(
            columns[:plain], columns[plain:], format_, codec(given, format_, default),
            delimiter=serde.get("field.delim", serde.get("serialization.format", "\x01")),
            null=serde.get("serialization.null.format", "\\N"),
        )  # fmt: skip
        check_format(output)
        return output

    # ------------------------------------------------------------------ UNLOAD

    def unload(self, node: st.Unload, rel: Rel, sql: str) -> int:
        """UNLOAD; the number of rows."""
        properties = {key: constant(value) for key, value in node.properties.items()}
        for name in properties:
            if name not in _UNLOAD:
                raise QueryError(
                    "INVALID_TABLE_PROPERTY", f"UNLOAD property '{name}' does not exist", node.at
                )
        if "format" not in properties:
            raise QueryError(
                "INVALID_TABLE_PROPERTY", "UNLOAD property 'format' is required", node.at
            )
        columns = check_columns(rel.columns, [])
        for column, kind in columns:
            check_hive_type(column, kind)
        kept, partitions = _split_partitions(columns, properties.pop("partitioned_by", None) or [])
        if "compression" in properties:
            properties["write_compression"] = properties.pop("compression")
        output = output_of(properties, kept, partitions, parquet="gzip", delimiter=",")
        bucket, prefix = self._empty(node.location, "the unload")
        written = write(self.run, self.store, sql, output)
        with self.store.write():
            self._empty(node.location, "the unload")  # another one may have been faster
            names = [name for name, _ in partitions]
            place(self.run, self.store, (bucket, prefix), written, names, self.now)
        return sum(file.rows for file in written)

    def _empty(self, location: str, what: str) -> tuple[str, str]:
        """Bucket and prefix of a place to write to, where nothing may be yet."""
        bucket, prefix = location_of(location)
        if self.store.list(bucket, prefix, limit=1):
            raise QueryError(
                "HIVE_PATH_ALREADY_EXISTS",
                f"Target directory for {what} already exists: {location}. You "
                "may need to manually clean the data at location before retrying",
            )
        return bucket, prefix

    def aligned(
        self, node: st.Insert, columns: list[tuple[str, Type]], compiler: QueryCompiler, rel: Rel,
        sql: str,
    ) -> str:  # fmt: skip
        """The query's columns as the table's, in its order and types."""
        names = [name for name, _ in columns]
        given = node.columns or names
        for name in given:
            if name not in names:
                raise QueryError(
                    "COLUMN_NOT_FOUND",
                    f"Insert column name does not exist in target table: {name}",
                    node.table.at,
                )
        if len(set(given)) != len(given):
            raise QueryError("DUPLICATE_COLUMN_NAME", "Insert column name is specified twice")
        kinds = dict(columns)
        wanted = [kinds[name] for name in given]
        have = [column.type for column in rel.columns]
        if len(wanted) != len(have) or not all(
            insertable(a, b) for a, b in zip(have, wanted, strict=True)
        ):
            raise QueryError(
                "TYPE_MISMATCH",
                "Insert query has mismatched column types: "
                f"Table: [{', '.join(map(str, wanted))}], Query: [{', '.join(map(str, have))}]",
                node.table.at,
            )
        items = []
        for i, (name, kind) in enumerate(columns):
            if name in given:
                at = given.index(name)
                value = store_as(Value(f"r_.c{at}", have[at]), kind)
                items.append(f"{value.sql} AS c{i}")
            else:
                items.append(f"CAST(NULL AS {kind.duck}) AS c{i}")
        return f"SELECT {', '.join(items)} FROM ({sql}) AS r_"

    def _add_partitions(
        self, name: tuple[str, str], table: Json, found: list[tuple[list[str], str]]
    ) -> None:
        for values, location in found:
            if self.catalog.get_partition(*name, values) is None:
                descriptor = {**table["StorageDescriptor"], "Location": location.rstrip("/")}
                self.catalog.create_partition(
                    *name, {"Values": values, "StorageDescriptor": descriptor, "Parameters": {}}
                )


def insertable(have: Type, want: Type) -> bool:
    """Whether INSERT takes the type: coercion, and times of other precision."""
    if coerces(have, want):
        return True
    if have.name == want.name in ("timestamp", "varchar", "char"):
        return True
    if have.name == want.name and have.of and len(have.of) == len(want.of):
        return all(insertable(a, b) for a, b in zip(have.of, want.of, strict=True))
    return False


def store_as(value: Value, kind: Type) -> Value:
    """A value for storing; text that is too long fails, where a cast would cut it."""
    if kind.name == "varchar" and kind.numbers and value.type != kind:
        return Value(family(f"local_fits({coerce(value, VARCHAR).sql}, {kind.numbers[0]})"), kind)
    return coerce(value, kind)


def _split_partitions(
    columns: list[tuple[str, Type]], names: list[str]
) -> tuple[list[tuple[str, Type]], list[tuple[str, Type]]]:
    lowered = [str(name).lower() for name in names]
    if not lowered:
        return columns, []
    for name in lowered:
        if name not in [n for n, _ in columns]:
            raise QueryError(
                "INVALID_TABLE_PROPERTY", f"Partition column {name} is not in the table"
            )
    if [n for n, _ in columns[-len(lowered) :]] != lowered:
        raise QueryError(
            "HIVE_COLUMN_ORDER_MISMATCH",
            "Partition keys must be the last columns in the table and in the same order as the "
            f"table properties: {lowered}",
        )
    kept = columns[: -len(lowered)]
    if not kept:
        raise QueryError("INVALID_TABLE_PROPERTY", "Table contains only partition columns")
    return kept, columns[-len(lowered) :]


def _buckets(properties: dict[str, Any], columns: list[tuple[str, Type]]) -> tuple[list[str], int]:
    names = [str(name).lower() for name in properties.get("bucketed_by") or []]
    count = properties.get("bucket_count", 0)
    if bool(names) != bool(count):
        raise QueryError(
            "INVALID_TABLE_PROPERTY", "bucketed_by and bucket_count must be specified together"
        )
    if not isinstance(count, int) or count < 0:
        raise QueryError("INVALID_TABLE_PROPERTY", "bucket_count must be greater than zero")
    missing = [name for name in names if name not in dict(columns)]
    if missing:
        raise QueryError(
            "INVALID_TABLE_PROPERTY",
            f"Bucketing columns [{', '.join(missing)}] not present in schema",
        )
    return names, count


def table_input(name: str, output: Output, location: str) -> Json:
    """The Glue entry of a table of files."""
    input_format, output_format, serde = glue_format(output.format)
    if output.format == "text":
        serde["Parameters"] = {"field.delim": output.delimiter}
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Owner": "hadoop",
        "Parameters": {"EXTERNAL": "TRUE", "has_encrypted_data": "false", "auto.purge": "false"},
        "StorageDescriptor": {
            "Columns": [{"Name": n, "Type": t.glue} for n, t in output.columns],
            "Location": location,
            "InputFormat": input_format,
            "OutputFormat": output_format,
            "Compressed": False,
            "NumberOfBuckets": output.bucket_count,
            "SerdeInfo": serde,
            "BucketColumns": list(output.bucketed_by),
            "SortColumns": [],
            "Parameters": {},
            "StoredAsSubDirectories": False,
        },
        "PartitionKeys": [{"Name": n, "Type": t.glue} for n, t in output.partitions],
    }
