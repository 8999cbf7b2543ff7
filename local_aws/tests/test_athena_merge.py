"""MERGE, UPDATE and DELETE: rows as a model in Python has them, files read, bytes scanned."""

import datetime
import random
import re
import secrets

import pytest

from local_aws.tests.test_athena_pruning import Lake, chunks, partition

START = datetime.date(2024, 1, 1)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("merge"))
    yield lake
    lake.server.stop()


@pytest.fixture
def table(lake: Lake) -> str:
    """Id 0 to 399 on 200 days from January to July, two rows each; and one without a day."""
    name = f"t_{secrets.token_hex(4)}"
    lake.athena.run(
        f"create table {name} with (table_type='iceberg', is_external=false, "
        f"location='s3://lake/{name}/', partitioning=array['month(day)']) as "
        "select id, date_add('day', id / 2, date '2024-01-01') as day, "
        "'name ' || cast(id as varchar) as name, id * 10 as amount "
        "from unnest(sequence(bigint '0', 399)) as u (id) "
        "union all select 1000, null, 'no day', 0"
    )
    return name


def contents(lake: Lake, name: str) -> list[tuple]:
    return lake.athena.rows(f"select id, day, name, amount from {name} order by id")


def row(number: int) -> tuple:
    day = START + datetime.timedelta(days=number // 2)
    return str(number), str(day), f"name {number}", str(number * 10)


BEFORE = [*map(row, range(400)), ("1000", None, "no day", "0")]


def read(lake: Lake, sql: str) -> tuple[set[str], int, int]:
    """Files of the target that were joined with the source; bytes scanned; rows changed."""
    execution = lake.athena.run(sql)
    query_id = execution["QueryExecutionId"]
    joined = [line for line in lake.ran(query_id).splitlines() if "CREATE TEMP TABLE m_" in line]
    paths = set(re.findall(r"'(/[^']*\.parquet[^']*)'", "".join(joined)))
    count = lake.athena.client.get_query_results(QueryExecutionId=query_id)["UpdateCount"]
    return paths, execution["Statistics"]["DataScannedInBytes"], count


def scanned(paths: set[str], columns: str) -> int:
    return sum(chunks(path, set(columns.split())) for path in paths)


def test_only_the_months_of_the_sources_keys_are_read(lake: Lake, table: str):
    paths, size, count = read(
        lake,
        f"merge into {table} as t using (values (bigint '2', date '2024-01-02', 'new'), "
        "(9999, date '2024-03-01', 'nine'), (7, date '2025-01-01', 'far')) as s (id, day, name) "
        "on t.day = s.day and t.id = s.id "
        "when matched then update set name = s.name, amount = 1, id = s.id, day = s.day "
        "when not matched then insert (id, day, name) values (s.id, s.day, s.name)",
    )

    after = [*BEFORE]
    after[2] = ("2", "2024-01-02", "new", "1")
    after.insert(8, ("7", "2025-01-01", "far", None))
    after.append(("9999", "2024-03-01", "nine", None))
    found = contents(lake, table)
    assert sorted(found, key=str) == sorted(after, key=str)
    assert count == 3
    # No id from 2 to 9999 lies in a file by itself: id's bounds leave January, for 2 and 7 alone.
    assert {partition(path) for path in paths} == {"2024-01"}
    assert size == scanned(paths, "id day")


def test_columns_that_an_update_keeps_or_names_are_read(lake: Lake, table: str):
    paths, size, _ = read(
        lake,
        f"merge into {table} as t using (values (date '2024-02-01')) as s (day) on t.day = s.day "
        "when matched then update set name = t.name || '!'",
    )

    assert {partition(path) for path in paths} == {"2024-02"}
    assert size == scanned(paths, "id day name amount")
    assert lake.athena.rows(f"select id, name, amount from {table} where name like '%!'") == [
        ("62", "name 62!", "620"), ("63", "name 63!", "630"),
    ]  # fmt: skip


def test_a_delete_reads_what_its_conditions_name(lake: Lake, table: str):
    paths, size, count = read(
        lake,
        f"merge into {table} as t using (select date_add('day', n, date '2024-03-01') as day "
        "from unnest(sequence(0, 3)) as u (n)) as s on t.day = s.day "
        "when matched and t.amount > 1210 then delete",
    )

    assert {partition(path) for path in paths} == {"2024-03"}
    assert size == scanned(paths, "day amount")
    assert count == 6
    assert contents(lake, table) == [r for r in BEFORE if r[0] not in map(str, range(122, 128))]


@pytest.mark.parametrize(
    "source",
    [
        "select id, day from {t} where false",
        "select id, day from {t} where day = date '2030-01-01'",
    ],
)
def test_an_empty_source_reads_and_commits_nothing(lake: Lake, table: str, source: str):
    glue = lake.server.client("glue")
    before = glue.get_table(DatabaseName="lake", Name=table)["Table"]["VersionId"]

    paths, size, count = read(
        lake,
        f"merge into {table} as t using ({source.format(t=table)}) as s on t.id = s.id "
        "when matched then delete when not matched then insert (id) values (s.id)",
    )

    assert (paths, size, count) == (set(), 0, 0)
    assert glue.get_table(DatabaseName="lake", Name=table)["Table"]["VersionId"] == before


def test_keys_that_are_null_match_nothing(lake: Lake, table: str):
    paths, size, count = read(
        lake,
        f"merge into {table} as t using (values (cast(null as date), 5)) as s (day, amount) "
        "on t.day = s.day when matched then delete "
        "when not matched then insert (id, day, amount) values (2000, s.day, s.amount)",
    )

    assert (paths, size, count) == (set(), 0, 1)
    assert contents(lake, table) == [*BEFORE, ("2000", None, None, "5")]


def test_of_many_keys_the_ends_count(lake: Lake, table: str):
    paths, _, count = read(
        lake,
        f"merge into {table} as t using (select n as id from "
        "unnest(sequence(bigint '300', 2300)) as u (n)) as s on t.id = s.id "
        "when matched then update set amount = -1",
    )

    assert {partition(path) for path in paths} == {"2024-05", "2024-06", "2024-07", "null"}
    assert count == 101
    assert lake.athena.value(f"select count(*) from {table} where amount = -1") == "101"


def test_a_condition_on_the_target_alone_prunes_and_decides_what_matches(lake: Lake, table: str):
    """Row 2 exists in January, which the condition excludes: so it is inserted once more."""
    paths, size, count = read(
        lake,
        f"merge into {table} as t using (values bigint '2', 122) as s (id) "
        "on t.id = s.id and t.day in (date '2024-03-02', date '2024-03-05') "
        "when matched then delete when not matched then insert (id) values (s.id)",
    )

    assert {partition(path) for path in paths} == {"2024-03"}
    assert size == scanned(paths, "id day")
    assert count == 2
    assert lake.athena.rows(f"select id, day from {table} where id in (2, 122) order by 2") == [
        ("2", "2024-01-02"), ("2", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("on", "months"),
    [
        ("t.id > s.id - 1 and t.id < s.id + 1", 8),
        ("t.id = s.id or t.day is null", 8),
        ("t.id + 0 = s.id", 8),
        ("cast(t.id as double) = s.id", 8),
        ("s.id = t.id", 1),
        ("t.id = s.id * 2 - 122", 1),
        ("t.id = s.id and s.day = t.day", 1),
        ("date_add('day', 1, t.day) = s.day and t.id = s.id", 1),
    ],
)
def test_conditions_that_prune_and_that_do_not(lake: Lake, table: str, on: str, months: int):
    paths, _, _ = read(
        lake,
        f"merge into {table} as t using (values (122, date '2024-03-02')) as s (id, day) on {on} "
        "when matched then update set name = 'hit'",
    )
    hits = lake.athena.rows(f"select id from {table} where name = 'hit' order by id")

    assert len(paths) == months
    assert hits == ([("122",), ("1000",)] if " or " in on
                    else [] if "date_add" in on else [("122",)])  # fmt: skip


def test_update_and_delete_read_the_files_that_can_match(lake: Lake, table: str):
    updated, update_size, changed = read(
        lake, f"update {table} set name = 'x' where day between date '2024-02-10' and "
        "date '2024-02-11' and amount > 805",
    )  # fmt: skip
    deleted, delete_size, gone = read(
        lake, f"delete from {table} where id in (select max(id) from {table}) or day is null"
    )
    last, last_size, _ = read(lake, f"delete from {table} where day < date '2024-01-03'")

    assert {partition(path) for path in updated} == {"2024-02"}
    assert update_size == scanned(updated, "id day amount")
    assert changed == 3
    assert (len(deleted), gone) == (8, 1)
    assert delete_size >= scanned(deleted, "id day")
    assert {partition(path) for path in last} == {"2024-01"}
    assert last_size == scanned(last, "day")
    assert lake.athena.value(f"select count(*) from {table}") == str(401 - 1 - 4)


@pytest.mark.parametrize("seed", range(3))
def test_random_merges_give_what_a_model_gives(lake: Lake, table: str, seed: int):
    """Keys (day, id); a source row deletes, updates or inserts by its ``what``."""
    chance = random.Random(seed)
    model = {(r[0], r[1]): (r[2], r[3]) for r in BEFORE}
    for _ in range(5):
        months = chance.sample(range(8), chance.randint(1, 3))
        source = {}
        for _ in range(chance.randint(1, 40)):
            number = chance.randrange(420)
            day = START + datetime.timedelta(days=number // 2)
            if day.month - 1 in months or chance.random() < 0.05:
                source[str(number), str(day)] = chance.choice(["delete", "update", "insert"])
        values = ", ".join(f"(bigint '{i}', date '{d}', '{w}')" for (i, d), w in source.items())
        values = values or "(bigint '5000', date '2031-01-01', 'nothing')"
        lake.athena.run(
            f"merge into {table} as t using (values {values}) as s (id, day, what) "
            "on t.id = s.id and t.day = s.day "
            "when matched and s.what = 'delete' then delete "
            "when matched and s.what = 'update' then update set name = t.name || 'u', "
            "amount = null "
            "when not matched and s.what <> 'nothing' then insert values (s.id, s.day, s.what, 7)"
        )
        for key, what in source.items():
            if key not in model:
                model[key] = (what, "7")
            elif what == "delete":
                del model[key]
            elif what == "update":
                model[key] = (model[key][0] + "u", None)

    assert sorted(contents(lake, table), key=str) == sorted(
        ((*key, *rest) for key, rest in model.items()), key=str
    )


def test_a_merge_whose_table_moved_on_after_the_files_were_chosen_fails_whole(
    lake: Lake, table: str
):
    """Eight merges at once of the same key: each either counts whole, or not at all."""
    sql = (
        f"merge into {table} as t using (values (bigint '2', date '2024-01-02')) as s (id, day) "
        "on t.id = s.id and t.day = s.day when matched then update set amount = t.amount + 1"
    )
    ended = [lake.athena.wait(query_id) for query_id in [lake.athena.start(sql) for _ in range(8)]]

    won = [e for e in ended if e["Status"]["State"] == "SUCCEEDED"]
    assert won
    assert lake.athena.value(f"select amount from {table} where id = 2") == str(20 + len(won))
    assert {e["Status"]["StateChangeReason"].split(":")[0] for e in ended if e not in won} <= {
        "ICEBERG_COMMIT_ERROR"
    }
