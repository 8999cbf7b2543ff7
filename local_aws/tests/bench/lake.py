"""The tables that the bench asks: each kind with a thousand partitions, and with one of them."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from local_aws.tests.athena import Athena
from local_aws.tests.conftest import Server

PARTITIONS = 1_000
FILES = 720
ROWS_OF_PARTITION = 200
ROWS_OF_FILE = 2_000


def fill(server: Server) -> list[Path]:
    """Make every table; return the files of ``files`` as they lie on the disk."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket="bench")
    server.client("glue").create_database(DatabaseInput={"Name": "bench"})
    athena = Athena(server, "bench", "bench")
    with ThreadPoolExecutor(8) as pool:
        for prefix, numbers in (("alone", [500]), ("of_many", range(PARTITIONS))):
            body = _parquet(ROWS_OF_PARTITION)
            keys = [f"{prefix}/p={number}/one.parquet" for number in numbers]
            list(pool.map(lambda k, b=body: s3.put_object(Bucket="bench", Key=k, Body=b), keys))
            _tables_of_files(server, athena, prefix, list(numbers))
        keys = [f"files/{number:04d}.parquet" for number in range(FILES)]
        body = _parquet(ROWS_OF_FILE)
        list(pool.map(lambda k: s3.put_object(Bucket="bench", Key=k, Body=body), keys))
    athena.run(
        "create external table files (x bigint, t string) stored as parquet "
        "location 's3://bench/files/'"
    )
    _iceberg(athena)
    return sorted((server.data / "objects/bench/files").iterdir())


def _parquet(rows: int) -> bytes:
    table = pa.table({"x": range(rows), "t": [f"a text of some length {n}" for n in range(rows)]})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _tables_of_files(server: Server, athena: Athena, prefix: str, numbers: list[int]) -> None:
    declared = "(x bigint, t string) partitioned by (p int) stored as parquet"
    location = f"location 's3://bench/{prefix}/'"
    athena.run(f"create external table glue_{prefix} {declared} {location}")
    athena.run(
        f"create external table projected_{prefix} {declared} {location} tblproperties ("
        "'projection.enabled'='true', 'projection.p.type'='integer', "
        f"'projection.p.range'='{numbers[0]},{numbers[-1]}')"
    )
    glue = server.client("glue")
    table = glue.get_table(DatabaseName="bench", Name=f"glue_{prefix}")["Table"]
    made = [
        {
            "Values": [str(n)],
            "StorageDescriptor": {
                **table["StorageDescriptor"], "Location": f"s3://bench/{prefix}/p={n}"
            },
        }
        for n in numbers
    ]  # fmt: skip
    for start in range(0, len(made), 100):
        glue.batch_create_partition(
            DatabaseName="bench", TableName=f"glue_{prefix}",
            PartitionInputList=made[start : start + 100],
        )  # fmt: skip


def _iceberg(athena: Athena) -> None:
    for prefix in ("alone", "of_many"):
        athena.run(
            f"create table iceberg_{prefix} (x bigint, t string, p int) partitioned by (p) "
            f"location 's3://bench/iceberg_{prefix}/' tblproperties ('table_type'='iceberg')"
        )
    athena.run("insert into iceberg_alone select x, t, p from glue_alone")
    for start in range(0, PARTITIONS, 100):
        athena.run(
            "insert into iceberg_of_many select x, t, p from glue_of_many "
            f"where p between {start} and {start + 99}"
        )
