"""Tables of files: external ones that others wrote, CTAS, INSERT, views, partitions."""

import datetime
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local_aws.tests.athena import Athena

PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


def put_parquet(s3, bucket: str, key: str, **columns) -> int:
    path = Path(f"/tmp/{os.urandom(8).hex()}.parquet")
    pq.write_table(pa.table(columns), path)
    s3.upload_file(str(path), bucket, key)
    size = path.stat().st_size
    path.unlink()
    return size


def create_table(glue, database: str, name: str, location: str, columns, *, serde=PARQUET,
                 keys=(), parameters=None, serde_parameters=None) -> None:  # fmt: skip
    glue.create_table(
        DatabaseName=database,
        TableInput={
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", **(parameters or {})},
            "PartitionKeys": [{"Name": n, "Type": t} for n, t in keys],
            "StorageDescriptor": {
                "Columns": [{"Name": n, "Type": t} for n, t in columns],
                "Location": location,
                "SerdeInfo": {
                    "SerializationLibrary": serde,
                    "Parameters": serde_parameters or {},
                },
            },
        },
    )


def test_the_catalogue_declares_the_types_not_the_file(athena: Athena, s3, glue):
    put_parquet(
        s3, athena.bucket, "t/a.parquet",
        N=pa.array([1], pa.int32()),
        at=pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5, 678600)], pa.timestamp("us", tz="UTC")),
        b=pa.array([b"\x01\xff"], pa.binary(2)),
        unused=pa.array(["x"]),
    )  # fmt: skip
    create_table(
        glue, athena.database, "t", f"s3://{athena.bucket}/t/",
        [("n", "bigint"), ("at", "timestamp"), ("b", "binary"), ("missing", "array<string>")],
    )  # fmt: skip

    rows = athena.rows("select *, typeof(n), to_hex(b) from t")

    assert rows == [("1", "2024-01-02 03:04:05.679", "01 ff", None, "bigint", "01FF")]


def test_files_that_grew_a_column_are_read_together(athena: Athena, s3, glue):
    put_parquet(s3, athena.bucket, "t/1.parquet", x=pa.array([1]))
    put_parquet(s3, athena.bucket, "t/2.parquet", y=pa.array(["new"]), x=pa.array([2]))
    put_parquet(s3, athena.bucket, "t/_not_data", x=pa.array([99]))
    create_table(
        glue, athena.database, "t", f"s3://{athena.bucket}/t",
        [("x", "bigint"), ("y", "string")],
    )  # fmt: skip

    rows = athena.rows("select x, y from t order by x")

    assert rows == [("1", None), ("2", "new")]


def test_a_file_of_an_incompatible_type_is_bad_data(athena: Athena, s3, glue):
    put_parquet(s3, athena.bucket, "t/1.parquet", x=pa.array(["text"]))
    create_table(glue, athena.database, "t", f"s3://{athena.bucket}/t/", [("x", "bigint")])

    assert athena.failure("select x from t").startswith("HIVE_BAD_DATA")


def test_an_external_table_without_files_has_no_rows_and_its_types(athena: Athena, glue):
    create_table(
        glue, athena.database, "t", f"s3://{athena.bucket}/empty/",
        [("x", "bigint"), ("d", "decimal(10,2)")],
    )  # fmt: skip

    assert athena.rows("select * from t") == []
    assert athena.types("select * from t") == ["bigint", "decimal"]
    assert athena.value("select count(*) from t") == "0"


def test_json_table_with_arrays_of_structs(athena: Athena, s3, glue):
    lines = [
        {"Seq": 1, "names": ["a", "b"], "days": [{"dt": "2024-01-01", "rows": 2}], "o": {"z": 1}},
        {"Seq": 2},
    ]
    s3.put_object(
        Bucket=athena.bucket, Key="j/1.json", Body="\n".join(map(json.dumps, lines)).encode()
    )
    create_table(
        glue, athena.database, "j", f"s3://{athena.bucket}/j/",
        [("seq", "bigint"), ("names", "array<string>"),
         ("days", "array<struct<dt:string,rows:bigint>>"), ("o", "string")],
        serde="org.openx.data.jsonserde.JsonSerDe",
    )  # fmt: skip

    rows = athena.rows("select seq, names, o from j order by seq")
    days = athena.rows("select seq, d.dt, d.n from j cross join unnest(days) as d (dt, n)")

    assert rows == [("1", "[a, b]", '{"z":1}'), ("2", None, None)]
    assert days == [("1", "2024-01-01", "2")]


