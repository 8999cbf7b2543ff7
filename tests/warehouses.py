"""dbt on local_aws as an analyst runs it, and how what it built is compared with the oracle."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyathena
import pytest
from dbt.cli.main import dbtRunner

from tests import oracle
from tests.oracle import Lake, Row

REPOSITORY = Path(__file__).resolve().parent.parent
SEOUL = "Asia/Seoul"
EXACT_TABLES = list(oracle.warehouse(Lake(), SEOUL, SEOUL))


@dataclass
class Warehouse:
    """An analyst's shell: dbt on one schema, and a look at its tables."""

    schema: str
    bucket: str

    def dbt(self, *arguments: str) -> Counter[str]:
        """Run dbt, which must succeed; return how many nodes ended in which status."""
        folders = ["--project-dir", "dbt_project", "--profiles-dir", "dbt_project"]
        result = dbtRunner().invoke([*arguments, "--target", "prod", "--quiet", *folders])
        messages = [
            f"{node.node.unique_id}: {node.message}"
            for node in getattr(result.result, "results", [])
            if node.status not in ("success", "pass")
        ]
        assert result.success, messages or result.exception
        return Counter(str(node.status) for node in result.result.results)

    def rows(self, table: str) -> list[Row]:
        connection = pyathena.connect(
            s3_staging_dir=f"s3://{self.bucket}/athena-results/", poll_interval=0.05
        )
        cursor = connection.cursor()
        cursor.execute(f"select * from {self.schema}.{table}")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def tables(self) -> dict[str, list[Row]]:
        return {table: self.rows(table) for table in EXACT_TABLES}


def as_set(rows: Sequence[Row], ignore: str | None = "as_of_batch_seq") -> Counter[Any]:
    return Counter(
        tuple(sorted((name, value) for name, value in row.items() if name != ignore))
        for row in rows
    )


def assert_same_rows(found: dict[str, list[Row]], expected: dict[str, list[Row]]) -> None:
    """EXCEPT ALL, both ways, over every table; what is named is the first few differences."""
    for table in EXACT_TABLES:
        left, right = as_set(found[table]), as_set(expected[table])
        assert list((left - right).items())[:3] == [], f"{table}: rows that should not be"
        assert list((right - left).items())[:3] == [], f"{table}: rows that are missing"


@dataclass
class Step:
    """What readers saw after one step, and what the oracle says they should have seen."""

    found: dict[str, list[Row]]
    expected: dict[str, list[Row]]
    statuses: Counter[str]


def use_lake(
    monkeypatch: pytest.MonkeyPatch, url: str, name: str, folder: Path, metric_zone: str = SEOUL
) -> None:
    """Point dbt and every client at one bucket of local_aws, with databases of the same name."""
    environment = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "LAKE_BUCKET": name,
        "RAW_DATABASE": f"{name}_raw",
        "WAREHOUSE_SCHEMA": name,
        "METRIC_TIME_ZONE": metric_zone,
        "SOURCE_TIME_ZONE": SEOUL,
        "ATHENA_POLL_INTERVAL": "0.05",
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(REPOSITORY)
