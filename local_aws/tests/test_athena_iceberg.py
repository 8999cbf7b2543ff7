"""Iceberg tables: rows, schema, commits, races; also as pyiceberg sees them."""

import os
import threading
from pathlib import Path

import pytest

from local_aws.tests.athena import Athena


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


@pytest.fixture
def table(athena: Athena) -> str:
    """``t``: id 1 to 3, name, at."""
    athena.run(
        "create table t with (table_type='iceberg', is_external=false, format='parquet', "
        f"location='s3://{athena.bucket}/t/') as select id, cast(name as varchar) as name, "
        "cast(timestamp '2024-01-01 00:00:00' as timestamp(6)) as at "
        "from (values (bigint '1', 'a'), (2, 'b'), (3, 'c')) as v (id, name)"
    )
    return "t"


def rows(athena: Athena) -> list[tuple]:
    return athena.rows("select id, name from t order by id")


def test_ctas_gives_rows_with_six_digits(athena: Athena, table: str, glue):
    entry = glue.get_table(DatabaseName=athena.database, Name=table)["Table"]

    assert athena.rows("select * from t where id = 1") == [("1", "a", "2024-01-01 00:00:00.000000")]
    assert entry["Parameters"]["table_type"] == "ICEBERG"
    assert entry["Parameters"]["metadata_location"].endswith(".metadata.json")
    columns = [(c["Name"], c["Type"]) for c in entry["StorageDescriptor"]["Columns"]]
    assert columns == [("id", "bigint"), ("name", "string"), ("at", "timestamp")]


@pytest.mark.parametrize(
    ("select", "reason"),
    [
        ("timestamp '2024-01-01 00:00:00.123' as x", "Timestamp precision (3) not supported"),
        ("cast(1 as smallint) as x", "Type not supported for Iceberg: smallint"),
    ],
)
def test_types_that_iceberg_has_not_are_refused(athena: Athena, select: str, reason: str):
    said = athena.failure(
        "create table bad with (table_type='iceberg', is_external=false, "
        f"location='s3://{athena.bucket}/bad/') as select {select}"
    )

    assert reason in said


def test_merge_updates_deletes_and_inserts(athena: Athena, table: str):
    execution = athena.run(
        "merge into t as target using (values (1, 'gone', true), (2, 'new', false), "
        "(9, 'nine', false), (10, 'never', true)) as src (id, name, dead) "
        "on target.id = src.id "
        "when matched and src.dead then delete "
        "when matched then update set name = src.name || target.name "
        "when not matched and not src.dead then insert (id, name) values (src.id, src.name)"
    )

    found = athena.client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert found["UpdateCount"] == 3
    assert rows(athena) == [("2", "newb"), ("3", "c"), ("9", "nine")]
    assert athena.value("select count(*) from t where at is null") == "1"


def test_merge_with_two_matches_for_one_row_fails_and_changes_nothing(athena: Athena, table: str):
    said = athena.failure(
        "merge into t using (values (1, 'x'), (1, 'y')) as s (id, name) on t.id = s.id "
        "when matched then update set name = s.name"
    )

    assert said == (
        "MERGE_TARGET_ROW_MULTIPLE_MATCHES: One MERGE target table row matched more than one "
        "source row"
    )
    assert rows(athena) == [("1", "a"), ("2", "b"), ("3", "c")]


def test_update_and_delete(athena: Athena, table: str):
    athena.run("update t set name = upper(name) where id >= 2")
    athena.run("delete from t where name = 'B'")

    assert rows(athena) == [("1", "a"), ("3", "C")]


def test_delete_of_everything_leaves_an_empty_table(athena: Athena, table: str):
    athena.run("delete from t")
    athena.run("insert into t (id) values 7")

    assert rows(athena) == [("7", None)]


