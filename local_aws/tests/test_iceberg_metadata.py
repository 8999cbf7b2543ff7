"""Iceberg below the rows: metadata tables, buckets, time travel, delete files of other writers."""

import io
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestWriterV2,
)
from pyiceberg.transforms import BucketTransform
from pyiceberg.types import LongType, StringType

from local_aws.tests.athena import Athena


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


@pytest.fixture
def table(athena: Athena) -> str:
    """``t``: x, k, day by day and in buckets of k; three commits."""
    athena.run(
        "create table t with (table_type='iceberg', is_external=false, "
        f"location='s3://{athena.bucket}/t/', partitioning=array['day(at)', 'bucket(k, 3)']) as "
        "select x, cast('k' || cast(x as varchar) as varchar) as k, cast(date_add('day', x % 2, "
        "timestamp '2024-01-01 00:00:00') as timestamp(6)) as at "
        "from unnest(sequence(bigint '1', 4)) as u (x)"
    )
    athena.run("insert into t values (5, null, null)")
    athena.run("delete from t where x = 4")
    return "t"


def theirs(athena: Athena, shared_server, name: str = "t"):
    """The table as pyiceberg loads it."""
    catalog = load_catalog(
        "glue", type="glue",
        **{"s3.endpoint": shared_server.url, "s3.access-key-id": "test",
           "s3.secret-access-key": "test", "s3.region": "us-east-1",
           "glue.endpoint": shared_server.url, "glue.region": "us-east-1",
           "glue.access-key-id": "test", "glue.secret-access-key": "test"},
    )  # fmt: skip
    return catalog.load_table(f"{athena.database}.{name}")


def shown(values) -> list[tuple]:
    """Python's values as our results print them."""
    return sorted(
        tuple(None if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in row)
        for row in values
    )


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("snapshots", ["snapshot_id", "parent_id", "operation", "manifest_list"]),
        ("history", ["snapshot_id", "parent_id", "is_current_ancestor"]),
        ("refs", ["name", "type", "snapshot_id", "max_reference_age_in_ms"]),
        ("files", ["content", "file_path", "file_format", "record_count", "file_size_in_bytes"]),
        ("manifests", ["path", "length", "partition_spec_id", "added_snapshot_id",
                       "added_data_files_count", "existing_data_files_count",
                       "deleted_data_files_count"]),
        ("partitions", ["record_count", "file_count"]),
    ],
)  # fmt: skip
def test_metadata_tables_say_what_pyiceberg_sees(
    athena: Athena, table: str, shared_server, name: str, columns: list[str]
):
    inspected = getattr(theirs(athena, shared_server).inspect, name)().to_pylist()

    found = athena.rows(f'select {", ".join(columns)} from "t${name}"')

    assert sorted(found) == shown([row[column] for column in columns] for row in inspected)


def test_metadata_tables_have_athenas_columns(athena: Athena, table: str):
    def types(name: str) -> str:
        execution = athena.run(f'select * from "t${name}"')
        found = athena.results(execution["QueryExecutionId"])["ResultSetMetadata"]["ColumnInfo"]
        return ", ".join(f"{column['Name']} {column['Type']}" for column in found)

    assert types("snapshots") == (
        "committed_at timestamp with time zone, snapshot_id bigint, parent_id bigint, "
        "operation varchar, manifest_list varchar, summary map"
    )
    assert types("partitions") == (
        "partition row, record_count bigint, file_count bigint, total_size bigint, data row"
    )
    assert athena.rows(
        'select typeof(partition), typeof(data.x), typeof(data.k.min) from "t$partitions" limit 1'
    ) == [
        ("row(at_day date, k_bucket integer)",
         "row(min bigint, max bigint, null_count bigint, nan_count bigint)", "varchar")
    ]  # fmt: skip


def test_partitions_tell_of_their_rows(athena: Athena, table: str):
    rows = athena.rows(
        "select partition.at_day, partition.k_bucket, data.x.min, data.x.max, data.k.null_count "
        'from "t$partitions" order by 3'
    )

    def bucket(text: str) -> str:
        return str(BucketTransform(3).transform(StringType())(text))

    expected = {
        x: ("2024-01-02" if x % 2 else "2024-01-01", bucket(f"k{x}"), "0") for x in (1, 2, 3)
    } | {5: (None, None, "1")}
    found = {}
    for day, number, low, high, nulls in rows:
        for x in {int(low), int(high)}:
            found[x] = (day, number, nulls)
    assert found == expected


