"""PyAthena's cursors and its SQLAlchemy dialect, told nothing but the variables of the shell."""

import asyncio
import datetime
import os
from concurrent.futures import wait
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyathena
import pytest
import sqlalchemy
from pyathena.aio.cursor import AioCursor
from pyathena.arrow.async_cursor import AsyncArrowCursor
from pyathena.arrow.cursor import ArrowCursor
from pyathena.async_cursor import AsyncCursor, AsyncDictCursor
from pyathena.cursor import DictCursor
from pyathena.pandas.async_cursor import AsyncPandasCursor
from pyathena.pandas.cursor import PandasCursor

ROWS = "select * from (values (1, 'a', 1.5e0), (2, null, null)) as t (n, s, x) order by n"
FRAME = {"n": [1, 2], "s": ["a", None], "x": [1.5, None]}

pytestmark = pytest.mark.usefixtures("cloud")


@pytest.fixture
def connection(bucket: str, database: str):
    with pyathena.connect(
        s3_staging_dir=f"s3://{bucket}/results/", schema_name=database, poll_interval=0.02
    ) as found:
        yield found


@pytest.fixture
def managed(shared_server, database: str):
    """A connection to a work group whose results Athena keeps itself: no client reads S3."""
    athena, name = shared_server.client("athena"), f"managed-{os.urandom(4).hex()}"
    athena.create_work_group(
        Name=name, Configuration={"ManagedQueryResultsConfiguration": {"Enabled": True}}
    )
    with pyathena.connect(
        work_group=name, s3_staging_dir="", schema_name=database, poll_interval=0.02
    ) as found:
        yield found


def test_plain_cursor_reads_every_type(connection):
    cursor = connection.cursor()

    row = cursor.execute(
        "select 1, bigint '5', 'a', cast(null as varchar), 1.5, 2e0, date '2024-01-01', "
        "timestamp '2024-01-01 00:00:00.123', true, array[1, 2], x'00ff', %(p)s",
        {"p": "it's"},
    ).fetchone()

    assert row == (
        1, 5, "a", None, Decimal("1.5"), 2.0, datetime.date(2024, 1, 1),
        datetime.datetime(2024, 1, 1, 0, 0, 0, 123000), True, [1, 2], b"\x00\xff", "it's",
    )  # fmt: skip
    assert cursor.data_scanned_in_bytes == 0
    assert cursor.output_location.endswith(f"{cursor.query_id}.csv")


def test_plain_cursor_pages_and_names_what_failed(connection):
    cursor = connection.cursor(arraysize=300)

    rows = cursor.execute("select x from unnest(sequence(1, 2001)) as t (x)").fetchall()

    assert rows == [(x,) for x in range(1, 2002)]
    with pytest.raises(pyathena.error.OperationalError, match="TABLE_NOT_FOUND"):
        cursor.execute("select * from nowhere")


def test_parameters_of_the_service(connection):
    cursor = connection.cursor()

    cursor.execute("select ? + 1, ?", ["41", "'x'"], paramstyle="qmark")

    assert cursor.fetchall() == [(42, "x")]


def test_dict_cursor(connection):
    rows = connection.cursor(DictCursor).execute(ROWS).fetchall()

    assert rows == pd.DataFrame(FRAME).astype(object).replace({float("nan"): None}).to_dict(
        "records"
    )


def test_pandas_cursor_reads_the_result_file(connection):
    frame = connection.cursor(PandasCursor).execute(ROWS).as_pandas()

    pd.testing.assert_frame_equal(frame, pd.DataFrame(FRAME), check_dtype=False)


def test_pandas_cursor_reads_what_unload_wrote(connection):
    cursor = connection.cursor(PandasCursor, unload=True).execute(ROWS)

    frame = cursor.as_pandas()

    pd.testing.assert_frame_equal(frame.sort_values("n"), pd.DataFrame(FRAME), check_dtype=False)
    assert cursor.data_manifest_location.endswith("-manifest.csv")


