"""What CTAS, INSERT and UNLOAD write, as others read it: formats, compression, buckets."""

import csv
import gzip
import io
import json
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from local_aws.tests.athena import Athena

ROWS = [
    {"x": x, "s": s, "d": "2024-02-29", "q": q, "k": k}
    for x, s, q, k in [(1, 'é "q", ;', 1.25, "a"), (2, None, -2.5, "b"), (3, "", 0.0, "a")]
]
SELECT = (
    "select x, s, d, q, k from (values (bigint '1', 'é \"q\", ;', date '2024-02-29', "
    "decimal '1.25', 'a'), (2, null, date '2024-02-29', -2.5, 'b'), "
    "(3, '', date '2024-02-29', 0.0, 'a')) as v (x, s, d, q, k)"
)


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


def objects(athena: Athena, s3, prefix: str) -> dict[str, bytes]:
    """Keys below a prefix, without it, and their bytes."""
    listed = s3.list_objects_v2(Bucket=athena.bucket, Prefix=prefix).get("Contents", [])
    return {
        o["Key"].removeprefix(prefix): s3.get_object(Bucket=athena.bucket, Key=o["Key"])[
            "Body"
        ].read()
        for o in listed
    }


def plain(rows) -> list[dict]:
    found = [
        {n: str(v) if n == "d" else float(v) if isinstance(v, Decimal) else v for n, v in r.items()}
        for r in rows
    ]
    return sorted(found, key=lambda row: row["x"])


# ------------------------------------------------------------------------------ UNLOAD


def test_unload_writes_parquet_as_told(athena: Athena, s3):
    execution = athena.run(
        f"UNLOAD ({SELECT}) TO 's3://{athena.bucket}/u/' WITH (format = 'PARQUET', "
        "compression = 'SNAPPY')"
    )

    ((_, data),) = objects(athena, s3, "u/").items()
    file = pq.ParquetFile(io.BytesIO(data))
    assert file.metadata.row_group(0).column(0).compression == "SNAPPY"
    assert plain(file.read().to_pylist()) == ROWS
    assert (execution["StatementType"], execution["SubstatementType"]) == ("DML", "UNLOAD")


def test_unload_in_partitions_leaves_their_columns_out(athena: Athena, s3):
    athena.run(
        f"unload ({SELECT}) to 's3://{athena.bucket}/u' "
        "with (format='parquet', partitioned_by=array['k'])"
    )

    found = objects(athena, s3, "u/")
    tables = {key.split("/")[0]: pq.read_table(io.BytesIO(data)) for key, data in found.items()}
    assert sorted(tables) == ["k=a", "k=b"]
    assert tables["k=a"].column_names == ["x", "s", "d", "q"]
    assert sorted(tables["k=a"]["x"].to_pylist()) == [1, 3]


def test_unload_writes_json_lines_in_gzip(athena: Athena, s3):
    athena.run(f"unload ({SELECT}) to 's3://{athena.bucket}/u/' with (format='json')")

    ((key, data),) = objects(athena, s3, "u/").items()
    lines = gzip.decompress(data).decode().splitlines()
    assert key.endswith(".gz")
    assert plain(map(json.loads, lines)) == ROWS


@pytest.mark.parametrize(
    ("options", "delimiter"),
    [("compression='none'", ","), ("field_delimiter='|', compression='none'", "|")],
)
def test_unload_writes_text_without_quotes(athena: Athena, s3, options: str, delimiter: str):
    athena.run(
        f"unload (select x, k, s from ({SELECT}) where x > 1) to 's3://{athena.bucket}/u/' "
        f"with (format='textfile', {options})"
    )

    ((_, data),) = objects(athena, s3, "u/").items()
    lines = list(csv.reader(io.StringIO(data.decode()), delimiter=delimiter))
    assert sorted(lines) == [["2", "b", "\\N"], ["3", "a", ""]]


def test_unload_writes_orc(athena: Athena, s3):
    athena.run(f"unload ({SELECT}) to 's3://{athena.bucket}/u/' with (format='orc')")

    ((_, data),) = objects(athena, s3, "u/").items()
    file = orc.ORCFile(io.BytesIO(data))
    assert file.compression == "ZLIB"
    assert plain(file.read().to_pylist()) == ROWS


