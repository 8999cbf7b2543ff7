"""Clean rows of every table that the mart checks read, put where Athena sees them."""

import io
from collections.abc import Mapping
from datetime import date, datetime, timedelta

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion import Settings
from ingestion.lake import Lake
from ingestion.sides import Names

Rows = list[dict[str, object]]
FIRST_DAY = date(2026, 10, 1)
DAYS = 10

SCHEMAS = {
    "stg_access_logs__batches": pa.schema([("batch_seq", pa.int64()), ("good_count", pa.int64())]),
    "fct_user_daily": pa.schema(
        [
            ("user_id", pa.binary()),
            ("event_date", pa.date32()),
            ("event_count", pa.int64()),
            ("first_event_at", pa.timestamp("ms")),
        ]
    ),
    "metrics_daily_active": pa.schema(
        [
            ("metric_date", pa.date32()),
            ("dau", pa.int64()),
            ("wau", pa.int64()),
            ("mau", pa.int64()),
            ("dau_mau", pa.float64()),
            ("new_user_count", pa.int64()),
            ("returning_user_count", pa.int64()),
            ("event_count", pa.int64()),
            ("is_wau_complete", pa.bool_()),
            ("is_mau_complete", pa.bool_()),
            ("as_of_batch_seq", pa.int64()),
        ]
    ),
    "metrics_endpoint_daily": pa.schema(
        [
            ("metric_date", pa.date32()),
            ("route", pa.string()),
            ("method", pa.string()),
            ("request_count", pa.int64()),
            ("error_count", pa.int64()),
            ("error_rate", pa.float64()),
            ("error_rate_low", pa.float64()),
            ("share_of_requests", pa.float64()),
        ]
    ),
    "metrics_pipeline_health_daily": pa.schema(
        [
            ("arrived_date", pa.date32()),
            ("offered_count", pa.int64()),
            ("good_count", pa.int64()),
            ("quarantined_count", pa.int64()),
            ("duplicate_count", pa.int64()),
            ("conflict_count", pa.int64()),
            ("replayed_count", pa.int64()),
            ("missing_id_count", pa.int64()),
            ("sequence_completeness", pa.float64()),
            ("lag_p50_seconds", pa.float64()),
            ("lag_p95_seconds", pa.float64()),
        ]
    ),
}
_GLUE = {
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.string(): "string",
    pa.binary(): "binary",
    pa.date32(): "date",
    pa.bool_(): "boolean",
    pa.timestamp("ms"): "timestamp",
}


def clean() -> dict[str, Rows]:
    """Return ten quiet days of every table."""
    days = [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]
    return {
        "stg_access_logs__batches": [
            {"batch_seq": 1, "good_count": 2_000},
            {"batch_seq": 2, "good_count": 0},
        ],
        "fct_user_daily": [
            {
                "user_id": b"u%d" % n,
                "event_date": day,
                "event_count": 2,
                "first_event_at": datetime(day.year, day.month, day.day, 9),
            }
            for day in days
            for n in range(3)
        ],
        "metrics_daily_active": [
            {
                "metric_date": day,
                "dau": 200,
                "wau": 400,
                "mau": 800,
                "dau_mau": 0.25,
                "new_user_count": 20,
                "returning_user_count": 180,
                "event_count": 1_000,
                "is_wau_complete": n >= 6,
                "is_mau_complete": False,
                "as_of_batch_seq": 1,
            }
            for n, day in enumerate(days)
        ],
        "metrics_endpoint_daily": [
            {
                "metric_date": day,
                "route": route,
                "method": "GET",
                "request_count": 500,
                "error_count": 5,
                "error_rate": 0.01,
                "error_rate_low": 0.004,
                "share_of_requests": 0.5,
            }
            for day in days
            for route in ("/", "/a/{id}")
        ],
        "metrics_pipeline_health_daily": [
            {
                "arrived_date": day,
                "offered_count": 1_100,
                "good_count": 1_000,
                "quarantined_count": 10,
                "duplicate_count": 89,
                "conflict_count": 1,
                "replayed_count": 2,
                "missing_id_count": 0,
                "sequence_completeness": 1.0,
                "lag_p50_seconds": 60.0,
                "lag_p95_seconds": 600.0,
            }
            for day in days
        ],
    }


def place(settings: Settings, tables: Mapping[str, Rows]) -> None:
    """Write the rows as external tables of the build, replacing what is there."""
    lake = Lake(settings)
    lake.ensure_bucket()
    schema_name = Names(settings.warehouse_schema).build
    lake.ensure_tables(schema_name, [])
    glue = boto3.client("glue", endpoint_url=settings.aws_endpoint_url)
    for name, rows in tables.items():
        schema = SCHEMAS[name]
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
        lake.put(f"marts/{name}/part.parquet", sink.getvalue())
        table = {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
            "StorageDescriptor": {
                "Columns": [{"Name": f.name, "Type": _GLUE[f.type]} for f in schema],
                "Location": lake.uri(f"marts/{name}/"),
                "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
                "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
                "SerdeInfo": {
                    "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde."
                    "ParquetHiveSerDe"
                },
            },
        }
        try:
            glue.create_table(DatabaseName=schema_name, TableInput=table)
        except glue.exceptions.AlreadyExistsException:
            glue.update_table(DatabaseName=schema_name, TableInput=table)
