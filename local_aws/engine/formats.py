"""Formats of files that are written: what a statement's properties say, and Glue's names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from local_aws.engine import tree
from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.types import Type
from local_aws.glue import Json

_TEXT = (
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
)
_HIVE = "org.apache.hadoop.hive.ql.io"
_ENTRIES: dict[str, tuple[str, str, str]] = {
    "parquet": (
        f"{_HIVE}.parquet.MapredParquetInputFormat", f"{_HIVE}.parquet.MapredParquetOutputFormat",
        f"{_HIVE}.parquet.serde.ParquetHiveSerDe",
    ),
    "orc": (
        f"{_HIVE}.orc.OrcInputFormat", f"{_HIVE}.orc.OrcOutputFormat", f"{_HIVE}.orc.OrcSerde",
    ),
    "json": (*_TEXT, "org.openx.data.jsonserde.JsonSerDe"),
    "text": (*_TEXT, "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"),
}  # fmt: skip

_CODECS = {
    "parquet": {"gzip": "gzip", "snappy": "snappy", "zstd": "zstd", "none": "uncompressed",
                "uncompressed": "uncompressed", "lz4": "lz4"},
    "orc": {"zlib": "zlib", "snappy": "snappy", "zstd": "zstd", "lz4": "lz4",
            "none": "uncompressed"},
    "json": {"gzip": "gzip", "zstd": "zstd", "none": "none"},
    "text": {"gzip": "gzip", "zstd": "zstd", "none": "none"},
}  # fmt: skip
_SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}

FORMAT_PROPERTIES = frozenset(
    {"format", "write_compression", "parquet_compression", "orc_compression", "field_delimiter",
     "compression_level"}
)  # fmt: skip


@dataclass(slots=True)
class Output:
    """What to write: format and the names of columns and partition columns."""

    columns: list[tuple[str, Type]]
    partitions: list[tuple[str, Type]]
    format: str = "parquet"
    codec: str = "zstd"
    level: int | None = None
    delimiter: str = "\x01"
    null: str = "\\N"
    field_ids: str = ""
    bucketed_by: list[str] = field(default_factory=list)
    bucket_count: int = 0

    @property
    def suffix(self) -> str:
        """How the names of the files end: Hive knows compressed text by it."""
        return _SUFFIXES.get(self.codec, "") if self.format in ("json", "text") else ""


def constant(node: tree.Expr) -> Any:
    """A table property's value."""
    if isinstance(node, tree.Literal):
        if node.kind == "integer":
            return int(node.value)
        return (
            {"true": True, "false": False}.get(node.value, node.value)
            if (node.kind == "boolean")
            else node.value
        )
    if isinstance(node, tree.ArrayLiteral):
        return [constant(item) for item in node.items]
    if isinstance(node, tree.Call) and node.name == "array":
        return [constant(item) for item in node.args]
    raise QueryError("INVALID_TABLE_PROPERTY", "A table property must be a constant", node.at)


def check_known(properties: Collection[str], known: Collection[str], at: int) -> None:
    """Fail for a property that Athena does not know."""
    unknown = sorted(set(properties) - set(known))
    if unknown:
        raise QueryError(
            "INVALID_TABLE_PROPERTY",
            f"Catalog 'awsdatacatalog' table property '{unknown[0]}' does not exist",
            at,
        )


def codec(properties: dict[str, Any], format_: str, default: str) -> str:
    """The compression that the properties ask for."""
    for key in ("write_compression", f"{format_}_compression"):
        if key in properties:
            wanted = str(properties[key]).lower()
            found = _CODECS[format_].get(wanted)
            if found is None:
                raise QueryError(
                    "INVALID_TABLE_PROPERTY",
                    f"{key} {properties[key]} is not supported for {format_.upper()}",
                )
            return found
    return default


def output_of(
    properties: dict[str, Any], columns: list[tuple[str, Type]],
    partitions: list[tuple[str, Type]], *, parquet: str = "zstd", delimiter: str = "\x01",
) -> Output:  # fmt: skip
    """How a CTAS or an UNLOAD writes; ``parquet`` is that format's compression if none is said."""
    name = str(properties.get("format", "parquet")).lower()
    format_ = "text" if name == "textfile" else name
    if format_ not in _ENTRIES or name == "text":
        refuse(f"Files in {name.upper()} are not supported here")
    default = {"parquet": parquet, "orc": "zlib"}.get(format_, "gzip")
    output = Output(columns, partitions, format_, codec(properties, format_, default))
    if format_ == "text":
        output.delimiter = str(properties.get("field_delimiter", delimiter))
        if len(output.delimiter) != 1:
            raise QueryError("INVALID_TABLE_PROPERTY", "field_delimiter must be one character")
    elif "field_delimiter" in properties:
        raise QueryError(
            "INVALID_TABLE_PROPERTY", "field_delimiter is only for the format TEXTFILE"
        )
    level = properties.get("compression_level")
    if level is not None:
        if output.codec != "zstd" or not isinstance(level, int) or not 1 <= level <= 22:
            raise QueryError(
                "INVALID_TABLE_PROPERTY", "compression_level is 1 to 22, and only for ZSTD"
            )
        output.level = level
    check_format(output)
    return output


def check_format(output: Output) -> None:
    """Fail for columns that the format, as it is written here, cannot hold."""
    for name, kind in output.columns:
        if output.format == "text" and (kind.of or kind.name == "varbinary"):
            refuse(f"Column {name}: {kind} in text files is not supported here")
        if output.format in ("json", "orc") and kind.name == "varbinary":
            refuse(f"Column {name}: varbinary in {output.format.upper()} is not supported here")


def glue_format(format_: str) -> tuple[str, str, Json]:
    """Input format, output format and SerDe of a new table."""
    input_format, output_format, serde = _ENTRIES[format_]
    return input_format, output_format, {"SerializationLibrary": serde, "Parameters": {}}


def storage_format(table: Json) -> str:
    """parquet, orc, json, csv or text, by the SerDe."""
    descriptor = table.get("StorageDescriptor") or {}
    serde = str((descriptor.get("SerdeInfo") or {}).get("SerializationLibrary", ""))
    found = {
        "ParquetHiveSerDe": "parquet", "JsonSerDe": "json", "OpenCSVSerde": "csv",
        "LazySimpleSerDe": "text", "OrcSerde": "orc",
    }.get(serde.rsplit(".", 1)[-1])  # fmt: skip
    if found is None:
        refuse(f"Table {table.get('Name')}: SerDe {serde or 'unknown'} is not supported here")
    return found