def test_unload_of_an_execution_parameter(athena: Athena, s3):
    athena.run(
        f"prepare p from unload (select ? as x) to 's3://{athena.bucket}/u/' with (format='json')"
    )
    athena.run("execute p using 42")

    ((_, data),) = objects(athena, s3, "u/").items()
    assert json.loads(gzip.decompress(data)) == {"x": 42}


def test_unload_leaves_what_is_there_alone(athena: Athena, s3):
    s3.put_object(Bucket=athena.bucket, Key="u/before", Body=b"x")

    said = athena.failure(f"unload ({SELECT}) to 's3://{athena.bucket}/u/' with (format='json')")

    assert said.startswith("HIVE_PATH_ALREADY_EXISTS")
    assert list(objects(athena, s3, "u/")) == ["before"]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("unload (select 1) to '{u}' with (format='json')", "MISSING_COLUMN_NAME"),
        ("unload (select 1 a) to '{u}'", "INVALID_TABLE_PROPERTY"),
        ("unload (select 1 a) to '{u}' with (format='json', location='x')",
         "INVALID_TABLE_PROPERTY"),
        ("unload (select 1 a) to '{u}' with (format='avro')", "NOT_SUPPORTED"),
        ("unload (select 1 a) to '{u}' with (format='json', field_delimiter=',')",
         "INVALID_TABLE_PROPERTY"),
        ("unload (select 1 a) to '{u}' with (format='parquet', compression='zlib')",
         "INVALID_TABLE_PROPERTY"),
        ("unload (select 1 a, 2 b) to '{u}' with (format='json', partitioned_by=array['a'])",
         "HIVE_COLUMN_ORDER_MISMATCH"),
        ("unload (select json '1' a) to '{u}' with (format='json')", "NOT_SUPPORTED"),
        ("unload (select * from unnest(sequence(1, 101)) as u (a), (values 1) as v (b)) to '{u}' "
         "with (format='json', partitioned_by=array['b', 'a'])", "HIVE_COLUMN_ORDER_MISMATCH"),
        ("unload (select b, a from unnest(sequence(1, 101)) as u (a), (values 1) as v (b)) "
         "to '{u}' with (format='json', partitioned_by=array['a'])",
         "HIVE_TOO_MANY_OPEN_PARTITIONS"),
        ("unload select 1 a to '{u}' with (format='json')", "SYNTAX_ERROR"),
        ("unload (select 1 a) into '{u}' with (format='json')", "SYNTAX_ERROR"),
        ("unload (insert into t values 1) to '{u}' with (format='json')", "SYNTAX_ERROR"),
        ("unload (select 1 a) to 'nowhere' with (format='json')", "INVALID_TABLE_PROPERTY"),
        ("unload (select nowhere) to '{u}' with (format='json')", "COLUMN_NOT_FOUND"),
    ],
)  # fmt: skip
def test_unload_that_athena_refuses(athena: Athena, s3, statement: str, reason: str):
    said = athena.failure(statement.format(u=f"s3://{athena.bucket}/u/"))

    assert said.startswith(reason)
    assert objects(athena, s3, "u/") == {}


# ------------------------------------------------------------------------------ CTAS, INSERT


@pytest.mark.parametrize("format_", ["parquet", "orc", "json", "textfile"])
def test_a_table_in_each_format_is_read_as_it_was_written(athena: Athena, format_: str):
    extra = ", field_delimiter=','" if format_ == "textfile" else ""
    text = "timestamp '2024-01-02 03:04:05.678'"
    select = f"select *, {text} as t, x > 1 as b, cast(x as double) / 3 as f from ({SELECT})"
    if format_ == "textfile":
        select = f"select x, d, q, k, t, b, f from ({select})"
    athena.run(f"create table t with (format='{format_}'{extra}) as {select}")
    athena.run("insert into t select * from t where x = 1")

    assert athena.rows("select * from t where x > 1 order by x") == athena.rows(
        f"select * from ({select}) where x > 1 order by x"
    )
    assert athena.value("select count(*) from t") == "4"


