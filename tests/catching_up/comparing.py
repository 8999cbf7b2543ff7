"""The tables of two warehouses over two lakes, by ``EXCEPT ALL``, both ways."""

from typing import Any

import boto3
import pyathena

from laptop.environment import Laptop

OF_THE_RUNS = {
    "fct_metric_history",
    "metrics_restatement",
    "metrics_query_cost_daily",
    "stg_query_costs",
}
"""They tell what was seen when, and what it cost: another history leaves other rows."""

OF_THE_BATCHES = {
    "as_of",
    "as_of_batch_seq",
    "batch_seq",
    "duplicate_count",
    "invocation_id",
    "landed_at",
    "offered_count",
}
"""Columns that say which batch brought a row, and what else it brought."""


def different_tables(laptop: Laptop, left: str, right: str) -> tuple[int, list[str]]:
    """Compare facts, dimensions and metrics; return how many, and a line for each difference."""
    connection = pyathena.connect(
        s3_staging_dir="s3://daylight-source/athena-results/",
        region_name="us-east-1",
        endpoint_url=laptop.aws_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        poll_interval=0.05,
    )

    def ask(sql: str) -> list[Any]:
        return list(connection.cursor().execute(sql).fetchall())

    glue = boto3.client(
        "glue",
        endpoint_url=laptop.aws_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    tables = {
        table["Name"]: [column["Name"] for column in table["StorageDescriptor"]["Columns"]]
        for page in glue.get_paginator("get_tables").paginate(DatabaseName=left)
        for table in page["TableList"]
        if table["Name"].startswith(("metrics_", "fct_", "dim_"))
        and "__dbt_" not in table["Name"]
        and table["Name"].removesuffix("_final") not in OF_THE_RUNS
    }
    found = []
    for table, columns in sorted(tables.items()):
        told = ", ".join(
            c for c in columns if c not in OF_THE_BATCHES and not c.endswith("_batch_seq")
        )
        counts = [
            ask(
                f"select count(*) from (select {told} from {one}.{table}"
                f" except all select {told} from {other}.{table})"
            )[0][0]
            for one, other in ((left, right), (right, left))
        ]
        if any(counts):
            found.append(f"{table}: {counts[0]} too many, {counts[1]} missing")
    return len(tables), found