def test_columns_come_go_and_change_their_name(athena: Athena, table: str, glue):
    athena.run("alter table t\n  add columns (`extra` int, `tags` array<string>)")
    athena.run("update t set extra = 5 where id = 1")
    athena.run("alter table t change column name label string")
    athena.run("alter table t drop column `at`")

    assert athena.rows("select * from t order by id") == [
        ("1", "a", "5", None), ("2", "b", None, None), ("3", "c", None, None),
    ]  # fmt: skip
    header = athena.results(athena.run("select * from t")["QueryExecutionId"])["Rows"][0]["Data"]
    assert [c["VarCharValue"] for c in header] == ["id", "label", "extra", "tags"]


def test_a_dropped_column_that_comes_back_is_a_new_one(athena: Athena, table: str):
    athena.run("alter table t drop column name")
    athena.run("alter table t add columns (name string)")

    assert rows(athena) == [("1", None), ("2", None), ("3", None)]


def test_partitioned_table_keeps_rows_in_their_partitions(athena: Athena, s3):
    athena.run(
        "create table p with (table_type='iceberg', is_external=false, "
        f"location='s3://{athena.bucket}/p/', partitioning=array['day(at)', 'kind']) as "
        "select n, 'k' || cast(n % 2 as varchar) as kind, "
        "cast(date_add('day', n, date '2024-01-01') as timestamp(6)) as at "
        "from unnest(sequence(1, 4)) as u (n)"
    )
    athena.run("update p set kind = 'moved' where n = 2")

    keys = [
        o["Key"] for o in s3.list_objects_v2(Bucket=athena.bucket, Prefix="p/data/")["Contents"]
    ]
    assert athena.rows("select n, kind from p order by n") == [
        ("1", "k1"), ("2", "moved"), ("3", "k1"), ("4", "k0"),
    ]  # fmt: skip
    assert any("at_day=2024-01-03/kind=moved/" in key for key in keys)


def test_more_than_a_hundred_partitions_are_refused(athena: Athena):
    said = athena.failure(
        "create table p with (table_type='iceberg', is_external=false, "
        f"location='s3://{athena.bucket}/p/', partitioning=array['n']) as "
        "select n from unnest(sequence(1, 101)) as u (n)"
    )

    assert said.startswith("ICEBERG_TOO_MANY_OPEN_PARTITIONS")


def test_time_travel_by_snapshot_and_by_time(athena: Athena, table: str, glue, shared_server):
    before = athena.value("select cast(now() + interval '1' second as varchar)")
    assert before is not None
    import time

    time.sleep(1.1)
    athena.run("delete from t where id = 1")

    then = athena.value(
        f"select count(*) from t for timestamp as of timestamp '{before.removesuffix(' UTC')}'"
    )

    assert (then, athena.value("select count(*) from t")) == ("3", "2")


def test_drop_table_takes_the_files_along(athena: Athena, table: str, s3):
    athena.run("drop table t")

    assert s3.list_objects_v2(Bucket=athena.bucket, Prefix="t/")["KeyCount"] == 0


def test_rename_keeps_the_rows(athena: Athena, table: str):
    athena.run(f"alter table `{athena.database}`.`t` rename to `{athena.database}`.`u`")

    assert athena.value("select count(*) from u") == "3"
    assert athena.failure("select * from t").startswith("TABLE_NOT_FOUND")


def test_optimize_and_vacuum_change_no_row(athena: Athena, table: str, s3):
    for number in range(4, 8):
        athena.run(f"insert into t (id, name) values ({number}, 'n')")
    athena.run("alter table t set tblproperties ('vacuum_max_snapshot_age_seconds'='0')")
    before = rows(athena)

    def data_files() -> int:
        return s3.list_objects_v2(Bucket=athena.bucket, Prefix="t/data/")["KeyCount"]

    many = data_files()
    athena.run(f"optimize {athena.database}.t rewrite data using bin_pack")
    athena.run(f"vacuum {athena.database}.t")

    assert rows(athena) == before
    assert (many, data_files()) == (5, 1)


