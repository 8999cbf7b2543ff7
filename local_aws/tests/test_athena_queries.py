"""Queries over VALUES: joins, grouping, windows, UNNEST, set operations. Expected rows by hand."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from local_aws.tests.athena import Athena

SALES = (
    "(values ('a', 1, 10), ('a', 2, 20), ('b', 1, 5), ('b', 2, cast(null as integer)),"
    " (null, 3, 7)) as s (shop, day, amount)"
)

CASES = [
    ("select 1 as one union all select 2 order by one desc", [("2",), ("1",)]),
    ("select 1 union select 1", [("1",)]),
    ("select x from (values 1, 1, 2) as t (x) except all select 1", [("1",), ("2",)]),
    ("select x from (values 1, 1, 2) as t (x) intersect select 2", [("2",)]),
    ("select 1 union all select 2 intersect select 2", [("1",), ("2",)]),
    ("select null union all select 'a'", [("a",), (None,)]),
    ("select 1 union all select 1.5", [("1.0",), ("1.5",)]),
    (
        f"select shop, sum(amount), count(*), count(amount) from {SALES} group by 1 order by 1",
        [("a", "30", "2", "2"), ("b", "5", "2", "1"), (None, "7", "1", "1")],
    ),
    (
        f"select shop, day, sum(amount) from {SALES} where shop is not null"
        " group by grouping sets ((shop), (day), ()) order by 1, 2",
        [("a", None, "30"), ("b", None, "5"), (None, "1", "15"), (None, "2", "20"),
         (None, None, "35")],
    ),
    (
        f"select shop, grouping(shop) from {SALES} where shop = 'a' group by rollup(shop)"
        " order by 2",
        [("a", "0"), (None, "1")],
    ),
    (
        f"select shop, max(amount) as m from {SALES} group by shop having max(amount) > 6"
        " order by m",
        [(None, "7"), ("a", "20")],
    ),
    (f"select sum(amount) filter (where day = 1) from {SALES}", [("15",)]),
    (f"select count(distinct shop) from {SALES}", [("2",)]),
    (f"select array_agg(amount order by amount desc) from {SALES}", [("[20, 10, 7, 5, null]",)]),
    (f"select array_agg(amount) filter (where day = 9) from {SALES}", [(None,)]),
    (f"select max_by(day, amount), min_by(day, amount) from {SALES}", [("2", "1")]),
    (f"select count_if(amount > 6), bool_or(amount > 19), every(day > 0) from {SALES}",
     [("3", "true", "true")]),
    ("select count_if(x) from (values cast(null as boolean)) as t (x)", [("0",)]),
    ("select sum(x), avg(x), max(x), count(x) from (select 1 as x where false)",
     [(None, None, None, "0")]),
    ("select avg(x) from (values 1, 2) as t (x)", [("1.5",)]),
    ("select avg(x) from (values 1.0, 2.0, 2.0) as t (x)", [("1.7",)]),
    ("select sum(x) from (values 1.25, 2.50) as t (x)", [("3.75",)]),
    ("select approx_distinct(x) from (values 1, 1, 2) as t (x)", [("2",)]),
    ("select approx_percentile(x, 0.5) from (values 1, 2, 3) as t (x)", [("2",)]),
    ("select histogram(x) from (values 'a', 'a', 'b') as t (x)", [("{a=2, b=1}",)]),
    ("select map_agg(k, v) from (values ('a', 1), ('b', 2)) as t (k, v)", [("{a=1, b=2}",)]),
    (
        "select listagg(x, ',') within group (order by x desc) from (values 'a', 'b') as t (x)",
        [("b,a",)],
    ),
    (
        f"select shop, day, row_number() over (partition by shop order by day desc) as n"
        f" from {SALES} where shop is not null order by shop, n",
        [("a", "2", "1"), ("a", "1", "2"), ("b", "2", "1"), ("b", "1", "2")],
    ),
    (
        f"select day, sum(amount) over (order by day rows between 1 preceding and current row)"
        f" from {SALES} where shop = 'a' order by day",
        [("1", "10"), ("2", "30")],
    ),
    (
        "select x, last_value(x) ignore nulls over (order by n) from"
        " (values (1, 'a'), (2, null), (3, 'c')) as t (n, x) order by n",
        [("a", "a"), (None, "a"), ("c", "c")],
    ),
    (
        "select x, lag(x) over (order by x), lead(x, 1, 0) over (order by x)"
        " from (values 1, 2) as t (x) order by x",
        [("1", None, "2"), ("2", "1", "0")],
    ),
    (
        "select x, rank() over (order by x), dense_rank() over w from (values 1, 1, 2) as t (x)"
        " window w as (order by x) order by x",
        [("1", "1", "1"), ("1", "1", "1"), ("2", "3", "2")],
    ),
    ("select x from (values 2, null, 1) as t (x) order by x", [("1",), ("2",), (None,)]),
    ("select x from (values 2, null, 1) as t (x) order by x desc", [("2",), ("1",), (None,)]),
    ("select x from (values 2, null, 1) as t (x) order by x nulls first limit 1", [(None,)]),
    ("select x from (values 1, 2, 3) as t (x) order by x offset 1 limit 1", [("2",)]),
    ("select x from (values 1, 2, 3) as t (x) order by -x fetch first 1 row only", [("3",)]),
    (
        "select a.x, b.y from (values 1, 2) as a (x) left join (values (1, 'p')) as b (x, y)"
        " on a.x = b.x order by 1",
        [("1", "p"), ("2", None)],
    ),
    (
        "select x, y, z from (values (1, 'l')) as a (x, y) full join (values (2, 'r')) as b (x, z)"
        " using (x) order by x",
        [("1", "l", None), ("2", None, "r")],
    ),
    ("select * from (values (1, 'a')) as l (x, y) join (values (1, 'b')) as r (x, z) using (x)",
     [("1", "a", "b")]),
    ("select count(*) from (values 1, 2) as a (x) cross join (values 1, 2, 3) as b (y)", [("6",)]),
    ("select count(*) from (values 1, 2) as a (x), (values 1) as b (y) where x > y", [("1",)]),
    ("select x from unnest(array[1, 2]) as t (x)", [("1",), ("2",)]),
    (
        "select x, n from unnest(array['a', 'b']) with ordinality as t (x, n)",
        [("a", "1"), ("b", "2")],
    ),
    ("select a, b from unnest(array[1, 2], array['x']) as t (a, b)", [("1", "x"), ("2", None)]),
    ("select k, v from unnest(map(array['a'], array[1])) as t (k, v)", [("a", "1")]),
    (
        "select t.id, u.x from (values (1, array[10, 20]), (2, array[])) as t (id, xs)"
        " cross join unnest(t.xs) as u (x) order by 2",
        [("1", "10"), ("1", "20")],
    ),
    (
        "select t.id, u.x from (values (1, array[10]), (2, null)) as t (id, xs)"
        " left join unnest(t.xs) as u (x) on true order by 1",
        [("1", "10"), ("2", None)],
    ),
    (
        "select e.a, e.b from (select array[cast(row(1, 'p') as row(a int, b varchar))] as xs) t"
        " cross join unnest(t.xs) as e (a, b)",
        [("1", "p")],
    ),
    ("select (select max(x) from (values 1, 3) as t (x))", [("3",)]),
    ("select x from (values 1, 2) as t (x) where exists (select 1 where x = 2)", [("2",)]),
    ("select x from (values 1, 2, 3) as t (x) where x in (select 2 union all select 3) order by 1",
     [("2",), ("3",)]),
    ("select x from (values 1) as t (x) where x not in (select cast(null as integer))", []),
    ("select x from (values 1, 5) as t (x) where x > all (select 2 union all select 3)", [("5",)]),
    ("with a as (select 1 as x), b as (select x + 1 as y from a) select y from b", [("2",)]),
    ("with t (a, b) as (values (1, 2)) select b, a from t", [("2", "1")]),
    ("select t.* from (values (1, 2)) as t (a, b)", [("1", "2")]),
    ("select x as y from (values 1) as t (x) order by y", [("1",)]),
    ("select x + 1 as x from (values 1, 5) as t (x) order by x desc", [("6",), ("2",)]),
    ("select distinct x % 2 as r from (values 1, 2, 3) as t (x) order by r", [("0",), ("1",)]),
    ("select 'A' as \"Name\"", [("A",)]),
    ("select 1 where null", []),
    ("select try_cast(x as integer) from (values '1', 'x') as t (x)", [("1",), (None,)]),
    ("select try(1 / x) from (values 0, 1) as t (x) order by 1", [("1",), (None,)]),
    ("select coalesce(try(date_parse(x, '%Y-%m-%d')), try(date_parse(x, '%Y')))"
     " from (values '2024-02-03', '2024', 'x') as t (x)",
     [("2024-02-03 00:00:00.000",), ("2024-01-01 00:00:00.000",), (None,)]),
    ("select sum(CASE WHEN (x IS NULL) THEN 1 ELSE 0 END) AS \"a.b\" from (values 1) as t (x)",
     [("0",)]),
    ("select x, count(*) over (partition by x) as _n from (values 1, 1) as t (x)",
     [("1", "2"), ("1", "2")]),
]  # fmt: skip


@pytest.fixture(scope="module")
def athena(shared_server) -> Athena:
    shared_server.client("s3").create_bucket(Bucket="athena-queries")
    return Athena(shared_server, "athena-queries", "default")


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_query_gives_what_trino_gives(athena: Athena, query: str, expected: list[tuple]):
    rows = athena.rows(query)

    ordered = "order by" in query
    assert (rows if ordered else sorted(rows, key=str)) == (
        expected if ordered else sorted(expected, key=str)
    )


def test_columns_without_a_name_are_numbered_by_position(athena: Athena):
    execution = athena.run("select 1, 2 as b, 3 + 4, max(5)")

    header = athena.results(execution["QueryExecutionId"])["Rows"][0]["Data"]
    assert [cell["VarCharValue"] for cell in header] == ["_col0", "b", "_col2", "_col3"]


def test_names_are_found_whatever_their_case(athena: Athena):
    rows = athena.rows('with T as (select 1 as "Value") SELECT t.VALUE, "VALUE" FROM T')

    assert rows == [("1", "1")]


def test_types_are_spelled_as_athena_spells_them(athena: Athena):
    types = athena.types(
        "select 1, bigint '1', 1.5, 1e0, real '1', 'a', true, date '2024-01-01',"
        " timestamp '2024-01-01 00:00:00', now(), array[1], map(array[1], array[2]), row(1),"
        " x'00', json '1', tinyint '1', smallint '1'"
    )

    assert types == [
        "integer", "bigint", "decimal", "double", "float", "varchar", "boolean", "date",
        "timestamp", "timestamp with time zone", "array", "map", "row", "varbinary", "json",
        "tinyint", "smallint",
    ]  # fmt: skip


def test_all_now_of_a_query_are_one_instant(athena: Athena):
    value = athena.value("select now() = current_timestamp and date(now()) = current_date")

    assert value == "true"


def test_a_group_key_that_is_a_constant_is_no_position(athena: Athena):
    rows = athena.rows("select 7 as k, count(*) from (values 1, 2) as t (x) group by 1")

    assert rows == [("7", "2")]


def test_division_by_zero_fails_even_for_one_row_of_many(athena: Athena):
    reason = athena.failure("select 1 / x from (values 1, 0) as t (x)")

    assert reason == "DIVISION_BY_ZERO: Division by zero"


def test_array_subscript_beyond_the_end_fails(athena: Athena):
    reason = athena.failure("select x[3] from (values array[1, 2]) as t (x)")

    assert "Array subscript must be less than or equal to array length: 3 > 2" in reason


def test_integer_overflow_fails(athena: Athena):
    assert athena.failure("select 2147483647 + x from (values 1) as t (x)").startswith(
        "NUMERIC_VALUE_OUT_OF_RANGE"
    )


def test_a_scalar_subquery_with_two_rows_fails(athena: Athena):
    reason = athena.failure("select (select x from (values 1, 2) as t (x))")

    assert reason == "SUBQUERY_MULTIPLE_ROWS: Scalar sub-query has returned multiple rows"


_DAYS = (
    "(values (1, date '2024-01-01', 10), (2, date '2024-01-02', 20), (3, date '2024-01-04', 30), "
    "(4, date '2024-01-08', null)) as t (n, d, x)"
)


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("lag(x) over (order by d)", [None, 10, 20, 30]),
        ("lead(x, 2, -1) over (order by d)", [30, None, -1, -1]),
        ("lag(x) ignore nulls over (order by d desc)", [20, 30, None, None]),
        ("sum(n) over (order by d rows between 1 preceding and 1 following)", [3, 6, 9, 7]),
        ("min(n) over (order by d rows between 2 following and 3 following)", [3, 4, None, None]),
        ("sum(x) over (order by d rows between unbounded preceding and 1 preceding)",
         [None, 10, 30, 60]),
        ("sum(n) over (order by d range between interval '2' day preceding and current row)",
         [1, 3, 5, 4]),
        ("sum(n) over (order by d range between interval '1' day preceding and "
         "interval '2' day following)", [3, 6, 3, 4]),
        ("count(*) over (order by d desc range between interval '2' day preceding and current row)",
         [2, 2, 1, 1]),
        ("sum(n) over (order by n range between 1 preceding and 1 following)", [3, 6, 9, 7]),
        ("sum(n) over (order by d groups between 1 preceding and current row)", [1, 3, 5, 7]),
    ],
)  # fmt: skip
def test_windows_with_frames(athena: Athena, expression: str, values: list):
    """Worked out by hand from Trino's definition of the frames."""
    found = athena.rows(f"select {expression} from {_DAYS} order by n")

    assert [None if v is None else int(v) for (v,) in found] == values


