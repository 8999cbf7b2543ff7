"""DataScannedInBytes against a count of our own: the column chunks in the footers of the files."""

import io

import pyarrow.parquet as pq
import pytest

from local_aws.tests.athena import Athena


@pytest.fixture(scope="module")
def lake(shared_server) -> Athena:
    """A table of files with five days, the same rows in Iceberg, and a small table to join."""
    shared_server.client("s3").create_bucket(Bucket="scanned")
    shared_server.client("glue").create_database(DatabaseInput={"Name": "scanned"})
    athena = Athena(shared_server, "scanned", "scanned")
    rows = (
        "select x as id, 'user ' || cast(x % 97 as varchar) as name, x * 0.5e0 as amount, "
        "cast(row(x, 'deep ' || cast(x as varchar)) as row(a bigint, b varchar)) as deep, "
        "date_add('day', x % 5, date '2024-01-01') as dt from unnest(sequence(1, 9000)) as t (x)"
    )
    athena.run(
        "create table files with (external_location='s3://scanned/files/', "
        f"partitioned_by=array['dt']) as {rows}"
    )
    athena.run(
        "create table ice with (table_type='iceberg', is_external=false, "
        f"location='s3://scanned/ice/', partitioning=array['dt']) as {rows}"
    )
    athena.run(
        "create table users with (external_location='s3://scanned/users/') as "
        "select distinct name, 'a long description of ' || name as about from files"
    )
    return athena


def chunks(s3, prefix: str, *columns: str) -> int:
    """Bytes of these columns in all files below the prefix, as their footers tell."""
    total = 0
    for found in s3.list_objects_v2(Bucket="scanned", Prefix=prefix)["Contents"]:
        body = s3.get_object(Bucket="scanned", Key=found["Key"])["Body"].read()
        metadata = pq.ParquetFile(io.BytesIO(body)).metadata
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(number)
                if chunk.path_in_schema.split(".")[0] in columns:
                    total += chunk.total_compressed_size
    return total


DAY, OTHER = "files/dt=2024-01-02/", "files/dt=2024-01-03/"
ICE, ICE_DAY = "ice/data/", "ice/data/dt=2024-01-02/"


@pytest.mark.parametrize(
    ("sql", "needed"),
    [
        ("select sum(amount) from files", [("files/", "amount")]),
        ("select count(*) from files", []),
        ("select * from files", [("files/", "id", "name", "amount", "deep")]),
        ("select max(deep.a) from files where dt = date '2024-01-02'", [(DAY, "deep")]),
        ("select name from files where id > 8000 and dt between date '2024-01-02' "
         "and date '2024-01-03' limit 3", [(DAY, "id", "name"), (OTHER, "id", "name")]),
        ("select u.about, sum(f.amount) from files f join users u on u.name = f.name group by 1",
         [("files/", "amount", "name"), ("users/", "name", "about")]),
        ("with d as (select id, name, amount from files where dt = date '2024-01-02') "
         "select count(distinct name) from d", [(DAY, "name")]),
        ("select sum(amount) over (order by id) from files where dt > date '2024-01-02' "
         "and dt < date '2024-01-04'", [(OTHER, "id", "amount")]),
        ("select avg(amount) from ice", [(ICE, "amount")]),
        ("select id, name from ice where dt = date '2024-01-02' and amount > 3",
         [(ICE_DAY, "id", "name", "amount")]),
        ("select count(*) from files where name like 'user 1%' union all select count(*) from ice "
         "where deep.b = 'deep 5'", [("files/", "name"), (ICE, "deep")]),
        ("create table copied as select id from files where dt = date '2024-01-02'",
         [(DAY, "id")]),
    ],
)  # fmt: skip
def test_the_chunks_that_a_query_needs_are_counted(lake: Athena, s3, sql: str, needed: list):
    expected = sum(chunks(s3, *each) for each in needed)

    counted = lake.run(sql)["Statistics"]["DataScannedInBytes"]

    assert counted == pytest.approx(expected, rel=0.1)
    assert (counted > 0) == bool(needed)


def test_of_two_tables_that_a_view_chooses_between_by_another_view_one_is_read(lake: Athena, s3):
    """As Trino 435 plans it: what nobody chose is not even looked at, and pruning goes on below."""
    lake.run(
        "create table other with (table_type='iceberg', is_external=false, "
        "location='s3://scanned/other/', partitioning=array['dt']) as select * from ice"
    )
    lake.run("create view chosen as select 'b' as side, 7 as more")
    lake.run(
        "create view either as "
        "select id, name, dt from other where (select side from chosen) = 'a' union all "
        "select id, name, dt from ice where (select side from chosen) = 'b'"
    )

    day = lake.run("select name from either where dt = date '2024-01-02' and id > 3")
    whole = lake.run("select x.id from either x inner join either y on x.id = y.id")
    lake.run("create or replace view chosen as select 'c' as side, 7 as more")
    neither = lake.run("select * from either")

    def scanned(execution: dict) -> int:
        return execution["Statistics"]["DataScannedInBytes"]

    assert scanned(day) == pytest.approx(chunks(s3, ICE_DAY, "id", "name"), rel=0.1)
    assert scanned(whole) == pytest.approx(2 * chunks(s3, ICE, "id"), rel=0.1)
    assert scanned(neither) == 0
