"""Which files a query names and what it is said to have scanned.

The rows are compared with the same query over a copy of the table in one file, the files with
those that DuckDB's own SQL names in the server's log, the bytes with what pyarrow reads in the
footers of the right files.
"""

import datetime
import json
import random
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local_aws.tests.athena import Athena
from local_aws.tests.conftest import Server
from local_aws.tests.random_queries import query
from local_aws.tests.test_athena_tables import create_table, put_parquet

DAYS = [f"2024-01-{day:02d}" for day in range(1, 7)]
MONTHS = [f"2024-{month:02d}" for month in range(1, 7)]
NONE = "null"


class Lake:
    """A server of its own that logs the SQL which ran."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder, "--log-sql")
        assert self.server.port, self.server.stop()[1]
        self.server.client("s3").create_bucket(Bucket="lake")
        self.server.client("glue").create_database(DatabaseInput={"Name": "lake"})
        self.athena = Athena(self.server, "lake", "lake")

    def ran(self, query_id: str) -> str:
        self.server.log.seek(0)
        return "".join(
            line for line in self.server.log if f"query={query_id} duckdb=" in line
        )  # fmt: skip

    def run(self, sql: str) -> tuple[list[tuple], set[str], int]:
        """Rows, the files named (by their partition), the bytes scanned."""
        execution = self.athena.run(sql)
        query_id = execution["QueryExecutionId"]
        found = self.athena.results(query_id)["Rows"][1:]
        rows = sorted((tuple(c.get("VarCharValue") for c in row["Data"]) for row in found), key=str)
        paths = set(re.findall(r"'(/[^']*\.parquet[^']*)'", self.ran(query_id)))
        return rows, paths, execution["Statistics"]["DataScannedInBytes"]


def partition(path: str) -> str:
    value = re.search(r"/(?:dt|day_month)=([^/]*)/", path)
    return value[1].replace("__HIVE_DEFAULT_PARTITION__", NONE) if value else "all"


def chunks(path: str, columns: set[str]) -> int:
    groups = pq.read_metadata(path)
    return sum(
        groups.row_group(g).column(c).total_compressed_size
        for g in range(groups.num_row_groups)
        for c in range(groups.num_columns)
        if groups.row_group(g).column(c).path_in_schema in columns
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("pruning"))
    s3, glue = lake.server.client("s3"), lake.server.client("glue")
    everything = []
    for position, day in enumerate([*DAYS, None]):
        numbers = list(range(position * 100, position * 100 + 100))
        columns = {
            "n": pa.array(numbers),
            "kind": pa.array([f"k{n % 7}" for n in numbers]),
            "pad": pa.array([f"{n * 7919 % 1000:04d}" * 9 for n in numbers]),
        }
        folder = day or "__HIVE_DEFAULT_PARTITION__"
        put_parquet(s3, "lake", f"h/dt={folder}/a.parquet", **columns)
        everything.append(pa.table({**columns, "dt": pa.array([day] * 100, pa.string())}))
    merged = pa.concat_tables(everything)
    put_parquet(
        s3, "lake", "u/all.parquet", **{name: merged.column(name) for name in merged.column_names}
    )
    kinds = [("n", "bigint"), ("kind", "string"), ("pad", "string")]
    create_table(glue, "lake", "h", "s3://lake/h/", kinds, keys=[("dt", "string")])
    create_table(glue, "lake", "u", "s3://lake/u/", [*kinds, ("dt", "string")])
    athena = lake.athena
    athena.run("msck repair table h")
    month = "date_add('month', n / 100, date '2024-01-01')"
    athena.run(
        "create table i with (table_type='iceberg', is_external=false, location='s3://lake/i/', "
        "partitioning=array['month(day)']) as select n, kind, pad, "
        f"case when n < 600 then date_add('day', n % 25, {month}) end as day, "
        f"case when n < 600 then cast(date_add('hour', n, timestamp '2024-01-01 00:00:00') "
        "as timestamp(6)) end as at from u"
    )
    athena.run(
        "create table x with (table_type='iceberg', is_external=false, location='s3://lake/x/') "
        "as select * from i"
    )
    for name, table in (("v", "h"), ("v_u", "u")):
        athena.run(
            f"create view {name} as with numbered as (select {table}.*, b.label, row_number() over "
            f"(partition by {table}.n, {table}.dt order by pad) as arrival from {table} "
            f"join (values ('k1', 'one'), ('k2', 'two')) as b (kind, label) "
            f"on {table}.kind = b.kind) "
            "select n, pad, label, dt, try_cast(dt as date) as day "
            "from numbered where arrival = 1"
        )
        athena.run(
            f"create view v{name} as select n + 1 as n, label, dt as source_date, day from {name}"
        )
    yield lake
    lake.server.stop()


def check(lake: Lake, sql: str, table: str, twin: dict[str, str], wanted, columns: set[str],
          *, repeated: int = 1) -> None:  # fmt: skip
    rows, paths, scanned = lake.run(sql)
    for name, other in twin.items():
        sql = re.sub(rf"\b{name}\b", other, sql)
    expected, _, _ = lake.run(sql)
    named = {path for path in paths if f"/{table}/" in path}

    assert rows == expected
    assert {partition(path) for path in named} == set(wanted)
    assert scanned == repeated * sum(chunks(path, columns) for path in named)


ALL = [*DAYS, NONE]
HIVE = [  # the window of v is partitioned by dt, not by day, which is a cast of it
    ("select count(*), sum(n) from v where dt in ('2024-01-01', '2024-01-02')",
     DAYS[:2], "n kind pad"),
    ("select sum(n) from vv where source_date in ('2024-01-03', '2024-01-09')",
     DAYS[2:3], "n kind pad"),
    ("select n from vv where day = date '2024-01-05' and source_date > '2024-01-02'",
     DAYS[2:], "n kind pad"),
    ("select count(*) from v where day in (date '2024-01-02')", ALL, "n kind pad"),
    ("select count(*) from (select * from h) where false", [], ""),
    ("select count(*) from (select * from h) where dt in ('2024-01-01') and dt in ('2024-01-02')",
     [], ""),
    ("select count(*) from h where dt > '2024-01-04'", DAYS[4:], ""),
    ("select count(*) from (select * from h where n >= 0) where dt is null", [NONE], "n"),
    ("select count(*) from (select * from h) where dt is not null", DAYS, ""),
    ("select count(*) from (select * from h) where dt not in ('2024-01-01', '2024-01-02')",
     DAYS[2:], ""),
    ("select count(*) from (select * from h) where dt not in ('2024-01-01', null)", [], ""),
    ("select count(*) from (select * from h) where dt = '2024-01-01' or n = 205", ALL, "n"),
    ("select n from (select * from h) where (dt = '2024-01-01' and n > 95) or "
     "(dt = '2024-01-03' and n < 203)", [DAYS[0], DAYS[2]], "n"),
    ("select count(*) from (select n, cast(dt as date) as d from h where dt is not null) "
     "where d between date '2024-01-02' and date '2024-01-03'", DAYS[1:3], ""),
    ("select n, kind from (select * from h order by n limit 150) where dt = '2024-01-02'",
     ALL, "n kind"),
    ("select n from (select n, dt, row_number() over (order by n) as r from h) "
     "where dt = '2024-01-02' and r = 105", ALL, "n"),
    ("select n from (select n, dt, row_number() over (partition by kind order by n) as r from h) "
     "where dt = '2024-01-02' and r = 20", ALL, "n kind"),
    ("select n from (select n, dt, row_number() over (partition by dt order by n) as r from h) "
     "where dt = '2024-01-02' and r = 20", DAYS[1:2], "n"),
    ("select n, before from (select n, dt, lag(n) over (partition by dt order by n) as before "
     "from h) where dt = '2024-01-02' and n < 103", DAYS[1:2], "n"),
    ("select n, before from (select n, dt, lag(n) over (order by n) as before "
     "from h) where dt = '2024-01-02' and n < 103", ALL, "n"),
    ("select dt, count(*) from h group by dt having dt = '2024-01-02'", DAYS[1:2], ""),
    ("select * from (select dt, count(*) from h group by rollup (dt)) where dt = '2024-01-02'",
     ALL, ""),
    ("select * from (select dt, kind, max(n) from h group by dt, kind) "
     "where dt = '2024-01-02'", DAYS[1:2], "kind n"),
    ("with w as (select dt, kind, n from h) select n, kind from w where dt = '2024-01-01' "
     "union all select n, kind from w where dt = '2024-01-03'", [DAYS[0], DAYS[2]], "n kind"),
    ("with w as (select dt, max(n) as n from h group by dt), unused as (select pad from h) "
     "select n from w where dt = '2024-01-01' "
     "union all select n from w where dt = '2024-01-03'", [DAYS[0], DAYS[2]], "n"),
    ("select count(*) from (select dt from h union select dt from h where n > 3) "
     "where dt >= '2024-01-06'", DAYS[5:], "n"),
    ("select n from h where dt = '2024-01-02' and n in (select max(n) from u where "
     "dt = '2024-01-02')", DAYS[1:2], "n"),
    ("select count(*) from (select *, upper(kind) as k from h) where substr(dt, 9) = '04' "
     "and k = 'K3'", DAYS[3:4], "kind"),
    ("select count(*) from (select *, upper(kind) as k from h) where dt like '2024-01-0%' "
     "and dt < '2024-01-02'", DAYS[:1], ""),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "wanted", "columns"), HIVE)
def test_partitions_of_files(lake: Lake, sql: str, wanted: list[str], columns: str):
    rows, paths, scanned = lake.run(sql)
    twin = re.sub(r"\bh\b", "u", re.sub(r"\b(vv?)\b", r"\1_u", sql)).replace("vv_u", "vv_u")
    expected, _, _ = lake.run(twin)
    named = {path for path in paths if "/h/" in path}
    others = {path for path in paths if "/u/" in path}

    assert rows == expected
    assert {partition(path) for path in named} == set(wanted)
    assert scanned == sum(chunks(path, set(columns.split())) for path in named) + sum(
        chunks(path, {"n", "dt"}) for path in others
    )


def test_a_name_of_with_is_counted_as_often_as_it_is_mentioned(lake: Lake):
    """Athena reads it anew each time, with the predicates and columns of that place."""
    sql = (
        "with w as (select * from {t}), v as (select dt, kind, max(n) as n from w group by 1, 2) "
        "select n, kind, 'a' from v where dt = '2024-01-01' union all "
        "select n, '', 'b' from v where dt < '2024-01-03' union all select count(*), '', 'c' from w"
    )

    rows, paths, scanned = lake.run(sql.format(t="h"))
    expected, _, _ = lake.run(sql.format(t="u"))
    sizes = {partition(path): chunks(path, {"n", "kind"}) for path in paths}

    assert rows == expected
    assert set(sizes) == set(ALL)
    assert scanned == 2 * sizes[DAYS[0]] + sizes[DAYS[1]]


JOINS = [
    ("left", "where l.dt = '2024-01-01'", DAYS[:1], ALL),
    ("left", "and r.dt = '2024-01-02' where l.dt = '2024-01-01'", DAYS[:1], DAYS[1:2]),
    ("left", "where r.dt = '2024-01-02'", ALL, DAYS[1:2]),
    ("left", "where r.dt is null", ALL, ALL),
    ("left", "where r.dt is null or r.dt = '2024-01-02'", ALL, ALL),
    ("left", "and l.dt = '2024-01-02'", ALL, ALL),
    ("right", "where r.dt = '2024-01-02'", ALL, DAYS[1:2]),
    ("right", "and l.dt = '2024-01-02'", DAYS[1:2], ALL),
    ("right", "where l.dt is null", ALL, ALL),
    ("full", "where coalesce(l.dt, r.dt) = '2024-01-02'", ALL, ALL),
    ("full", "and l.dt = '2024-01-02'", ALL, ALL),
    ("full", "where l.dt = '2024-01-02'", DAYS[1:2], ALL),
    ("inner", "where l.dt = '2024-01-02' and r.dt <> '2024-01-02'", DAYS[1:2], DAYS[:1] + DAYS[2:]),
]


@pytest.mark.parametrize(("kind", "rest", "left", "right"), JOINS)
def test_a_join_is_pruned_on_the_side_that_the_condition_can_reach(
    lake: Lake, kind: str, rest: str, left: list[str], right: list[str]
):
    """The left side is ``h``, the right one a copy of it at another place."""
    sql = (
        f"select count(*), count(l.n), sum(l.n * l.n), sum(r.n), sum(l.n * r.n) "
        f"from (select * from {{}}) as l {kind} join (select kind, n - 50 as n, "
        f"{{}} from {{}}) as r on l.n = r.n {rest}"
    )

    rows, paths, _ = lake.run(sql.format("h", "dt", "h2"))
    expected, _, _ = lake.run(sql.format("u", "dt", "u"))

    assert rows == expected
    assert {partition(path) for path in paths if "/h/" in path} == set(left)
    assert {partition(path) for path in paths if "/h2/" in path} == set(right)


@pytest.fixture(scope="module", autouse=True)
def _copy_of_h(lake: Lake) -> None:
    s3 = lake.server.client("s3")
    for found in s3.list_objects_v2(Bucket="lake", Prefix="h/")["Contents"]:
        s3.copy_object(
            Bucket="lake", Key="h2" + found["Key"][1:],
            CopySource={"Bucket": "lake", "Key": found["Key"]},
        )  # fmt: skip
    create_table(
        lake.server.client("glue"), "lake", "h2", "s3://lake/h2/",
        [("n", "bigint"), ("kind", "string"), ("pad", "string")], keys=[("dt", "string")],
    )  # fmt: skip
    lake.athena.run("msck repair table h2")


EVERY = [*MONTHS, NONE]
ICEBERG = [
    ("select count(*), sum(n) from i where day in (date '2024-02-03', date '2024-04-30')",
     [MONTHS[1]], "n day"),
    ("select n from (select *, row_number() over (partition by day, kind order by n) as r "
     "from i) where r = 1 and day in (date '2024-02-03', date '2024-04-03')",
     [MONTHS[1], MONTHS[3]], "n day kind"),
    ("select count(*) from i where day between date '2024-02-25' and date '2024-03-01'",
     [MONTHS[1], MONTHS[2]], "day"),
    ("select count(*) from i where day >= date '2024-05-20'", MONTHS[4:], "day"),
    ("select count(*) from i where day > date '2024-05-25'", MONTHS[5:], "day"),
    ("select count(*) from i where day < date '2024-02-01'", MONTHS[:1], "day"),
    ("select count(*) from i where not day >= date '2024-02-01'", MONTHS[:1], "day"),
    ("select count(*) from i where day is null", [NONE], "day"),
    ("select count(*) from i where day is not null", MONTHS, "day"),
    ("select count(*) from i where n between 150 and 260 and kind = 'k1'",
     MONTHS[1:3], "n kind"),
    ("select count(*) from i where n = 205 or day = date '2024-05-01'",
     [MONTHS[2], MONTHS[4]], "n day"),
    ("select count(*) from i where n % 1000 = 205 or day = date '2024-05-01'", EVERY, "n day"),
    ("select count(*) from i where (n = 205 or kind = 'k2') and day = date '2024-05-01'",
     MONTHS[4:5], "n day kind"),
    ("select count(*) from i where kind > 'k6'", [], ""),
    ("select count(*) from i where kind in ('k1', 'z')", EVERY, "kind"),
    ("select count(*) from i where pad >= '05'", EVERY, "pad"),
    ("select count(*) from i where at >= timestamp '2024-01-22 00:00:00'",
     MONTHS[5:], "at"),
    ("select count(*) from i where date(at) = date '2024-01-10'", MONTHS[2:3], "at"),
    ("select count(*) from i where cast(at as date) in (date '2024-01-10', date '2024-01-11')",
     MONTHS[2:3], "at"),
    ("select count(*) from i where cast(day as timestamp) >= timestamp '2024-06-01 00:00:00'",
     MONTHS[5:], "day"),
    ("select count(*) from i where day in (date '2024-02-03', null)", MONTHS[1:2], "day"),
    ("select count(*) from i where day not in (date '2024-02-03', null)", None, "day"),
    ("select count(*) from i where day <> date '2024-02-03'", None, "day"),
    ("select count(*) from i where day in (date '2024-02-03') and false", [], ""),
    ("select n from (select * from i order by n limit 120) where day < date '2024-02-01' "
     "and n > 90", EVERY, "n day"),
    ("select a.n from i as a left join i as b on a.n = b.n and b.day = date '2024-03-02' "
     "where a.day = date '2024-01-02' and b.n is null", [MONTHS[0], MONTHS[2]], None),
    ("with w as (select day, count(*) as c from i group by day) select * from w where "
     "day = date '2024-01-02' union all select * from w where day = date '2024-06-02'",
     [MONTHS[0], MONTHS[5]], "day"),
    ("select count(*) from (select * from i) as s", EVERY, ""),
    ("select max(n) from (select * from i) as s", EVERY, "n"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "wanted", "columns"), ICEBERG)
def test_data_files_of_iceberg(lake: Lake, sql: str, wanted: list[str] | None, columns: str | None):
    rows, paths, scanned = lake.run(sql)
    expected, _, _ = lake.run(re.sub(r"\bi\b", "x", sql))

    assert rows == expected
    if wanted is not None:
        assert {partition(path) for path in paths} == set(wanted)
    if columns is not None:
        assert scanned == sum(chunks(path, set(columns.split())) for path in paths)


def test_a_filter_that_prunes_is_the_same_for_every_order_of_dates(lake: Lake):
    """Sixty dates, as dbt writes them; DuckDB makes a join of a list that is long."""
    days = [datetime.date(2024, 3, 1) + datetime.timedelta(days=d) for d in range(30)]
    listed = ", ".join(f"date '{day}'" for day in reversed([*days, *days]))

    _, paths, _ = lake.run(f"select n from (select * from i) where day in ({listed})")

    assert {partition(path) for path in paths} == {"2024-03"}


def test_a_newline_in_a_literal_does_not_make_a_filter_of_its_rest(lake: Lake):
    rows, paths, _ = lake.run(
        "select count(*) from (select * from i) where kind <> 'x\n(c0 = 5)\ny'"
    )

    assert rows == [("700",)]
    assert len(paths) == len(EVERY)


def test_files_that_are_older_than_a_column_and_former_versions(lake: Lake):
    athena = lake.athena
    athena.run(
        "create table e with (table_type='iceberg', is_external=false, location='s3://lake/e/', "
        "partitioning=array['month(day)']) as select n, day from i where n < 200"
    )
    athena.run("alter table e add columns (extra bigint)")
    athena.run("insert into e select n, day, n from i where n between 200 and 299")
    glue = lake.server.client("glue").get_table(DatabaseName="lake", Name="e")["Table"]
    metadata = glue["Parameters"]["metadata_location"].removeprefix("s3://lake/")
    body = lake.server.client("s3").get_object(Bucket="lake", Key=metadata)["Body"].read()
    first = json.loads(body)["snapshots"][0]["snapshot-id"]
    athena.run("delete from e where day = date '2024-01-01'")

    rows, paths, scanned = lake.run("select count(*), sum(extra) from e where extra >= 290")
    nulls, _, _ = lake.run("select count(*) from e where extra is null and n < 200")
    then, old, bytes_then = lake.run(
        f"select count(*) from e for version as of {first} where day < date '2024-01-02'"
    )

    assert rows == [("10", str(sum(range(290, 300))))]
    assert "2024-03" in {partition(path) for path in paths}
    assert scanned == sum(chunks(path, {"extra"}) for path in paths)
    assert nulls == [("196",)]
    assert then == [("4",)]
    assert {partition(path) for path in old} == {"2024-01"}
    assert bytes_then == sum(chunks(path, {"day"}) for path in old)


def test_times_with_zone_and_other_transforms(lake: Lake):
    lake.athena.run(
        "create table z with (table_type='iceberg', is_external=false, location='s3://lake/z/', "
        "partitioning=array['day(at)', 'kind']) as select n, case when n % 2 = 0 then 'even' end "
        "as kind, cast(at as timestamp(6) with time zone) as at from i where n < 72"
    )

    rows, paths, _ = lake.run("select n from z where kind = 'even' and n < 3")
    late, some, _ = lake.run(
        "select count(*) from z where at >= timestamp '2024-01-03 00:00:00 UTC'"
    )
    nulls, odd, _ = lake.run("select count(*) from z where kind is null")

    assert rows == [("0",), ("2",)]
    assert len(paths) == 1
    assert "kind=even" in paths.pop()
    assert late == [("24",)]
    assert len(some) in (2, 6)
    assert nulls == [("36",)]
    assert len(odd) == 3
    assert all("kind=null" in path for path in odd)


def test_a_view_or_a_table_without_data_scans_nothing_when_it_is_made(lake: Lake):
    view = lake.athena.run("create or replace view made as select * from h")
    table = lake.athena.run(
        "create table made_too with (external_location='s3://lake/made_too/') as "
        "select n, kind from h with no data"
    )

    assert view["Statistics"]["DataScannedInBytes"] == 0
    assert table["Statistics"]["DataScannedInBytes"] == 0


@pytest.mark.parametrize("seed", range(4))
def test_random_queries_give_the_rows_of_an_unpruned_copy(lake: Lake, seed: int):
    chance = random.Random(seed)
    pruned = 0
    for _ in range(15):
        sql = query(chance)
        rows, paths, _ = lake.run(sql.format(h="h", i="i"))
        expected, _, _ = lake.run(sql.format(h="u", i="x"))
        assert rows == expected, sql
        pruned += len(paths) < len(ALL)

    assert pruned