def test_many_small_files_of_json_are_read_as_one(athena: Athena, s3, glue):
    """Some without a newline at the end; a large one, and one that is no data."""
    for number in range(40):
        body = json.dumps({"n": number, "s": "é" * number}) + ("\n" if number % 2 else "")
        s3.put_object(Bucket=athena.bucket, Key=f"many/{number}.json", Body=body.encode())
    large = "\n".join(json.dumps({"n": -1, "s": "x" * 1000}) for _ in range(1500))
    s3.put_object(Bucket=athena.bucket, Key="many/large.json", Body=large.encode())
    s3.put_object(Bucket=athena.bucket, Key="many/_temporary", Body=b'{"n": 1000}')
    create_table(
        glue, athena.database, "many", f"s3://{athena.bucket}/many/",
        [("n", "bigint"), ("s", "string")], serde="org.openx.data.jsonserde.JsonSerDe",
    )  # fmt: skip

    execution = athena.run("select n from many")
    rows = athena.rows("select count(*), sum(n), sum(length(s)) from many")
    listed = s3.list_objects_v2(Bucket=athena.bucket, Prefix="many/")["Contents"]

    assert rows == [("1540", str(sum(range(40)) - 1500), str(sum(range(40)) + 1_500_000))]
    assert execution["Statistics"]["DataScannedInBytes"] == sum(
        o["Size"] for o in listed if "_temporary" not in o["Key"]
    )


def test_csv_table_as_dbt_seeds_write_it(athena: Athena, s3):
    s3.put_object(Bucket=athena.bucket, Key="c/1.csv", Body=b'"id","name"\n1,"a ""b"", c"\n2,""\n')
    athena.run(
        f"create external table `{athena.database}`.`c` (`id` string, `name` string) "
        "row format serde 'org.apache.hadoop.hive.serde2.OpenCSVSerde' "
        f"location 's3://{athena.bucket}/c' tblproperties ('skip.header.line.count'='1')"
    )

    rows = athena.rows("select cast(id as integer), nullif(name, '') from c order by 1")

    assert rows == [("1", 'a "b", c'), ("2", None)]


def test_delimited_table_keeps_null_apart_from_empty(athena: Athena, s3):
    s3.put_object(Bucket=athena.bucket, Key="d/1.tsv", Body=b"1\tx\n\\N\t\nbad\ty\n")
    athena.run(
        f"create external table d (n int, s string) row format delimited fields terminated by "
        f"'\\t' location 's3://{athena.bucket}/d/'"
    )

    rows = athena.rows("select n, s from d order by s")

    assert rows == [(None, ""), ("1", "x"), (None, "y")]


@pytest.fixture
def days(athena: Athena, s3, glue) -> Athena:
    """A projected table of ten days; one more folder lies outside the projected range."""
    for day in range(1, 11):
        put_parquet(
            s3, athena.bucket, f"p/dt=2024-01-{day:02d}/a.parquet",
            n=pa.array(range(1000)), pad=pa.array([os.urandom(16).hex() for _ in range(1000)]),
        )  # fmt: skip
    put_parquet(s3, athena.bucket, "p/dt=1999-01-01/a.parquet", n=pa.array([1]),
                pad=pa.array([""]))  # fmt: skip
    create_table(
        glue, athena.database, "p", f"s3://{athena.bucket}/p/",
        [("n", "bigint"), ("pad", "string")], keys=[("dt", "string")],
        parameters={
            "projection.enabled": "true", "projection.dt.type": "date",
            "projection.dt.format": "yyyy-MM-dd", "projection.dt.range": "2015-01-01,NOW+2DAYS",
            "storage.location.template": f"s3://{athena.bucket}/p/dt=${{dt}}/",
        },
    )  # fmt: skip
    return athena


def test_projection_hides_what_is_outside_its_range(days: Athena):
    rows = days.rows("select count(*), min(dt), max(dt) from p")

    assert rows == [("10000", "2024-01-01", "2024-01-10")]


@pytest.mark.parametrize(
    ("where", "partitions"),
    [
        ("dt = '2024-01-03'", 1),
        ("dt in ('2024-01-03', '2024-01-04')", 2),
        ("dt between '2024-01-02' and '2024-01-04' and n >= 0", 3),
        ("date(dt) > date '2024-01-08'", 2),
        ("substr(dt, 9) = '05' or dt = '2024-01-06'", 2),
        ("dt = '2024-01-03' or n = -1", 10),
        ("dt > '2024'", 10),
    ],
)
def test_only_files_of_the_wanted_partitions_are_read(days: Athena, where: str, partitions: int):
    everything = days.run("select sum(n) from p")["Statistics"]["DataScannedInBytes"]

    some = days.run(f"select sum(n) from p where {where}")["Statistics"]["DataScannedInBytes"]

    assert some / everything == pytest.approx(partitions / 10, rel=0.05)


