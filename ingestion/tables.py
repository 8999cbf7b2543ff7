"""One declaration per table that ingestion owns: columns, place, format, personal columns.

Arrow files and Glue tables are both made from it, so that they cannot disagree.
"""

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

SOURCE = "access_logs"
"""The name of the source in every key of the lake."""

FIRST_EVENT_DAY = "2015-01-01"
"""Partition projection begins here: an event before it would be invisible, so it is refused."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as Athena sees it."""

    name: str
    prefix: str
    schema: pa.Schema
    format: Literal["parquet", "json"]
    description: str
    partition: str | None = None
    """A column that lives in the path only: a day, projected, so no partition is ever added."""
    first_day: str = FIRST_EVENT_DAY
    """Where the projection begins: every day of it is a listing for a query without a day."""
    personal_columns: tuple[str, ...] = ()
    """Columns that stand for a person, even if only by pseudonym."""


_TIME = pa.timestamp("ms")  # always UTC; without a zone, because Athena's timestamp has none


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


ACCESS_LOGS = Table(
    name="access_logs",
    prefix=f"raw/{SOURCE}/",
    schema=pa.schema(
        [
            _required("record_id", pa.int64()),
            _required("user_id", pa.binary()),
            pa.field("activity", pa.string()),
            pa.field("url", pa.string()),
            pa.field("method", pa.string()),
            pa.field("log_name", pa.string()),
            pa.field("level_name", pa.string()),
            pa.field("message", pa.string()),
            _required("occurred_at", _TIME),
            _required("occurred_at_text", pa.string()),
            _required("arrived_at", _TIME),
            pa.field("extra_fields", pa.string()),
            _required("key_fingerprint", pa.string()),
            _required("batch_seq", pa.int64()),
            _required("landed_at", _TIME),
        ]
    ),
    format="parquet",
    description="One row per log record that was decoded; times in UTC.",
    partition="dt",
    personal_columns=("user_id",),
)

QUARANTINED_RECORDS = Table(
    name="quarantined_records",
    prefix=f"quarantine/{SOURCE}/",
    schema=pa.schema(
        [
            _required("batch_seq", pa.int64()),
            pa.field("record_id", pa.int64()),
            _required("record_key", pa.string()),
            _required("reason", pa.string()),
            _required("stage", pa.string()),
            _required("envelope", pa.string()),
            pa.field("key_fingerprint", pa.string()),
            _required("arrived_date", pa.string()),
            _required("landed_at", _TIME),
        ]
    ),
    format="parquet",
    description="One row per log record that was refused: why, and its ciphertext.",
)

PUBLISHED_BATCHES = Table(
    name="published_batches",
    prefix=f"published/{SOURCE}/",
    schema=pa.schema(
        [
            _required("seq", pa.int64()),
            _required("source", pa.string()),
            _required("offered", pa.int64()),
            _required("good", pa.int64()),
            _required("quarantined", pa.int64()),
            _required("duplicate", pa.int64()),
            _required("landed_at", pa.string()),
            _required("published_at", pa.string()),
            _required("bytes", pa.int64()),
            _required("files", pa.int32()),
            _required("key_fingerprints", pa.list_(pa.string())),
            _required(
                "event_days",
                pa.list_(
                    pa.struct(
                        [
                            ("dt", pa.string()),
                            ("rows", pa.int64()),
                            ("first_at", pa.string()),
                            ("last_at", pa.string()),
                        ]
                    )
                ),
            ),
            _required(
                "arrival_days",
                pa.list_(
                    pa.struct(
                        [
                            ("arrived_date", pa.string()),
                            ("offered", pa.int64()),
                            ("good", pa.int64()),
                            ("quarantined", pa.int64()),
                            ("duplicate", pa.int64()),
                            ("conflict", pa.int64()),
                            ("replayed", pa.int64()),
                        ]
                    )
                ),
            ),
            # Markers are never rewritten, and those of earlier versions end above: null there.
            pa.field("conflict", pa.int64()),
            pa.field("replayed", pa.int64()),
            pa.field("supersedes", pa.list_(pa.int64())),
            pa.field(
                "reasons",
                pa.list_(
                    pa.struct(
                        [
                            ("reason", pa.string()),
                            ("quarantined", pa.int64()),
                            ("replayed", pa.int64()),
                        ]
                    )
                ),
            ),
            pa.field(
                "keys",
                pa.list_(pa.struct([("fingerprint", pa.string()), ("records", pa.int64())])),
            ),
            pa.field(
                "missing",
                pa.list_(pa.struct([("low", pa.int64()), ("high", pa.int64())])),
            ),
            pa.field("missing_ids", pa.int64()),
        ]
    ),
    format="json",
    description=(
        "One row per published batch: "
        "offered + replayed = good + quarantined + duplicate + conflict."
    ),
)

QUERY_COSTS = Table(
    name="query_costs",
    prefix="query_costs/",
    schema=pa.schema(
        [
            _required("query_id", pa.string()),
            pa.field("work_group", pa.string()),
            pa.field("target_schema", pa.string()),
            pa.field("node_id", pa.string()),
            pa.field("invocation_id", pa.string()),
            pa.field("statement_type", pa.string()),
            _required("state", pa.string()),
            _required("submitted_at", _TIME),
            _required("scanned_bytes", pa.int64()),
            _required("execution_ms", pa.int64()),
            _required("queue_ms", pa.int64()),
        ]
    ),
    format="parquet",
    description="One row per query that Athena ended, from its own history; never its text.",
    partition="dt",
    first_day="NOW-400DAYS",  # a year and a month of costs; older ones stay in the bucket
)

TABLES = (ACCESS_LOGS, QUARANTINED_RECORDS, PUBLISHED_BATCHES, QUERY_COSTS)

_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        "Parameters": {"serialization.format": "1"},
    },
}
_JSON = {
    "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
        "Parameters": {"serialization.format": "1"},
    },
}


def glue_type(kind: pa.DataType) -> str:
    """Return Glue's name for an Arrow type.

    Raises:
        TypeError: for a type that no table of ours uses.
    """
    simple = {
        pa.int64(): "bigint",
        pa.int32(): "int",
        pa.string(): "string",
        pa.binary(): "binary",
        _TIME: "timestamp",
    }
    if kind in simple:
        return simple[kind]
    if pa.types.is_list(kind):
        return f"array<{glue_type(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{','.join(f'{field.name}:{glue_type(field.type)}' for field in kind)}>"
    raise TypeError(f"Say in tables.glue_type what {kind} is called in Glue.")


def glue_input(table: Table, bucket: str) -> dict[str, Any]:
    """Return the TableInput that Glue's CreateTable and UpdateTable take."""
    location = f"s3://{bucket}/{table.prefix}"
    parameters = {"EXTERNAL": "TRUE", "classification": table.format}
    if table.partition:
        parameters |= {
            "projection.enabled": "true",
            f"projection.{table.partition}.type": "date",
            f"projection.{table.partition}.format": "yyyy-MM-dd",
            f"projection.{table.partition}.range": f"{table.first_day},NOW+2DAYS",
            "storage.location.template": f"{location}{table.partition}=${{{table.partition}}}/",
        }
    return {
        "Name": table.name,
        "Description": table.description,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "PartitionKeys": [{"Name": table.partition, "Type": "string"}] if table.partition else [],
        "StorageDescriptor": {
            "Columns": [{"Name": f.name, "Type": glue_type(f.type)} for f in table.schema],
            "Location": location,
            **(_PARQUET if table.format == "parquet" else _JSON),
        },
    }