def test_every_acknowledged_insert_of_a_race_is_there(athena: Athena, table: str):
    acknowledged: list[int] = []
    refused: list[str] = []

    def insert(number: int) -> None:
        execution = athena.wait(athena.start(f"insert into t (id, name) values ({number}, 'race')"))
        if execution["Status"]["State"] == "SUCCEEDED":
            acknowledged.append(number)
        else:
            refused.append(execution["Status"]["StateChangeReason"])

    threads = [threading.Thread(target=insert, args=(100 + n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    present = [int(i) for (i,) in athena.rows("select id from t where name = 'race' order by id")]
    assert present == sorted(acknowledged)
    assert refused == []


def test_of_racing_merges_only_the_acknowledged_count(athena: Athena, table: str):
    acknowledged = []

    def bump() -> None:
        execution = athena.wait(
            athena.start(
                "merge into t using (values 1) as s (id) on t.id = s.id "
                "when matched then update set name = t.name || '+'"
            )
        )
        if execution["Status"]["State"] == "SUCCEEDED":
            acknowledged.append(1)

    threads = [threading.Thread(target=bump) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert athena.value("select name from t where id = 1") == "a" + "+" * len(acknowledged)
    assert acknowledged


def test_racing_merges_insert_a_new_key_once(athena: Athena, table: str):
    sql = (
        "merge into t using (values 50) as s (id) on t.id = s.id "
        "when not matched then insert (id) values (s.id)"
    )
    ids = [athena.start(sql) for _ in range(8)]

    states = {athena.wait(query_id)["Status"]["State"] for query_id in ids}

    assert "SUCCEEDED" in states
    assert athena.value("select count(*) from t where id = 50") == "1"


def test_a_commit_conflict_has_the_error_type_that_dbt_retries(athena: Athena, table: str):
    failed = []

    def bump() -> None:
        execution = athena.wait(athena.start("update t set name = name || '!' where id = 1"))
        if execution["Status"]["State"] == "FAILED":
            failed.append(execution["Status"]["AthenaError"])

    for _ in range(5):
        threads = [threading.Thread(target=bump) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            break

    assert failed, "eight updates at once, five times, never met"
    assert {error["ErrorType"] for error in failed} == {233}
    assert {error["ErrorCategory"] for error in failed} == {2}


def test_pyiceberg_with_the_glue_catalogue_reads_and_writes_the_same_table(
    athena: Athena, table: str, shared_server, tmp_path: Path, monkeypatch
):
    import pyarrow as pa
    from pyiceberg.catalog import load_catalog

    for name, value in {
        "AWS_ENDPOINT_URL": shared_server.url, "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    catalog = load_catalog(
        "glue", type="glue",
        **{"s3.endpoint": shared_server.url, "s3.access-key-id": "test",
           "s3.secret-access-key": "test", "s3.region": "us-east-1",
           "glue.endpoint": shared_server.url, "glue.region": "us-east-1"},
    )  # fmt: skip
    theirs = catalog.load_table(f"{athena.database}.t")

    seen = sorted(theirs.scan().to_arrow()["id"].to_pylist())
    theirs.append(
        pa.table({"id": pa.array([77], pa.int64()), "name": ["py"],
                  "at": pa.array([None], pa.timestamp("us"))})
    )  # fmt: skip

    assert seen == [1, 2, 3]
    assert athena.rows("select id, name from t where id > 3") == [("77", "py")]


def test_nested_values_survive(athena: Athena):
    name = f"n_{os.urandom(3).hex()}"
    athena.run(
        f"create table {name} with (table_type='iceberg', is_external=false, "
        f"location='s3://{athena.bucket}/{name}/') as select "
        "array[cast(row(1, 'x') as row(a bigint, b varchar))] as l, "
        "map(array['k'], array[1.5e0]) as m, cast(row(date '2024-01-01') as row(d date)) as r, "
        "x'00ff' as b, cast(1.25 as decimal(10,2)) as n, "
        "cast(timestamp '2024-01-01 00:00:00 UTC' as timestamp(6) with time zone) as z"
    )

    assert athena.rows(f"select l, m, r.d, to_hex(b), n, z from {name}") == [
        ("[{a=1, b=x}]", "{k=1.5}", "2024-01-01", "00FF", "1.25", "2024-01-01 00:00:00.000000 UTC")
    ]