def test_bytes_scanned_are_those_of_the_needed_columns(days: Athena, s3):
    def chunks(column: int) -> int:
        total = 0
        for day in range(1, 11):
            path = Path(f"/tmp/{os.urandom(8).hex()}")
            s3.download_file(days.bucket, f"p/dt=2024-01-{day:02d}/a.parquet", str(path))
            group = pq.read_metadata(path).row_group(0)
            total += group.column(column).total_compressed_size
            path.unlink()
        return total

    n = days.run("select sum(n) from p")["Statistics"]["DataScannedInBytes"]
    both = days.run("select max(pad), sum(n) from p")["Statistics"]["DataScannedInBytes"]

    assert n == chunks(0)
    assert both == chunks(0) + chunks(1)


@pytest.mark.parametrize(
    ("kind", "options", "wanted"),
    [
        ("integer", {"range": "1,9"}, ["1", "2"]),
        ("integer", {"range": "2,9"}, ["2"]),
        ("enum", {"values": "1,x"}, ["1"]),
    ],
)
def test_projection_of_integers_and_enums(
    athena: Athena, s3, glue, kind: str, options: dict, wanted: list[str]
):
    for key in (1, 2, 77):
        put_parquet(s3, athena.bucket, f"k/{key}/a.parquet", n=pa.array([key]))
    create_table(
        glue, athena.database, "k", f"s3://{athena.bucket}/k/", [("n", "bigint")],
        keys=[("key", "int" if kind == "integer" else "string")],
        parameters={
            "projection.enabled": "true", "projection.key.type": kind,
            **{f"projection.key.{name}": value for name, value in options.items()},
            "storage.location.template": f"s3://{athena.bucket}/k/${{key}}/",
        },
    )  # fmt: skip

    assert athena.rows("select n, key from k order by n") == [(n, n) for n in wanted]


def test_an_injected_column_needs_a_value(athena: Athena, s3, glue):
    for key in ("a", "b"):
        put_parquet(s3, athena.bucket, f"k/{key}/f.parquet", n=pa.array([1]))
    create_table(
        glue, athena.database, "k", f"s3://{athena.bucket}/k/", [("n", "bigint")],
        keys=[("key", "string")],
        parameters={
            "projection.enabled": "true", "projection.key.type": "injected",
            "storage.location.template": f"s3://{athena.bucket}/k/${{key}}/",
        },
    )  # fmt: skip

    assert athena.rows("select n, key from k where key = 'b'") == [("1", "b")]
    assert athena.failure("select n from k").startswith("CONSTRAINT_VIOLATION")


def test_glue_partitions_may_lie_anywhere(athena: Athena, s3, glue):
    put_parquet(s3, athena.bucket, "here/f", n=pa.array([1]))
    put_parquet(s3, athena.bucket, "there/f", n=pa.array([2]))
    athena.run(
        f"create external table g (n bigint) partitioned by (d date) stored as parquet "
        f"location 's3://{athena.bucket}/nowhere/'"
    )
    athena.run(
        f"alter table g add partition (d='2024-01-01') location 's3://{athena.bucket}/here/' "
        f"partition (d='2024-01-02') location 's3://{athena.bucket}/there/'"
    )

    assert athena.rows("select n, d from g where d > date '2024-01-01'") == [("2", "2024-01-02")]


def test_an_outer_join_does_not_lose_rows_to_pruning(days: Athena):
    value = days.value(
        "select count(*) from (values '2024-01-01', '2030-01-01') as w (d)"
        " left join (select distinct dt from p) as h on w.d = h.dt where h.dt is null"
    )
    direct = days.value(
        "select count(*) from (values '2024-01-01', '2030-01-01') as w (d)"
        " left join p on w.d = p.dt where p.dt is null"
    )

    assert (value, direct) == ("1", "1")


