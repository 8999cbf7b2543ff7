"""The unmodified dbt-athena adapter with every materialisation it has, on local_aws.

One small project is built when the first batch has arrived, again when the second has, and then
fully refreshed, while a reader looks at a table that promises to be there all the time.
"""

import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import boto3
import pyathena
import pytest
from dbt.cli.main import dbtRunner

from tests.warehouses import Warehouse

PROJECT = Path(__file__).parent / "dbt_athena"
FIRST, SECOND, THIRD = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
BATCH_1 = [(1, "a", FIRST), (2, "b", SECOND)]
BATCH_2 = [(1, "gone", FIRST), (2, "B", SECOND), (3, "c", THIRD)]

REBUILT = [
    "arrivals", "hive_table", "hive_bucketed", "hive_ha", "hive_contract", "iceberg_table",
    "iceberg_bucketed",
]  # fmt: skip
"""Views and tables: what they hold is the batch that came last."""

AS_TEXT = ["hive_json", "hive_text"]
ACCUMULATED = {
    "append_hive": sorted(BATCH_1 + BATCH_2),
    "append_iceberg": sorted(BATCH_1 + BATCH_2),
    "insert_overwrite": BATCH_2,
    "microbatch": BATCH_2,
    "merge": BATCH_2,
}
"""What incremental models hold after the second batch; after a full refresh they hold it alone."""


class Reader(threading.Thread):
    """Reads one table again and again until it is told to stop."""

    def __init__(self, warehouse: Warehouse, table: str) -> None:
        super().__init__()
        self._warehouse, self._table = warehouse, table
        self._enough = threading.Event()
        self.seen: list[list[tuple]] = []
        self.failed: list[str] = []

    def run(self) -> None:
        while not self._enough.wait(0.05):
            try:
                self.seen.append(read(self._warehouse, self._table))
            except pyathena.error.Error as error:
                self.failed.append(str(error))

    def stop(self) -> None:
        self._enough.set()
        self.join()


def read(warehouse: Warehouse, table: str) -> list[tuple]:
    return sorted(warehouse.query(f"select id, name, day from {warehouse.schema}.{table}"))


def build(*arguments: str) -> None:
    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    days = ["--event-time-start", "2024-01-01", "--event-time-end", "2024-01-04"]
    result = dbtRunner().invoke(["build", "--quiet", *arguments, *days, *folders])
    wrong = [
        f"{node.node.unique_id}: {node.message}"
        for node in getattr(result.result, "results", [])
        if node.status not in ("success", "pass")
    ]
    assert result.success, wrong or result.exception


class Built:
    """What the tables held after each of the three builds."""

    def __init__(self, warehouse: Warehouse, reader: Reader) -> None:
        self.warehouse, self.reader = warehouse, reader
        self.rows: dict[str, dict[str, list[tuple]]] = {}

    def look(self, step: str) -> None:
        self.rows[step] = {
            table: read(self.warehouse, table) for table in [*REBUILT, *AS_TEXT, *ACCUMULATED]
        }