def test_aggregates_that_depend_on_an_order(athena: Athena):
    found = athena.rows(
        "select array_agg(n order by x desc nulls first), array_agg(x order by d desc) "
        f"filter (where n < 4), max_by(n, x), min_by(d, n), bool_or(x > 20) from {_DAYS}"
    )

    assert found == [("[4, 3, 2, 1]", "[30, 20, 10]", "3", "2024-01-01", "true")]


@pytest.mark.parametrize("kind", ["inner", "left", "right", "full outer"])
def test_columns_of_using_are_merged(athena: Athena, kind: str):
    found = athena.rows(
        "select n, a.x, b.y from (values (1, 10), (2, 20)) as a (n, x) "
        f"{kind} join (values (2, 7), (3, 8)) as b (n, y) using (n) order by n"
    )

    assert found == [
        *([("1", "10", None)] if kind in ("left", "full outer") else []),
        ("2", "20", "7"),
        *([("3", None, "8")] if kind in ("right", "full outer") else []),
    ]


def test_a_right_join_after_other_joins(athena: Athena):
    found = athena.rows(
        "select a.n, b.n, c.n from (values 1, 2) as a (n) join (values 2, 3) as b (n) on a.n = b.n "
        "right join (values 2, 5) as c (n) on c.n = b.n and c.n = a.n order by c.n"
    )

    assert found == [("2", "2", "2"), (None, None, "5")]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "+05:30", "-03:00"])
