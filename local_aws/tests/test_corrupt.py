"""Tables whose files are damaged or gone: a sentence names the object, and nothing else stops."""

import pytest

from local_aws.tests.athena import Athena

CANNOT_OPEN = ("ICEBERG_CANNOT_OPEN_SPLIT: ", "HIVE_CANNOT_OPEN_SPLIT: ")
GARBAGE = b"\x00 this is none of ours " * 40


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


@pytest.fixture
def lake(athena: Athena, s3):
    """A table of files and one of Iceberg, and a way to damage what they are made of."""
    athena.run(
        f"create table files with (external_location='s3://{athena.bucket}/files/') as "
        "select x, 'some text that takes room ' || cast(x as varchar) as t "
        "from unnest(sequence(1, 5000)) as n (x)"
    )
    athena.run(
        f"create table ice with (table_type='iceberg', is_external=false, "
        f"location='s3://{athena.bucket}/ice/') as select x from unnest(sequence(1, 9)) as n (x)"
    )

    def damage(prefix: str, suffix: str, change) -> str:
        for found in s3.list_objects_v2(Bucket=athena.bucket, Prefix=prefix)["Contents"]:
            key = found["Key"]
            if key.endswith(suffix):
                body = s3.get_object(Bucket=athena.bucket, Key=key)["Body"].read()
                changed = change(body)
                s3.delete_object(Bucket=athena.bucket, Key=key)
                if changed is not None:
                    s3.put_object(Bucket=athena.bucket, Key=key, Body=changed)
                return key.rpartition("/")[2]
        raise AssertionError(f"nothing under {prefix} ends in {suffix}")

    return damage


def holed(body: bytes) -> bytes:
    """The data pages are gone, the footer says that they are there."""
    return body[:4] + b"\xff" * 3000 + body[3004:]


@pytest.mark.parametrize(
    ("prefix", "suffix", "change", "sql", "code"),
    [
        ("files/", "", lambda b: GARBAGE, "select * from files", "HIVE_CANNOT_OPEN_SPLIT: "),
        ("files/", "", lambda b: b[:-20], "select * from files", "HIVE_CANNOT_OPEN_SPLIT: "),
        ("files/", "", holed, "select sum(x + length(t)) from files", "HIVE_CURSOR"),
        ("ice/metadata/", ".metadata.json", lambda b: GARBAGE, "select * from ice",
         "ICEBERG_INVALID_METADATA"),
        ("ice/metadata/", ".metadata.json", lambda b: None, "select * from ice",
         "ICEBERG_INVALID_METADATA"),
        ("ice/metadata/snap-", ".avro", lambda b: GARBAGE, "select * from ice",
         "ICEBERG_INVALID_METADATA"),
        ("ice/metadata/snap-", ".avro", lambda b: None, "insert into ice values 1",
         "ICEBERG_INVALID_METADATA"),
        ("ice/data/", ".parquet", lambda b: None, "select * from ice", CANNOT_OPEN),
        ("ice/data/", ".parquet", lambda b: GARBAGE, "select * from ice",
         CANNOT_OPEN),
        ("ice/data/", ".parquet", lambda b: GARBAGE, "delete from ice where x = 1",
         CANNOT_OPEN),
    ],
    ids=["garbage", "cut off", "holes", "metadata garbage", "metadata gone", "list garbage",
         "list gone", "data gone", "data garbage", "data garbage, delete"],
)  # fmt: skip
def test_a_damaged_table_is_named(athena, lake, shared_server, prefix, suffix, change, sql, code):
    name = lake(prefix, suffix, change)

    reason = athena.failure(sql)

    assert reason.startswith(code)
    assert name in reason or "A Parquet file" in reason  # whose pages are damaged nobody says
    assert str(shared_server.data) not in reason
    assert len(reason.splitlines()) == 1
    assert athena.value("select 1") == "1"


@pytest.mark.parametrize(
    ("serde", "body"),
    [
        ("org.openx.data.jsonserde.JsonSerDe", b'{"x": 1}\n{"x": '),
        ("org.openx.data.jsonserde.JsonSerDe", b'{"x": 1}\n{"x": "text"}\n'),
    ],
    ids=["cut off", "another type"],
)
def test_a_damaged_file_of_lines_is_bad_data(athena, s3, shared_server, serde, body):
    s3.put_object(Bucket=athena.bucket, Key="lines/one", Body=body)
    athena.run(
        f"create external table l (x int) row format serde '{serde}' "
        f"location 's3://{athena.bucket}/lines/'"
    )

    reason = athena.failure("select sum(x) from l")

    assert reason.startswith(("HIVE_BAD_DATA: ", "HIVE_CURSOR_ERROR: "))
    assert "lines/one" in reason
    assert str(shared_server.data) not in reason


def test_an_object_whose_bytes_were_removed_from_the_disk(athena, lake, s3, shared_server):
    (path,) = (shared_server.data / "objects" / athena.bucket / "files").iterdir()
    path.unlink()

    reason = athena.failure("select * from files")

    assert reason.startswith("HIVE_CANNOT_OPEN_SPLIT: ")
    assert path.name.rsplit("~", 1)[0] in reason
    assert str(shared_server.data) not in reason


def test_an_entry_of_the_catalogue_that_makes_no_sense(athena, glue):
    glue.create_table(DatabaseName=athena.database, TableInput={"Name": "empty"})
    glue.create_table(
        DatabaseName=athena.database,
        TableInput={
            "Name": "odd", "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": {
                "Columns": [{"Name": "x", "Type": "nonsense<"}], "Location": "nowhere",
                "SerdeInfo": {"SerializationLibrary": "x.ParquetHiveSerDe"},
            },
        },
    )  # fmt: skip

    for table in ("empty", "odd"):
        reason = athena.failure(f"select * from {table}")
        assert not reason.startswith("GENERIC_INTERNAL_ERROR"), reason
        assert table in reason or "nonsense" in reason