def test_an_orc_table_that_others_wrote_is_read_by_its_declared_types(athena: Athena, s3):
    import pyarrow as pa

    data = io.BytesIO()
    orc.write_table(
        pa.table({"N": pa.array([1, None], pa.int32()), "a": [["x"], []], "unused": [1.0, 2.0]}),
        data,
    )
    s3.put_object(Bucket=athena.bucket, Key="o/p=7/1.orc", Body=data.getvalue())
    athena.run(
        "create external table o (n bigint, a array<string>, more string) partitioned by (p int) "
        f"stored as orc location 's3://{athena.bucket}/o/'"
    )
    athena.run("msck repair table o")

    rows = athena.rows('select n, a, more, p, "$path" from o where p = 7 order by n')

    path = f"s3://{athena.bucket}/o/p=7/1.orc"
    assert rows == [("1", "[x]", None, "7", path), (None, "[]", None, "7", path)]
    assert athena.rows("select n from o where p = 8") == []


# ------------------------------------------------------------------------------ buckets


def hive_hash(value) -> int:
    """Hive's hash of a column, version 1, from its description."""
    if value is None:
        return 0
    if isinstance(value, str):
        found = 0
        for byte in value.encode():
            found = (found * 31 + (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
        return found
    bits = value & 0xFFFFFFFFFFFFFFFF
    return (bits ^ (bits >> 32)) & 0xFFFFFFFF


def test_buckets_are_hives(athena: Athena, s3, glue):
    rows = [(n * 12_345_678_901 * (-1) ** n, w) for n, w in enumerate(["", "a", "é", None, "zz"])]
    listed = ", ".join(f"({n}, {'null' if w is None else repr(w)})" for n, w in rows)
    athena.run(
        f"create table t with (external_location='s3://{athena.bucket}/b/', "
        "bucketed_by=array['n', 'w'], bucket_count=8) as select cast(n as bigint) as n, "
        f"cast(w as varchar) as w from (values {listed}) as v (n, w)"
    )

    found = {}
    for key, data in objects(athena, s3, "b/").items():
        for row in pq.read_table(io.BytesIO(data)).to_pylist():
            found[row["n"], row["w"]] = key[:9]
    expected = {
        (n, w): f"{((hive_hash(n) * 31 + hive_hash(w)) & 0x7FFFFFFF) % 8:06d}_0_" for n, w in rows
    }
    descriptor = glue.get_table(DatabaseName=athena.database, Name="t")["Table"][
        "StorageDescriptor"
    ]
    assert found == expected
    assert (descriptor["BucketColumns"], descriptor["NumberOfBuckets"]) == (["n", "w"], 8)
    assert len(athena.rows("select * from t")) == 5
    assert "bucketed table" in athena.failure("insert into t select * from t")


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ("bucketed_by=array['a']", "INVALID_TABLE_PROPERTY"),
        ("bucket_count=3", "INVALID_TABLE_PROPERTY"),
        ("bucketed_by=array['z'], bucket_count=3", "INVALID_TABLE_PROPERTY"),
        ("bucketed_by=array['b'], bucket_count=3, partitioned_by=array['b']",
         "INVALID_TABLE_PROPERTY"),
        ("bucketed_by=array['a'], bucket_count=-1", "INVALID_TABLE_PROPERTY"),
        ("format='avro'", "NOT_SUPPORTED"),
        ("format='json', field_delimiter=','", "INVALID_TABLE_PROPERTY"),
        ("format='textfile', field_delimiter='||'", "INVALID_TABLE_PROPERTY"),
        ("format='orc', orc_compression='gzip'", "INVALID_TABLE_PROPERTY"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_written_like_that(athena: Athena, properties: str, reason: str):
    said = athena.failure(f"create table t with ({properties}) as select 1 as a, 2 as b")

    assert said.startswith(reason)


def test_clustered_by_is_remembered_and_shown(athena: Athena):
    athena.run(
        "create external table c (a int, b string) clustered by (b) into 4 buckets "
        f"stored as parquet location 's3://{athena.bucket}/c/'"
    )

    found = athena.results(athena.run("show create table c")["QueryExecutionId"])["Rows"]
    lines = [row["Data"][0]["VarCharValue"] for row in found]
    at = lines.index("CLUSTERED BY ( ")
    assert lines[at : at + 3] == ["CLUSTERED BY ( ", "  `b`) ", "INTO 4 BUCKETS"]
    assert "Invalid column reference z" in athena.failure(
        "create external table d (a int) clustered by (z) into 4 buckets stored as parquet "
        f"location 's3://{athena.bucket}/d/'"
    )