def test_what_clocks_of_a_zone_show(athena: Athena, zone: str):
    """Python's zoneinfo says the same, also where clocks are put forward and back."""
    moments = [
        datetime(2024, 3, 31, 0, 59, 59, 999000), datetime(2024, 3, 31, 1, 0),
        datetime(2024, 10, 27, 0, 30), datetime(2024, 10, 27, 1, 30), datetime(2024, 1, 1),
        datetime(1999, 12, 31, 23, 59, 59), datetime(2024, 3, 10, 7, 0),
    ]  # fmt: skip
    values = ", ".join(f"timestamp '{m.isoformat(' ', 'milliseconds')}'" for m in moments)

    found = athena.rows(
        f"select cast(z as timestamp(3)), cast(z as date), hour(z), date_trunc('day', z), "
        "date_diff('day', z, timestamp '2024-12-31 23:59:59 UTC'), z from (select "
        f"at_timezone(with_timezone(m, 'UTC'), '{zone}') as z from (values {values}) as t (m))"
    )
    same = athena.rows(
        f"select cast(at_timezone(with_timezone(m, 'UTC'), '{zone}') as timestamp(3)), "
        f"date(at_timezone(with_timezone(m, 'UTC'), '{zone}')), "
        f"hour(at_timezone(m, '{zone}')), "
        f"cast(from_iso8601_timestamp(date_format(m, '%Y-%m-%dT%H:%i:%s.%f') || 'Z') "
        f"at time zone '{zone}' as timestamp) from (values {values}) as t (m)"
    )

    sign = -1 if zone[0] == "-" else 1
    there = (
        timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:])))
        if zone[0] in "+-"
        else ZoneInfo(zone)
    )
    shown = [m.replace(tzinfo=UTC).astimezone(there).replace(tzinfo=None) for m in moments]
    expected = [(m.isoformat(" ", "milliseconds"), str(m.date()), str(m.hour)) for m in shown]
    assert sorted(row[:3] for row in found) == sorted(expected)
    assert sorted(row[:3] for row in same) == sorted(expected)
    assert all(row[0] == row[3] for row in same)
    assert all(row[5].startswith(row[0]) and row[3][:10] == row[1] for row in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29T23:59:59.1234Z", "2024-02-29 23:59:59.123"),
        ("2024-02-29T23:59:59+02:00", "2024-02-29 23:59:59.000"),
        ("2024-02-29T23", "2024-02-29 23:00:00.000"),
        (None, None),
    ],
)
def test_the_wall_of_an_iso_timestamp(athena: Athena, text: str | None, expected: str | None):
    value = f"'{text}'" if text else "cast(null as varchar)"

    assert athena.value(f"select cast(from_iso8601_timestamp({value}) as timestamp)") == expected
    assert expected == athena.value(
        f"select cast(from_iso8601_timestamp(t) as timestamp) from (values {value}, 'x') as u (t) "
        f"where coalesce(t, '') <> 'x'"
    )