@pytest.mark.parametrize("name", ["t$properties", "t$nonsense", "nowhere$files"])
def test_metadata_tables_that_athena_has_not(athena: Athena, table: str, name: str):
    assert athena.failure(f'select * from "{name}"').startswith("TABLE_NOT_FOUND")
    assert athena.failure(f'insert into "{name}" values 1').startswith("TABLE_NOT_FOUND")


def test_partitions_of_tables_of_files_can_be_listed(athena: Athena):
    athena.run(
        "create table h with (partitioned_by=array['d', 'k']) as "
        "select 1 as x, date '2024-01-01' as d, k from (values 'a', 'b', null) as v (k)"
    )

    rows = athena.rows("select k, d from \"h$partitions\" where d > date '2023-12-31' order by k")

    assert rows == [("a", "2024-01-01"), ("b", "2024-01-01"), (None, "2024-01-01")]


# ------------------------------------------------------------------------------ buckets


def test_buckets_are_those_of_the_specification(athena: Athena, shared_server):
    """As pyiceberg computes them; and as the specification's own example has it."""
    numbers = [0, 34, -1, 2**31, -(2**63), 2**63 - 1, None]
    listed = ", ".join("(null)" if n is None else f"(bigint '{n}')" for n in numbers)
    athena.run(
        f"create table b (n bigint, s string) partitioned by (bucket(16, n), bucket(1000, s)) "
        f"location 's3://{athena.bucket}/b/' tblproperties ('table_type'='iceberg')"
    )
    athena.run(f"insert into b select n, 'iceberg' from (values {listed}) as v (n)")

    files = theirs(athena, shared_server, "b").inspect.files()
    found = {}
    for path, data in zip(
        files["file_path"].to_pylist(), files["partition"].to_pylist(), strict=True
    ):
        text = athena.rows(f"select n from b where \"$path\" = '{path}'")
        found |= {row[0]: (data["n_bucket"], data["s_bucket"]) for row in text}
    number = BucketTransform(16).transform(LongType())
    assert BucketTransform(1000).transform(StringType())("iceberg") == 1210000089 % 1000
    assert found == {None if n is None else str(n): (number(n), 1210000089 % 1000) for n in numbers}


@pytest.mark.parametrize("partitioning", ["bucket(d, 4)", "bucket(x)", "bucket(4)", "void(x)"])
def test_partitioning_that_is_not_understood_is_refused(athena: Athena, partitioning: str):
    said = athena.failure(
        "create table bad with (table_type='iceberg', is_external=false, "
        f"location='s3://{athena.bucket}/bad/', partitioning=array['{partitioning}']) as "
        "select 1 as x, decimal '1.5' as d"
    )

    assert said.startswith(("NOT_SUPPORTED", "INVALID_TABLE_PROPERTY"))


# ------------------------------------------------------------------------------ OPTIMIZE, DDL


def test_optimize_where_rewrites_the_partitions_that_meet_it(athena: Athena):
    athena.run(
        "create table o (x bigint comment 'the x', k string, d date) partitioned by (k, d) "
        f"location 's3://{athena.bucket}/o/' tblproperties ('table_type'='iceberg')"
    )
    for x in (1, 2, 3):
        athena.run(f"insert into o values ({x}, 'a', date '2024-01-01'), ({x}, 'b', null)")
    files = 'select partition.k, file_count from "o$partitions" order by 1'

    athena.run("optimize o rewrite data using bin_pack where k = 'a' and d > date '2023-12-31'")
    some = athena.rows(files)
    said = athena.failure("optimize o rewrite data using bin_pack where x = 1")
    athena.run("optimize o rewrite data using bin_pack where d is null")

    assert some == [("a", "1"), ("b", "3")]
    assert athena.rows(files) == [("a", "1"), ("b", "1")]
    assert athena.rows("select k, sum(x) from o group by k order by k") == [("a", "6"), ("b", "6")]
    assert "Unexpected FilterNode found in plan" in said


def test_a_new_table_keeps_comments_and_properties(athena: Athena, shared_server):
    athena.run(
        "create table o (x bigint comment 'the x') "
        f"location 's3://{athena.bucket}/o/' tblproperties ('table_type'='iceberg', "
        "'vacuum_min_snapshots_to_keep'='5', 'write_compression'='gzip')"
    )
    table = theirs(athena, shared_server, "o")

    assert table.schema().find_field("x").doc == "the x"
    assert table.properties["vacuum_min_snapshots_to_keep"] == "5"
    assert table.properties["write.parquet.compression-codec"] == "gzip"
    assert "Unsupported table property key: colour" in athena.failure(
        f"create table p (x bigint) location 's3://{athena.bucket}/p/' "
        "tblproperties ('table_type'='iceberg', 'colour'='red')"
    )
    assert athena.failure("alter table o replace columns (y bigint)").startswith("NOT_SUPPORTED")


