"""dbt on local_aws as an analyst runs it, and how what it built is compared with the oracle."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyathena
import pytest
from dbt.cli.main import dbtRunner

from tests import oracle
from tests.oracle import Lake, Row, Run
from tests.publishing import SEOUL

REPOSITORY = Path(__file__).resolve().parent.parent
EXACT_TABLES = list(oracle.warehouse(Lake(), SEOUL, SEOUL))
"""Tables that are a pure function of the lake, compared in every column."""

RUN_TABLES = ["fct_metric_history", "metrics_restatement"]
"""Tables that also depend on which runs there were."""


@dataclass
class Warehouse:
    """An analyst's shell: dbt on one schema, and a look at its tables."""

    schema: str
    bucket: str

    def dbt(self, *arguments: str) -> Counter[str]:
        """Run dbt, which must succeed; return how many nodes ended in which status."""
        folders = ["--project-dir", "dbt_project", "--profiles-dir", "dbt_project"]
        result = dbtRunner().invoke([*arguments, "--target", "dev", "--quiet", *folders])
        messages = [
            f"{node.node.unique_id}: {node.message}"
            for node in getattr(result.result, "results", [])
            if node.status not in ("success", "pass")
        ]
        assert result.success, messages or result.exception
        return Counter(str(node.status) for node in result.result.results)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._asked(sql).fetchall())

    def rows(self, table: str) -> list[Row]:
        cursor = self._asked(f"select * from {self.schema}.{table}")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def tables(self, names: Iterable[str] = ()) -> dict[str, list[Row]]:
        return {table: self.rows(table) for table in names or EXACT_TABLES + RUN_TABLES}

    def _asked(self, sql: str) -> Any:
        return self._connection.cursor().execute(sql)

    @cached_property
    def _connection(self) -> Any:
        results = f"s3://{self.bucket}/athena-results/"
        return pyathena.connect(s3_staging_dir=results, poll_interval=0.02)


def counted(rows: Sequence[Row]) -> Counter[Any]:
    """Return the rows as a multiset; what names a run is not part of a row."""
    return Counter(
        tuple((name, value) for name, value in sorted(row.items()) if name != "invocation_id")
        for row in rows
    )


def assert_same_rows(found: Mapping[str, list[Row]], expected: Mapping[str, list[Row]]) -> None:
    """EXCEPT ALL, both ways, over every table and column; the message names what differs."""
    assert not (message := "\n\n".join(differences(found, expected))), f"\n{message}"


def differences(
    found: Mapping[str, list[Row]], expected: Mapping[str, list[Row]], shown: int = 3
) -> list[str]:
    """Say of each table that differs which columns do, with the first few pairs of rows."""
    messages = []
    for table in [name for name in expected if name in found]:
        left, right = counted(found[table]), counted(expected[table])
        extra = sorted((left - right).elements(), key=repr)
        missing = sorted((right - left).elements(), key=repr)
        if extra or missing:
            lines = [
                f"{table}: {len(extra)} of {left.total()} rows should not be, "
                f"{len(missing)} of {right.total()} are missing"
            ]
            messages.append("\n".join(lines + _pairs(table, extra, missing, shown)))
    return messages


def _pairs(table: str, extra: list[Any], missing: list[Any], shown: int) -> list[str]:
    """Show each row beside the one of the oracle that is most like it: the columns that differ."""
    lines = []
    for items in extra[:shown]:
        row = dict(items)
        alike = max(missing[:2000], key=lambda other: len(set(other) & set(items)), default=None)
        if alike is None or 2 * len(set(alike) & set(items)) < len(items):
            lines.append(f"  is there: {row}")
            continue
        other = dict(alike)
        names = sorted(row.keys() | other.keys())
        differing = [name for name in names if row.get(name, "-") != other.get(name, "-")]
        same = {name: value for name, value in row.items() if name not in differing}
        told = ", ".join(
            f"{name} is {row.get(name, 'no column')!r}, should be {other.get(name, 'no column')!r}"
            for name in differing
        )
        lines.append(f"  {told}\n    in {same}")
    if not lines:
        lines += [f"  is missing: {dict(items)}" for items in missing[:shown]]
    return lines


@dataclass
class Step:
    """What readers saw after one step, and what the oracle says they should have seen."""

    found: dict[str, list[Row]]
    expected: dict[str, list[Row]]
    statuses: Counter[str]


@dataclass
class Chronicle:
    """The runs on one lake so far, for the tables that remember them."""

    runs: list[Run] = field(default_factory=list)

    def step(
        self, found: dict[str, list[Row]], lake: Lake, metric_zone: str, statuses: Counter[str]
    ) -> Step:
        """Note a run of all models, and return what it left behind with what it should have."""
        expected = oracle.warehouse(lake, metric_zone, SEOUL)
        hashes = {row["definition_hash"] for row in found["fct_metric_history"]}
        assert len(hashes) <= 1, "one definition has one hash"
        metric = expected["metrics_daily_active"]
        self.runs.append(Run(lake.copy(), metric, next(iter(hashes), "")))
        history = oracle.metric_history(
            [Run(run.lake, run.daily_active, next(iter(hashes), "")) for run in self.runs]
        )
        expected["fct_metric_history"] = history
        expected["metrics_restatement"] = oracle.restatements(history, expected["dim_dates"])
        return Step(found, expected, statuses)


def use_lake(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    name: str,
    folder: Path,
    metric_zone: str = SEOUL,
    source_zone: str = SEOUL,
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
        "DBT_SCHEMA": name,
        "WAREHOUSE_SCHEMA": name,
        "METRIC_TIME_ZONE": metric_zone,
        "SOURCE_TIME_ZONE": source_zone,
        "ATHENA_POLL_INTERVAL": "0.02",
        "DBT_LOG_LEVEL_FILE": "warn",
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(REPOSITORY)
