"""DDL that changes what is there, and what SHOW and DESCRIBE say of Iceberg tables."""

import io

import pyarrow.parquet as pq
import pytest

from local_aws.tests.athena import Athena


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


@pytest.fixture
def iceberg(athena: Athena) -> str:
    athena.run(
        "create table i (x bigint comment 'the x', k string, d timestamp, z int) partitioned by "
        f"(k, bucket(4, x), day(d)) location 's3://{athena.bucket}/i' "
        "tblproperties ('table_type'='iceberg', 'vacuum_min_snapshots_to_keep'='5')"
    )
    return "i"


def lines(athena: Athena, sql: str) -> list[str]:
    found = athena.results(athena.run(sql)["QueryExecutionId"])
    return [row["Data"][0]["VarCharValue"] for row in found["Rows"]]


def test_what_show_create_table_prints_makes_the_same_iceberg_table(athena: Athena, iceberg: str):
    athena.run("alter table i drop column z")
    shown = lines(athena, "show create table i")

    athena.run("drop table i")
    athena.run("\n".join(shown))

    assert shown[:4] == [
        f"CREATE TABLE {athena.database}.i (", "  x bigint COMMENT 'the x',", "  k string,",
        "  d timestamp)",
    ]  # fmt: skip
    assert shown[4] == "PARTITIONED BY (`k`, bucket(4, `x`), day(`d`))"
    assert lines(athena, "show create table i") == shown
    assert [line.strip() for line in lines(athena, "show columns in i")] == ["x", "k", "d"]


def test_describe_tells_the_partitioning_of_an_iceberg_table(athena: Athena, iceberg: str):
    found = lines(athena, "describe i")

    assert found[:2] == ["# Table schema:\t\t", "# col_name\tdata_type\tcomment"]
    assert [cell.strip() for cell in found[2].split("\t")] == ["x", "bigint", "the x"]
    assert found[-3:] == ["k\tidentity\tk", "x_bucket\tbucket[4]\tx", "d_day\tday\td"]


def test_properties_of_iceberg_tables_come_and_go(athena: Athena, iceberg: str):
    athena.run("alter table i set tblproperties ('vacuum_max_snapshot_age_seconds'='60')")
    assert "  'vacuum_max_snapshot_age_seconds'='60'" in lines(athena, "show create table i")

    athena.run(
        "alter table i unset tblproperties ('vacuum_max_snapshot_age_seconds', "
        "'vacuum_min_snapshots_to_keep')"
    )

    assert not any("vacuum" in line for line in lines(athena, "show create table i"))


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("alter table i drop column k", "NOT_SUPPORTED: Cannot drop partition field: k"),
        ("alter table i drop column nope", "COLUMN_NOT_FOUND"),
        ("alter table i change column x x string", "NOT_SUPPORTED"),
        ("alter table i add columns (x int)", "COLUMN_ALREADY_EXISTS"),
        ("alter table i set tblproperties ('colour'='red')",
         "GENERIC_USER_ERROR: Unsupported table property key: colour"),
        ("alter table i unset tblproperties ('colour')",
         "GENERIC_USER_ERROR: Unsupported table property key: colour"),
        ("alter database nowhere set dbproperties ('a'='b')", "FAILED: SemanticException"),
    ],
)  # fmt: skip
def test_changes_that_are_refused(athena: Athena, iceberg: str, statement: str, reason: str):
    assert athena.failure(statement).startswith(reason)


def test_a_partition_moves_and_gets_another_value(athena: Athena, s3, glue):
    athena.run(
        "create external table e (a int) partitioned by (k string) row format delimited fields "
        f"terminated by ',' location 's3://{athena.bucket}/e/'"
    )
    s3.put_object(Bucket=athena.bucket, Key="other/1.csv", Body=b"7\n")
    athena.run("alter table e add partition (k='1')")

    athena.run("alter table e partition (k='1') rename to partition (k='2')")
    athena.run(f"alter table e partition (k='2') set location 's3://{athena.bucket}/other/'")

    assert athena.rows("select a, k from e") == [("7", "2")]
    assert "Partition not found" in athena.failure(
        "alter table e partition (k='1') set location 's3://x/y/'"
    )


def test_properties_of_a_database_are_added_to_those_it_has(athena: Athena, glue):
    athena.run(f"alter database {athena.database} set dbproperties ('a'='1', 'b'='2')")
    athena.run(f"alter schema {athena.database} set dbproperties ('b'='3')")

    found = glue.get_database(Name=athena.database)["Database"]
    assert found["Parameters"] == {"a": "1", "b": "3"}


def test_a_level_of_compression_is_for_zstd(athena: Athena, s3):
    select = "select cast(x as varchar) || 'some text' as s from unnest(sequence(1, 5000)) as u (x)"
    for level in (1, 22):
        athena.run(
            f"create table l{level} with (write_compression='zstd', compression_level={level}, "
            f"external_location='s3://{athena.bucket}/l{level}/') as {select}"
        )

    def size(prefix: str) -> int:
        (found,) = s3.list_objects_v2(Bucket=athena.bucket, Prefix=prefix)["Contents"]
        body = s3.get_object(Bucket=athena.bucket, Key=found["Key"])["Body"].read()
        assert pq.read_metadata(io.BytesIO(body)).row_group(0).column(0).compression == "ZSTD"
        return found["Size"]

    assert size("l22/") < size("l1/")
    assert athena.failure(
        "create table bad with (write_compression='gzip', compression_level=3) as select 1 as a"
    ).startswith("INVALID_TABLE_PROPERTY")