def test_pandas_cursor_reads_in_chunks(connection):
    cursor = connection.cursor(PandasCursor, chunksize=400)

    chunks = list(cursor.execute("select x from unnest(sequence(1, 1000)) as t (x)").as_pandas())

    assert [len(chunk) for chunk in chunks] == [400, 400, 200]


def test_arrow_cursor_on_results_that_athena_keeps(managed):
    cursor = managed.cursor(ArrowCursor).execute(ROWS)

    assert cursor.as_arrow().equals(pa.table(FRAME))
    assert cursor.output_location is None


def test_other_cursors_on_results_that_athena_keeps(managed, s3):
    rows = managed.cursor().execute(ROWS).fetchall()
    frame = managed.cursor(PandasCursor).execute(ROWS).as_pandas()

    assert rows == [(1, "a", 1.5), (2, None, None)]
    assert frame["n"].tolist() == [1, 2]
    assert not [b["Name"] for b in s3.list_buckets()["Buckets"] if "~" in b["Name"]]
    with pytest.raises(pyathena.error.OperationalError, match="external_location"):
        managed.cursor().execute("create table t as select 1 as a")


def test_async_cursors(connection, managed):
    for source, kind in [
        (connection, AsyncCursor),
        (connection, AsyncDictCursor),
        (connection, AsyncPandasCursor),
        (managed, AsyncArrowCursor),
    ]:
        cursor = source.cursor(kind)
        futures = [cursor.execute(f"select {n} as n")[1] for n in range(6)]
        wait(futures)
        found = [next(iter(future.result().fetchone())) for future in futures]
        assert found == (["n"] * 6 if kind is AsyncDictCursor else list(range(6)))


def test_async_cursor_cancels(connection):
    cursor = connection.cursor(AsyncCursor)
    query_id, future = cursor.execute(
        "select count(*) from unnest(sequence(1, 10000)) a (x), unnest(sequence(1, 10000)) b (y), "
        "unnest(sequence(1, 10000)) c (z) where (x * y + z) % 7 = 3"
    )

    cursor.cancel(query_id).result()

    assert future.result().state == "CANCELLED"


def test_cursor_of_asyncio(bucket: str, database: str):
    async def ask() -> list:
        async with await pyathena.aio_connect(
            s3_staging_dir=f"s3://{bucket}/results/", schema_name=database, poll_interval=0.02
        ) as connection:
            cursor = connection.cursor(AioCursor)
            await cursor.execute(ROWS)
            return await cursor.fetchall()

    assert asyncio.run(ask()) == [(1, "a", 1.5), (2, None, None)]


def test_sqlalchemy_reflects_creates_and_reads(bucket: str, database: str):
    engine = sqlalchemy.create_engine(
        f"awsathena+rest://:@athena.us-east-1.amazonaws.com:443/{database}"
        f"?s3_staging_dir=s3://{bucket}/results/&poll_interval=0.02"
    )
    metadata = sqlalchemy.MetaData(schema=database)
    table = sqlalchemy.Table(
        "people", metadata, sqlalchemy.Column("id", sqlalchemy.BigInteger),
        sqlalchemy.Column("name", sqlalchemy.String), awsathena_location=f"s3://{bucket}/people/",
        awsathena_file_format="PARQUET",
    )  # fmt: skip

    with engine.connect() as connection:
        metadata.create_all(connection)
        connection.execute(sqlalchemy.insert(table).values(id=1, name="a"))
        connection.execute(sqlalchemy.insert(table).values(id=2, name="it's"))
        rows = connection.execute(
            sqlalchemy.select(table).where(table.c.id >= 1).order_by(table.c.id.desc()).limit(5)
        ).fetchall()
        seen = sqlalchemy.inspect(connection)
        names = seen.get_table_names(schema=database)
        columns = [(c["name"], str(c["type"])) for c in seen.get_columns("people", schema=database)]
        read = pd.read_sql("select count(*) as n from people", connection)

    assert rows == [(2, "it's"), (1, "a")]
    assert names == ["people"]
    assert columns == [("id", "BIGINT"), ("name", "VARCHAR")]
    assert read["n"].tolist() == [2]
