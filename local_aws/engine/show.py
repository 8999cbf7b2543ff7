"""SHOW and DESCRIBE: lines of text, as Athena's DDL results are."""

from __future__ import annotations

import re

from local_aws.engine import statements as st
from local_aws.engine.ddl import Ddl
from local_aws.engine.errors import QueryError
from local_aws.engine.iceberg_tables import TABLE_PROPERTIES, partition_fields
from local_aws.engine.tables import decode_view, is_iceberg
from local_aws.glue import Json
from local_aws.iceberg import metadata_of

Lines = tuple[list[str], list[str]]
"""Names of the columns, and the lines."""


def show(ddl: Ddl, node: st.Show) -> Lines:
    """Any SHOW."""
    if node.what == "databases":
        names = [d["Name"] for d in ddl.catalog.databases()]
        return ["database_name"], _like(names, node.pattern)
    if node.what in ("tables", "views"):
        database = node.name[-1] if node.name else ddl.database
        if ddl.catalog.get_database(database) is None:
            raise QueryError("FAILED: SemanticException", f"Database does not exist: {database}")
        found = [
            t["Name"] for t in ddl.catalog.tables(database)
            if node.what == "tables" or t.get("TableType") == "VIRTUAL_VIEW"
        ]  # fmt: skip
        return ["tab_name" if node.what == "tables" else "views"], _like(found, node.pattern)
    table = ddl.table(node.name)
    if node.what == "columns":
        return ["field"], [f"{c['Name']:<20}" for c in _columns(table)]
    if node.what == "partitions":
        return ["partition"], _partitions(ddl, table)
    if node.what == "tblproperties":
        parameters = table.get("Parameters") or {}
        if node.pattern is not None:
            return ["prpt_name", "prpt_value"], [str(parameters.get(node.pattern, ""))]
        return ["prpt_name", "prpt_value"], [f"{k}\t{v}" for k, v in sorted(parameters.items())]
    if node.what == "create_view" or table.get("TableType") == "VIRTUAL_VIEW":
        view = decode_view(table)
        name = f"{table['DatabaseName']}.{table['Name']}"
        return ["Create View"], [f"CREATE VIEW {name} AS", *view.text.splitlines()]
    made = _create_iceberg(ddl, table) if is_iceberg(table) else _create_table(table)
    return ["createtab_stmt"], made


def describe(ddl: Ddl, node: st.Describe) -> Lines:
    """DESCRIBE: name, type and comment, padded and divided by tabs."""
    table = ddl.table(node.table)
    lines = [_described(c) for c in _columns(table)]
    if is_iceberg(table):
        return ["col_name", "data_type", "comment"], _describe_iceberg(ddl, table, lines)
    keys = table.get("PartitionKeys") or []
    if keys:
        head = "\t".join(f"{cell:<20}" for cell in ("# col_name", "data_type", "comment"))
        lines += ["\t \t ", "# Partition Information\t \t ", head, "\t \t "]
        lines += [_described(c) for c in keys]
    return ["col_name", "data_type", "comment"], lines


def _described(column: Json) -> str:
    cells = (column["Name"], column.get("Type", ""), column.get("Comment", ""))
    return "\t".join(f"{cell:<20}" for cell in cells)


def _describe_iceberg(ddl: Ddl, table: Json, columns: list[str]) -> list[str]:
    """Iceberg's has a heading, and its partitioning in a part of its own."""
    lines = ["# Table schema:\t\t", "# col_name\tdata_type\tcomment", *columns]
    fields = partition_fields(metadata_of(ddl.store, table))
    if fields:
        lines += ["\t\t", "# Partition spec:\t\t", "# field_name\tfield_transform\tcolumn_name"]
        lines += [f"{name}\t{transform}\t{column}" for name, transform, column in fields]
    return lines


