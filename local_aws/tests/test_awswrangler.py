"""awswrangler: data frames to tables of files and Iceberg, and back, by each of its roads."""

import awswrangler as wr
import pandas as pd
import pytest

from local_aws.tests.conftest import Server

FRAME = pd.DataFrame(
    {
        "id": [1, 2, 3],
        "name": ["a", "it's", None],
        "at": pd.to_datetime(
            ["2024-01-01", "2024-01-02 03:04:05.678", "2024-01-03"], format="ISO8601"
        ),
        "x": [1.5, 2.5, None],
        "dt": ["u", "u", "v"],
    }
)

pytestmark = [
    pytest.mark.usefixtures("cloud"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def results(bucket: str) -> dict:
    return {"s3_output": f"s3://{bucket}/results/"}


@pytest.fixture
def table(bucket: str, database: str) -> dict:
    """A partitioned table of files that awswrangler wrote."""
    wr.s3.to_parquet(
        FRAME, path=f"s3://{bucket}/t/", dataset=True, database=database, table="t",
        partition_cols=["dt"],
    )  # fmt: skip
    return {"table": "t", "database": database}


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    found = found.sort_values("id", ignore_index=True)
    columns = list(expected)
    assert list(found) == columns
    for column in columns:
        have = [None if pd.isna(value) else value for value in found[column]]
        want = [None if pd.isna(value) else value for value in expected[column]]
        assert have == want, column


@pytest.mark.parametrize(
    "road",
    [
        {"ctas_approach": True},
        {"ctas_approach": False},
        {"ctas_approach": False, "unload_approach": True},
    ],
    ids=["a table of its own", "the result file", "UNLOAD"],
)
def test_a_query_gives_the_frame_that_was_written(bucket, table, road):
    found = wr.athena.read_sql_query(
        "select * from t", table["database"], s3_output=f"s3://{bucket}/aside/", **road
    )

    assert_same(found, FRAME)


def test_a_query_that_gives_nothing_keeps_its_columns(table, results):
    found = wr.athena.read_sql_query(
        "select id, name from t where id > 9", table["database"], ctas_approach=False, **results
    )

    assert list(found) == ["id", "name"]
    assert len(found) == 0


def test_reading_a_table_leaves_no_table_behind(table, results):
    found = wr.athena.read_sql_table(**table, **results)

    assert_same(found, FRAME)
    assert wr.catalog.tables(database=table["database"])["Table"].tolist() == ["t"]


def test_chunks_parameters_and_cache(table, results):
    ask = {"database": table["database"], "ctas_approach": False, **results}

    chunks = wr.athena.read_sql_query("select * from t order by id", chunksize=2, **ask)
    named = wr.athena.read_sql_query("select id from t where dt = :d", params={"d": "v"}, **ask)
    marked = wr.athena.read_sql_query(
        "select id from t where id = ?", params=["2"], paramstyle="qmark", **ask
    )
    cached = wr.athena.read_sql_query(
        "select * from t order by id", athena_cache_settings={"max_cache_seconds": 900}, **ask
    )

    assert [len(chunk) for chunk in chunks] == [2, 1]
    assert named["id"].tolist() == [3]
    assert marked["id"].tolist() == [2]
    assert cached.query_metadata["Statistics"]["DataScannedInBytes"] > 0
    assert len(wr.athena.list_query_executions()) > 0


def test_append_and_overwriting_of_partitions(bucket, table, results):
    again = {"path": f"s3://{bucket}/t/", "dataset": True, "partition_cols": ["dt"], **table}

    wr.s3.to_parquet(FRAME.assign(id=FRAME["id"] + 10), mode="append", **again)
    wr.s3.to_parquet(FRAME[:1], mode="overwrite_partitions", **again)

    found = wr.athena.read_sql_query("select id from t order by id", table["database"], **results)
    assert found["id"].tolist() == [1, 3, 13]
    assert wr.s3.read_parquet_table(**table)["id"].sort_values().tolist() == [1, 3, 13]
    assert sorted(wr.catalog.get_partitions(**table).values()) == [["u"], ["v"]]
    assert len(wr.s3.read_parquet_table(partition_filter=lambda p: p["dt"] == "v", **table)) == 2


def test_text_tables(bucket, database, results):
    wr.s3.to_csv(
        FRAME, path=f"s3://{bucket}/c/", dataset=True, database=database, table="c", index=False
    )
    wr.s3.to_json(
        FRAME[["id", "name"]], path=f"s3://{bucket}/j/", dataset=True, database=database, table="j",
        orient="records", lines=True, index=False,
    )  # fmt: skip

    csv = wr.athena.read_sql_query("select id, name from c", database, **results)
    json = wr.athena.read_sql_query("select id, name from j", database, **results)

    assert csv.sort_values("id")["id"].tolist() == [1, 2, 3]
    assert json.sort_values("id")["name"].tolist()[:2] == ["a", "it's"]


def test_iceberg_appends_merges_evolves_and_deletes(bucket, database, results):
    place = {
        "database": database, "table": "i", "temp_path": f"s3://{bucket}/tmp/",
        "keep_files": False, **results,
    }  # fmt: skip
    frame = FRAME[["id", "name"]]

    wr.athena.to_iceberg(frame, table_location=f"s3://{bucket}/i/", **place)
    wr.athena.to_iceberg(
        pd.DataFrame({"id": [3, 4], "name": ["c", "d"]}), merge_cols=["id"], **place
    )
    wr.athena.to_iceberg(
        pd.DataFrame({"id": [5], "name": ["e"], "z": [7]}), schema_evolution=True, **place
    )
    wr.athena.delete_from_iceberg_table(pd.DataFrame({"id": [1]}), merge_cols=["id"], **place)

    found = wr.athena.read_sql_query("select * from i", database, ctas_approach=False, **results)
    expected = pd.DataFrame(
        {"id": [2, 3, 4, 5], "name": ["it's", "c", "d", "e"], "z": [None, None, None, 7]}
    )
    assert_same(found, expected)


def test_statements_around_tables(bucket, table, results):
    database = table["database"]

    described = wr.athena.describe_table(**table, **results)
    shown = wr.athena.show_create_table(**table, **results)
    repaired = wr.athena.repair_table("t", database, **results)
    created = wr.athena.create_ctas_table(
        "select 5 as five", database=database, ctas_table="made", wait=True, **results
    )
    types = wr.catalog.get_table_types(**table)

    assert described["Column Name"].tolist() == ["id", "name", "at", "x", "dt"]
    assert f"s3://{bucket}/t" in shown
    assert repaired == "SUCCEEDED"
    assert created["ctas_table"] == "made"
    assert types["at"] == "timestamp"
    assert wr.catalog.delete_table_if_exists(database, "made")


def test_objects(bucket, table, shared_server: Server):
    paths = wr.s3.list_objects(f"s3://{bucket}/t/")
    wr.s3.wait_objects_exist(paths, delay=0.1, max_attempts=2)
    sizes = wr.s3.size_objects(paths)
    wr.s3.copy_objects(paths, source_path=f"s3://{bucket}/t/", target_path=f"s3://{bucket}/copy/")
    wr.s3.delete_objects(paths)

    assert sum(sizes.values()) > 0
    assert wr.s3.list_objects(f"s3://{bucket}/t/") == []
    assert len(wr.s3.read_parquet(f"s3://{bucket}/copy/", dataset=True)) == 3
    assert wr.s3.does_object_exist(paths[0]) is False