# ------------------------------------------------------------------------------ time travel


def test_time_travel_to_a_computed_moment(athena: Athena, table: str):
    first, second, _ = athena.rows('select snapshot_id, committed_at from "t$snapshots" order by 2')

    now = athena.value("select count(*) from t for timestamp as of current_timestamp")
    before = athena.value(
        f"select count(*) from t for timestamp as of timestamp '{second[1]}' + interval '0' second"
    )
    by_id = athena.value(f"select count(*) from t for version as of {first[0]}")
    too_early = athena.failure(
        "select * from t for timestamp as of (current_timestamp - interval '1' day)"
    )

    assert (now, before, by_id) == ("4", "5", "4")
    assert "No version history table" in too_early
    assert athena.failure("select * from t for timestamp as of 5").startswith("TYPE_MISMATCH")


# ------------------------------------------------------------------------------ delete files


class _Deletes(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


def delete_rows(table, s3, rows: dict[str, list[int]], content=DataFileContent.POSITION_DELETES):
    """Merge-on-read: a commit of one file that names deleted rows, as Athena and Spark write it."""
    data = io.BytesIO()
    listed = [(path, row) for path in sorted(rows) for row in rows[path]]
    pq.write_table(
        pa.table({"file_path": [p for p, _ in listed], "pos": [r for _, r in listed]}), data
    )
    uri = f"{table.location()}/data/{uuid.uuid4()}-deletes.parquet"
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    s3.put_object(Bucket=bucket, Key=key, Body=data.getvalue())
    (example, *_) = table.scan().plan_files()
    file = DataFile.from_args(
        content=content, file_path=uri, file_format=FileFormat.PARQUET,
        partition=example.file.partition, record_count=len(listed),
        file_size_in_bytes=len(data.getvalue()), column_sizes={}, value_counts={},
        null_value_counts={}, nan_value_counts={}, lower_bounds={}, upper_bounds={},
        key_metadata=None, split_offsets=None, sort_order_id=None,
        equality_ids=[1] if content == DataFileContent.EQUALITY_DELETES else None,
    )  # fmt: skip
    file.spec_id = 0
    with table.transaction() as change:
        append = change.update_snapshot().fast_append()
        append.new_manifest_writer = lambda spec: _Deletes(
            spec, table.schema(), append.new_manifest_output(), append.snapshot_id, "deflate"
        )
        append.append_data_file(file)
        append.commit()


@pytest.fixture
def plain(athena: Athena) -> str:
    athena.run(
        "create table p with (table_type='iceberg', is_external=false, "
        f"location='s3://{athena.bucket}/p/') as select x from unnest(sequence(0, 9)) as u (x)"
    )
    athena.run("insert into p values 10, 11")
    return "p"


def test_rows_that_others_deleted_stay_away(athena: Athena, plain: str, s3, shared_server):
    first = athena.value('select "$path" from p where x = 0')
    second = athena.value('select "$path" from p where x = 10')
    table = theirs(athena, shared_server, "p")
    delete_rows(table, s3, {first: [0, 3, 9], second: [1]})
    expected = sorted(theirs(athena, shared_server, "p").scan().to_arrow()["x"].to_pylist())

    def ours() -> list[int]:
        return [int(x) for (x,) in athena.rows("select x from p order by x")]

    assert ours() == expected == [1, 2, 4, 5, 6, 7, 8, 10]
    assert athena.value("select count(*) from p") == "8"
    assert athena.value("select count(*) from p where x in (0, 10)") == "1"

    athena.run("update p set x = 100 where x = 2")
    assert ours() == [1, 4, 5, 6, 7, 8, 10, 100]
    athena.run("insert into p values 200")
    athena.run("optimize p rewrite data using bin_pack")
    assert ours() == [1, 4, 5, 6, 7, 8, 10, 100, 200]
    assert sorted(theirs(athena, shared_server, "p").scan().to_arrow()["x"].to_pylist()) == ours()
    content = athena.rows('select content, count(*) from "p$files" group by 1 order by 1')
    assert content == [("0", "1"), ("1", "1")]


def test_deletes_by_value_are_refused(athena: Athena, plain: str, s3, shared_server):
    table = theirs(athena, shared_server, "p")
    delete_rows(table, s3, {"x": [1]}, DataFileContent.EQUALITY_DELETES)

    assert "equality deletes" in athena.failure("select * from p")