def _create_iceberg(ddl: Ddl, table: Json) -> list[str]:
    """A statement that makes the table anew."""
    metadata = metadata_of(ddl.store, table)
    lines = [f"CREATE TABLE {table['DatabaseName']}.{table['Name']} ("]
    columns = _columns(table)
    for i, column in enumerate(columns):
        comment = f" COMMENT '{column['Comment']}'" if column.get("Comment") else ""
        end = ")" if i == len(columns) - 1 else ","
        lines.append(f"  {column['Name']} {column['Type']}{comment}{end}")
    shown = []
    for _, transform, source in partition_fields(metadata):
        name, _, number = transform.rstrip("]").partition("[")
        inner = f"{number}, `{source}`" if number else f"`{source}`"
        shown.append(inner if name == "identity" else f"{name}({inner})")
    if shown:
        lines.append(f"PARTITIONED BY ({', '.join(shown)})")
    lines.append(f"LOCATION '{metadata.location}'")
    known = {k: v for k, v in metadata.properties.items() if k in TABLE_PROPERTIES}
    parameters = {
        k: v for k, v in (table.get("Parameters") or {}).items()
        if k in TABLE_PROPERTIES and k != "table_type"
    }  # fmt: skip
    codec = metadata.properties.get("write.parquet.compression-codec", "zstd")
    pairs = {"table_type": "iceberg", "write_compression": codec, **known, **parameters}
    lines.append("TBLPROPERTIES (")
    last = len(pairs) - 1
    lines += [f"  '{k}'='{v}'{',' if i < last else ''}" for i, (k, v) in enumerate(pairs.items())]
    return [*lines, ")"]


def _columns(table: Json) -> list[Json]:
    listed = [
        c for c in (table.get("StorageDescriptor") or {}).get("Columns") or []
        if (c.get("Parameters") or {}).get("iceberg.field.current") != "false"
    ]  # fmt: skip
    return [*listed, *(table.get("PartitionKeys") or [])]


def _partitions(ddl: Ddl, table: Json) -> list[str]:
    keys = [k["Name"] for k in table.get("PartitionKeys") or []]
    if not keys:
        raise QueryError(
            "FAILED: SemanticException",
            f"Table {table['DatabaseName']}.{table['Name']} is not a partitioned table",
        )
    return [
        "/".join(f"{k}={v}" for k, v in zip(keys, p["Values"], strict=True))
        for p in ddl.catalog.partitions(table["DatabaseName"], table["Name"])
    ]


def _like(names: list[str], pattern: str | None) -> list[str]:
    if pattern is None:
        return names
    parts = [re.escape(p).replace(r"\*", ".*") for p in pattern.strip("'\"").split("|")]
    return [name for name in names if any(re.fullmatch(p, name) for p in parts)]


def _create_table(table: Json) -> list[str]:
    descriptor = table["StorageDescriptor"]
    serde = descriptor.get("SerdeInfo") or {}

    def listed(columns: list[Json]) -> list[str]:
        return [
            f"  `{c['Name']}` {c['Type']}"
            + (f" COMMENT '{c['Comment']}'" if c.get("Comment") else "")
            + (", " if i < len(columns) - 1 else ")")
            for i, c in enumerate(columns)
        ]

    lines = [f"CREATE EXTERNAL TABLE `{table['DatabaseName']}.{table['Name']}`("]
    lines += listed(descriptor["Columns"])
    keys = table.get("PartitionKeys") or []
    if keys:
        lines += ["PARTITIONED BY ( ", *listed(keys)]
    if descriptor.get("BucketColumns"):
        names = ", ".join(f"`{name}`" for name in descriptor["BucketColumns"])
        lines += [
            "CLUSTERED BY ( ",
            f"  {names}) ",
            f"INTO {descriptor['NumberOfBuckets']} BUCKETS",
        ]
    lines += ["ROW FORMAT SERDE ", f"  '{serde.get('SerializationLibrary', '')}' "]
    options = serde.get("Parameters") or {}
    if options:
        lines += ["WITH SERDEPROPERTIES ( ", *_pairs(options)]
    lines += ["STORED AS INPUTFORMAT ", f"  '{descriptor.get('InputFormat', '')}' ",
              "OUTPUTFORMAT ", f"  '{descriptor.get('OutputFormat', '')}'",
              "LOCATION", f"  '{descriptor.get('Location', '')}'"]  # fmt: skip
    parameters = {k: v for k, v in (table.get("Parameters") or {}).items() if k != "EXTERNAL"}
    return [*lines, "TBLPROPERTIES (", *_pairs(parameters)] if parameters else lines


def _pairs(values: Json) -> list[str]:
    items = sorted(values.items())
    return [
        f"  '{k}'='{v}'" + (", " if i < len(items) - 1 else ")") for i, (k, v) in enumerate(items)
    ]