def test_a_work_group_stops_a_query_that_reads_too_much(athena: Athena, s3, glue):
    size = put_parquet(
        s3, athena.bucket, "big/1.parquet", x=pa.array([os.urandom(500) for _ in range(30_000)])
    )
    create_table(glue, athena.database, "big", f"s3://{athena.bucket}/big/", [("x", "binary")])
    name = f"small-{os.urandom(4).hex()}"
    athena.client.create_work_group(
        Name=name, Configuration={"BytesScannedCutoffPerQuery": 10_000_000}
    )

    said = athena.failure("select max(x) from big", WorkGroup=name)

    assert size > 10_000_000
    assert "bytes scanned limit" in said
    assert athena.run("select count(*) from big", WorkGroup=name)


# ------------------------------------------------------------------------------ CTAS, INSERT


def test_ctas_writes_partitions_that_glue_and_readers_know(athena: Athena, s3, glue):
    execution = athena.run(
        f"create table t with (format='parquet', external_location='s3://{athena.bucket}/t/', "
        "partitioned_by=array['p']) as select x, cast(x as varchar) as s, x % 2 as p "
        "from unnest(sequence(1, 5)) as u (x)"
    )

    found = athena.client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    partitions = glue.get_partitions(DatabaseName=athena.database, TableName="t")["Partitions"]
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=athena.bucket, Prefix="t/")["Contents"]]
    assert found["UpdateCount"] == 5
    assert execution["StatementType"] == "DDL"
    assert execution["SubstatementType"] == "CREATE_TABLE_AS_SELECT"
    assert sorted(p["Values"] for p in partitions) == [["0"], ["1"]]
    assert {key.split("/")[1] for key in keys} == {"p=0", "p=1"}
    assert athena.rows("select p, sum(x) from t where p = 1 group by 1") == [("1", "9")]
    columns = glue.get_table(DatabaseName=athena.database, Name="t")["Table"]
    assert [(c["Name"], c["Type"]) for c in columns["StorageDescriptor"]["Columns"]] == [
        ("x", "bigint"), ("s", "string"),
    ]  # fmt: skip


def test_insert_adds_files_and_partitions(athena: Athena, glue):
    athena.run(
        f"create table t with (external_location='s3://{athena.bucket}/t/', "
        "partitioned_by=array['p']) as select 1 as x, 'a' as p"
    )

    execution = athena.run("insert into t (p, x) select 'b', 2 union all select 'a', 3")

    found = athena.client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert found["UpdateCount"] == 2
    assert athena.rows("select x, p from t order by x") == [("1", "a"), ("2", "b"), ("3", "a")]
    partitions = glue.get_partitions(DatabaseName=athena.database, TableName="t")["Partitions"]
    assert len(partitions) == 2


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("create table t as select 1", "MISSING_COLUMN_NAME"),
        ("create table t as select 1 as a, 2 as a", "DUPLICATE_COLUMN_NAME"),
        ("create table t as select null as a", "COLUMN_TYPE_UNKNOWN"),
        ("create table t as select now() as a", "NOT_SUPPORTED: Unsupported Hive type"),
        ("create table t as select timestamp '2024-01-01 00:00:00.123456' as a",
         "NOT_SUPPORTED: Incorrect timestamp precision for timestamp(6)"),
        ("create table t with (partitioned_by=array['a']) as select 1 as a, 2 as b",
         "HIVE_COLUMN_ORDER_MISMATCH"),
        ("create table t with (partitioned_by=array['x']) as select x, x as y, x as x2, x as p "
         "from unnest(sequence(1, 3)) as u (x)", "HIVE_COLUMN_ORDER_MISMATCH"),
        ("create table t with (partitioned_by=array['p']) as select x, x as p "
         "from unnest(sequence(1, 101)) as u (x)", "HIVE_TOO_MANY_OPEN_PARTITIONS"),
        ("create table t with (format='avro') as select 1 as a", "NOT_SUPPORTED"),
        ("create table t with (nonsense='x') as select 1 as a", "INVALID_TABLE_PROPERTY"),
        ("create table nowhere.t as select 1 as a", "SCHEMA_NOT_FOUND"),
    ],
)  # fmt: skip
def test_ctas_that_athena_refuses_leaves_nothing(athena: Athena, glue, s3, statement, reason):
    said = athena.failure(statement)

    assert said.startswith(reason)
    assert glue.get_tables(DatabaseName=athena.database)["TableList"] == []
    listed = s3.list_objects_v2(Bucket=athena.bucket).get("Contents", [])
    assert [o["Key"] for o in listed if "/tables/" in o["Key"]] == []


