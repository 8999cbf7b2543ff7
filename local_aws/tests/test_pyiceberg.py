"""pyiceberg with its Glue catalogue: what it makes Athena reads, what Athena writes it reads."""

from datetime import date

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.expressions import And, EqualTo, GreaterThan
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, DoubleType, LongType, NestedField, StringType

from local_aws.tests.athena import Athena
from local_aws.tests.drills.races import catalog_of

SCHEMA = Schema(
    NestedField(1, "id", LongType(), required=False),
    NestedField(2, "name", StringType(), required=False),
    NestedField(3, "day", DateType(), required=False),
)
BY_DAY = PartitionSpec(PartitionField(3, 1000, IdentityTransform(), "day"))
ROWS = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "name": ["a", "b", None],
        "day": [date(2024, 1, 1), date(2024, 1, 9), date(2024, 2, 1)],
    }
)


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


@pytest.fixture
def catalog(shared_server):
    return catalog_of(shared_server)


@pytest.fixture
def table(catalog, athena: Athena):
    """A table of pyiceberg's making, with three rows."""
    made = catalog.create_table(
        f"{athena.database}.t", SCHEMA, location=f"s3://{athena.bucket}/t", partition_spec=BY_DAY
    )
    made.append(ROWS)
    return made


def test_athena_reads_and_prunes_what_pyiceberg_made(athena: Athena, table):
    one = athena.run("select count(name) from t where day >= date '2024-02-01'")["Statistics"]
    all_ = athena.run("select count(name) from t")["Statistics"]

    assert athena.rows("select id, name, day from t order by id") == [
        ("1", "a", "2024-01-01"), ("2", "b", "2024-01-09"), ("3", None, "2024-02-01"),
    ]  # fmt: skip
    assert 0 < one["DataScannedInBytes"] < all_["DataScannedInBytes"]


def test_pyiceberg_reads_what_athena_wrote(athena: Athena, table):
    athena.run("insert into t values (4, 'd', date '2024-02-02')")
    athena.run("update t set name = 'B' where id = 2")
    athena.run("delete from t where id = 1")

    table.refresh()
    everything = table.scan().to_arrow().sort_by("id").to_pylist()
    some = table.scan(And(GreaterThan("id", 2), EqualTo("day", date(2024, 2, 2)))).to_arrow()

    assert [(row["id"], row["name"]) for row in everything] == [(2, "B"), (3, None), (4, "d")]
    assert some["id"].to_pylist() == [4]


def test_overwrite_delete_and_upsert_of_pyiceberg(athena: Athena, table):
    table.delete(EqualTo("id", 1))
    after_delete = athena.rows("select id from t order by id")
    table.upsert(
        pa.table({"id": pa.array([2, 5], pa.int64()), "name": ["new", "e"],
                  "day": [date(2024, 1, 9), date(2024, 3, 1)]}),
        join_cols=["id"],
    )  # fmt: skip
    after_upsert = athena.rows("select id, name from t order by id")
    table.overwrite(ROWS.slice(0, 1))

    assert after_delete == [("2",), ("3",)]
    assert after_upsert == [("2", "new"), ("3", None), ("5", "e")]
    assert athena.rows("select id, name from t") == [("1", "a")]


def test_schema_and_properties_evolve_from_both_sides(athena: Athena, table, glue):
    with table.update_schema() as change:
        change.add_column("score", DoubleType())
        change.rename_column("name", "title")
    athena.run("alter table t add columns (note string)")
    with table.refresh().transaction() as change:
        change.set_properties({"comment": "ours"})

    columns = glue.get_table(DatabaseName=athena.database, Name="t")["Table"]["StorageDescriptor"]
    assert athena.rows("select id, title, score, note from t where id = 1") == [
        ("1", "a", None, None)
    ]
    assert table.refresh().schema().column_names == ["id", "title", "day", "score", "note"]
    assert [c["Name"] for c in columns["Columns"]][:5] == ["id", "title", "day", "score", "note"]


def test_a_stale_commit_fails_and_the_table_stays(athena: Athena, table, catalog):
    other = catalog.load_table(f"{athena.database}.t")
    athena.run("insert into t values (9, 'athena', date '2024-05-05')")

    stale = other.transaction()
    stale.update_schema().add_column("late", LongType()).commit()
    with table.refresh().update_schema() as faster:
        faster.add_column("early", LongType())
    with pytest.raises(CommitFailedException):
        stale.commit_transaction()

    assert athena.value("select count(*) from t") == "4"
    assert "late" not in table.refresh().schema().column_names


def test_snapshots_are_the_same_on_both_sides(athena: Athena, table):
    first = table.current_snapshot().snapshot_id
    athena.run("insert into t values (4, 'd', date '2024-02-02')")

    table.refresh()
    here = table.scan(snapshot_id=first).to_arrow()["id"].to_pylist()
    there = athena.rows(f"select id from t for version as of {first} order by id")

    assert sorted(here) == [1, 2, 3] == [int(row[0]) for row in there]
    assert len(table.history()) == 2


def test_tables_are_listed_renamed_and_dropped(athena: Athena, table, catalog):
    name = f"{athena.database}.t"
    with pytest.raises(TableAlreadyExistsError):
        catalog.create_table(name, SCHEMA, location=f"s3://{athena.bucket}/again")

    catalog.rename_table(name, f"{athena.database}.u")
    listed = catalog.list_tables(athena.database)
    count = athena.value("select count(*) from u")
    catalog.drop_table(f"{athena.database}.u")

    assert (athena.database,) in catalog.list_namespaces()
    assert listed == [(athena.database, "u")]
    assert count == "3"
    with pytest.raises(NoSuchTableError):
        catalog.load_table(name)
    assert athena.failure("select * from u").startswith("TABLE_NOT_FOUND")