@pytest.fixture(scope="module")
def built(local_aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    name = f"materialised{uuid4().hex[:8]}"
    folder = tmp_path_factory.mktemp("dbt")
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in {
            "LAKE_BUCKET": name,
            "WAREHOUSE_SCHEMA": name,
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "DBT_LOG_LEVEL_FILE": "warn",
            "DO_NOT_TRACK": "1",
        }.items():
            patch.setenv(variable, value)
        boto3.client("s3").create_bucket(Bucket=name)
        warehouse = Warehouse(name, name)
        reader = Reader(warehouse, "hive_ha")
        built = Built(warehouse, reader)
        build()
        built.look("first")
        reader.start()
        try:
            build("--vars", "{round: 2}")
        finally:
            reader.stop()
        built.look("second")
        incremental = ["--select", *ACCUMULATED, "--exclude-resource-type", "test"]
        build("--vars", "{round: 2}", "--full-refresh", *incremental)
        built.look("refreshed")
        yield built


@pytest.mark.parametrize("table", REBUILT)
def test_views_and_tables_hold_the_last_batch(built: Built, table: str):
    assert built.rows["first"][table] == BATCH_1
    assert built.rows["second"][table] == BATCH_2


@pytest.mark.parametrize("table", AS_TEXT)
def test_tables_in_other_formats_hold_the_last_batch(built: Built, table: str):
    assert built.rows["second"][table] == [(n, name, day.isoformat()) for n, name, day in BATCH_2]


@pytest.mark.parametrize("table", ACCUMULATED)
def test_incremental_models_take_the_second_batch_as_their_strategy_says(built: Built, table: str):
    assert built.rows["first"][table] == BATCH_1
    assert built.rows["second"][table] == ACCUMULATED[table]
    assert built.rows["refreshed"][table] == BATCH_2


def test_merge_keeps_to_its_conditions(built: Built):
    # 1 was deleted, 2 updated in all but the excluded column, 3 not inserted.
    assert read(built.warehouse, "merge_conditions") == [(2, "B", THIRD)]


def test_a_reader_of_a_highly_available_table_never_misses_it(built: Built):
    seen = {tuple(rows) for rows in built.reader.seen}

    assert built.reader.failed == []
    assert seen == {tuple(BATCH_1), tuple(BATCH_2)}


def test_more_than_a_hundred_partitions_are_written_in_batches(built: Built):
    schema = built.warehouse.schema

    rows = built.warehouse.query(
        "select count(*), count(distinct part), min(id), max(id) "
        f"from {schema}.hive_many_partitions"
    )

    assert rows == [(120, 120, 1, 120)]


def test_schema_changes_follow_the_model(built: Built):
    schema = built.warehouse.schema

    grown = built.warehouse.query(f"select id, name, extra from {schema}.grows_hive")
    changed = built.warehouse.query(f"select * from {schema}.changes_iceberg")

    assert sorted(grown, key=str) == sorted(
        [(1, "a", None), (2, "b", None)] + [(n, name, "new") for n, name, _ in BATCH_2], key=str
    )
    assert sorted(changed, key=str) == sorted(
        [(1, None), (2, None), (1, "new"), (2, "new"), (3, "new")], key=str
    )


def test_snapshots_keep_what_was(built: Built):
    schema = built.warehouse.schema

    def versions(table: str) -> list[tuple]:
        return sorted(
            built.warehouse.query(f"select id, name, dbt_valid_to is null from {schema}.{table}")
        )

    assert versions("checked") == [
        (1, "a", False), (1, "gone", True), (2, "B", True), (2, "b", False), (3, "c", True),
    ]  # fmt: skip
    assert versions("stamped") == [
        (1, "a", False), (1, "gone", True), (2, "b", False), (3, "c", True),
    ]  # fmt: skip


def test_seeds_are_what_the_files_say(built: Built):
    schema = built.warehouse.schema

    countries = built.warehouse.query(f"select * from {schema}.countries order by code")
    cities = built.warehouse.query(f"select code, name from {schema}.cities order by code")

    assert countries == [
        ("de", "Deutschland", date(1949, 5, 23), None),
        ("kr", "Korea, Republic of", date(1948, 8, 15), 0.5),
    ]
    assert cities == [('o"b', 'quote " and, comma'), ("seoul", "서울")]


def test_descriptions_reach_the_catalogue(built: Built):
    table = boto3.client("glue").get_table(DatabaseName=built.warehouse.schema, Name="hive_table")[
        "Table"
    ]

    assert table["Description"] == 'Quotes \' and "double" survive.'
    assert table["StorageDescriptor"]["Columns"][0]["Comment"] == "The id."


def test_nothing_temporary_is_left(built: Built):
    tables = [
        table["Name"]
        for page in boto3.client("glue")
        .get_paginator("get_tables")
        .paginate(DatabaseName=built.warehouse.schema)
        for table in page["TableList"]
    ]

    assert [name for name in tables if "__" in name] == []