def test_ctas_into_a_table_or_place_that_is_taken_fails(athena: Athena):
    athena.run(
        f"create table t with (external_location='s3://{athena.bucket}/t/') as select 1 as a"
    )

    again = athena.failure("create table t as select 1 as a")
    place = athena.failure(
        f"create table u with (external_location='s3://{athena.bucket}/t/') as select 1 as a"
    )

    assert again.startswith("TABLE_ALREADY_EXISTS")
    assert place.startswith("HIVE_PATH_ALREADY_EXISTS")


def test_insert_of_the_wrong_types_fails(athena: Athena):
    athena.run("create table t as select 1 as a, 'x' as b")

    said = athena.failure("insert into t select 'x', 1")

    assert "Insert query has mismatched column types" in said


def test_drop_table_leaves_the_files(athena: Athena, s3):
    athena.run(
        f"create table t with (external_location='s3://{athena.bucket}/t/') as select 1 as a"
    )

    athena.run("drop table t")

    assert athena.failure("select * from t").startswith("TABLE_NOT_FOUND")
    assert s3.list_objects_v2(Bucket=athena.bucket, Prefix="t/")["KeyCount"] == 1


# ------------------------------------------------------------------------------ views, DDL


def test_a_view_is_stored_as_athena_stores_it(athena: Athena, glue):
    athena.run("create or replace view v as select 1 as a, 'x' as b")

    table = glue.get_table(DatabaseName=athena.database, Name="v")["Table"]
    assert table["TableType"] == "VIRTUAL_VIEW"
    assert table["ViewOriginalText"].startswith("/* Presto View: ")
    assert table["ViewExpandedText"] == "/* Presto View */"
    assert athena.rows("select b, a from v") == [("x", "1")]
    assert athena.rows(f'select v.a from "awsdatacatalog"."{athena.database}"."v"') == [("1",)]


def test_a_view_looks_names_up_where_it_was_created(athena: Athena, glue):
    other = f"other_{os.urandom(4).hex()}"
    glue.create_database(DatabaseInput={"Name": other})
    athena.run("create table t as select 7 as a")
    athena.run("create view v as select a from t")

    home = athena.database
    athena.database = other

    assert athena.value(f"select a from {home}.v") == "7"


def test_ddl_shows_what_it_did(athena: Athena):
    athena.run(
        f"create external table e (a int, b string) partitioned by (dt string) "
        f"stored as parquet location 's3://{athena.bucket}/e/'"
    )
    athena.run("alter table e add columns (c double)")
    athena.run("alter table e add if not exists partition (dt='2024-01-01')")
    athena.run("alter table e set tblproperties ('note'='x')")

    def lines(sql: str) -> list[str]:
        found = athena.results(athena.run(sql)["QueryExecutionId"])
        return [row["Data"][0]["VarCharValue"] for row in found["Rows"]]

    assert lines("show tables") == ["e"]
    assert [line.split("\t")[0].strip() for line in lines("describe e")][:4] == [
        "a",
        "b",
        "c",
        "dt",
    ]
    assert lines("show partitions e") == ["dt=2024-01-01"]
    assert "  `c` double)" in lines("show create table e")
    assert [c.strip() for c in lines("show columns in e")] == ["a", "b", "c", "dt"]
    athena.run("alter table e drop partition (dt='2024-01-01')")
    assert lines("show partitions e") == []


def test_msck_repair_finds_partitions_by_their_folders(athena: Athena, s3):
    athena.run(
        f"create external table e (a bigint) partitioned by (dt string) stored as parquet "
        f"location 's3://{athena.bucket}/e/'"
    )
    put_parquet(s3, athena.bucket, "e/dt=2024-01-01/x", a=pa.array([5]))
    assert athena.value("select count(*) from e") == "0"

    athena.run("msck repair table e")

    assert athena.rows("select a, dt from e") == [("5", "2024-01-01")]


def test_information_schema_lists_tables_and_columns(athena: Athena):
    athena.run("create table t as select 1 as a, cast('x' as varchar) as b")
    athena.run("create view v as select a from t")

    tables = athena.rows(
        f"select table_name, table_type from information_schema.tables "
        f"where table_schema = '{athena.database}' order by 1"
    )
    columns = athena.rows(
        f"select column_name, data_type from information_schema.columns "
        f"where table_schema = '{athena.database}' and table_name = 't' order by ordinal_position"
    )

    assert tables == [("t", "BASE TABLE"), ("v", "VIEW")]
    assert columns == [("a", "integer"), ("b", "varchar")]
