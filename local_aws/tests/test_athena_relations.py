"""What stands in FROM and WITH: recursion, samples, hidden columns."""

import gzip
import json
import re

import pytest

from local_aws.tests.athena import Athena


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    return Athena(shared_server, bucket, database)


# ------------------------------------------------------------------------------ WITH RECURSIVE


def test_a_tree_is_walked_as_python_walks_it(athena: Athena):
    edges = {"root": ["a", "b"], "a": ["c"], "c": ["d", "e"], "b": ["e"]}
    listed = ", ".join(f"('{x}', '{y}')" for x, ys in edges.items() for y in ys)

    found = athena.rows(
        "with recursive walk (name, depth) as ("
        "select cast('root' as varchar), 0 union all "
        f"select e.child, w.depth + 1 from walk as w "
        f"join (values {listed}) as e (parent, child) on e.parent = w.name) "
        "select name, depth from walk order by 1, 2"
    )

    def walk(name: str, depth: int):
        yield name, str(depth)
        for child in edges.get(name, []):
            yield from walk(child, depth + 1)

    assert found == sorted(walk("root", 0))


def test_ten_steps_are_allowed_and_not_eleven(athena: Athena):
    def count(last: int) -> str:
        return (
            "with recursive t (n) as (values 1 union all select n + 1 from t "
            f"where n < {last}) select sum(n) from t"
        )

    assert athena.value(count(11)) == str(sum(range(1, 12)))
    assert athena.failure(count(12)) == (
        "NOT_SUPPORTED: Recursion depth limit exceeded (10). Use 'max_recursion_depth' session "
        "property to modify the limit."
    )


def test_union_takes_out_doubles_but_sees_no_cycle(athena: Athena):
    assert athena.rows(
        "with recursive t (n) as (values 0, 0 union select n + 1 from t where n < 2) "
        "select n from t order by 1"
    ) == [("0",), ("1",), ("2",)]
    assert "depth limit" in athena.failure(
        "with recursive t (n) as (values 1 union select n from t) select n from t"
    )


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("t as (values 1 union all select 1 from t)", "MISSING_COLUMN_ALIASES"),
        ("t (n) as (values 1 union all select a.n from t a join t b on true)",
         "INVALID_RECURSIVE_REFERENCE"),
        ("t (n) as (select n from t union all values 1)", "INVALID_RECURSIVE_REFERENCE"),
        ("t (n) as (values 1 except select n from t)", "INVALID_RECURSIVE_REFERENCE"),
        ("t (n) as (values 1 union all select (select n from t))", "INVALID_RECURSIVE_REFERENCE"),
        ("t (n) as (values 1 union all select n from (values 1) as a (x) left join t on true)",
         "INVALID_RECURSIVE_REFERENCE"),
        ("t (n) as (values 1 union all select n, n from t)", "TYPE_MISMATCH"),
        ("t (n) as (values 1 union all select bigint '1' from t)", "TYPE_MISMATCH"),
        ("t (n) as (values 'a' union all select n || 'b' from t)", "TYPE_MISMATCH"),
        ("t (n) as (values 1 union all select n from t limit 3)", "NOT_SUPPORTED"),
        ("t (n) as (values 1 union all (select n from t limit 3))", "INVALID_LIMIT_CLAUSE"),
        ("t (n) as (with recursive u (m) as (select 1) select m from u)", "NESTED_RECURSIVE"),
    ],
)  # fmt: skip
def test_recursion_that_trino_refuses(athena: Athena, query: str, reason: str):
    assert athena.failure(f"with recursive {query} select * from t").startswith(reason)


# ------------------------------------------------------------------------------ TABLESAMPLE


def test_a_sample_is_about_as_large_as_it_should_be(athena: Athena):
    athena.run("create table t as select n from unnest(sequence(1, 10000)) as u (n)")

    half = int(athena.value("select count(*) from t tablesample bernoulli (50)"))
    both = athena.value(
        "select count(*) from t as a tablesample bernoulli (10 * 10) "
        "join t as b tablesample bernoulli (100) on a.n = b.n where a.n <= 7"
    )
    nothing = athena.value("select count(*) from (t cross join t as u) tablesample system (0)")

    assert 4500 < half < 5500  # ten standard deviations
    assert (both, nothing) == ("7", "0")


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("bernoulli (101)", "NUMERIC_VALUE_OUT_OF_RANGE"),
        ("bernoulli (-1)", "NUMERIC_VALUE_OUT_OF_RANGE"),
        ("bernoulli ('a')", "TYPE_MISMATCH"),
        ("bernoulli (null)", "INVALID_ARGUMENTS"),
        ("bernoulli (x)", "COLUMN_NOT_FOUND"),
        ("reservoir (10)", "SYNTAX_ERROR"),
        ("(10)", "SYNTAX_ERROR"),
        ("bernoulli (10%)", "SYNTAX_ERROR"),
    ],
)
def test_samples_that_trino_refuses(athena: Athena, sample: str, reason: str):
    said = athena.failure(f"select * from (values 1) as t (x) tablesample {sample}")

    assert said.startswith(reason)


# ------------------------------------------------------------------------------ hidden columns


@pytest.mark.parametrize(
    "properties",
    [
        "format='parquet', partitioned_by=array['k']",
        "format='json', partitioned_by=array['k']",
        "format='textfile', partitioned_by=array['k']",
        "table_type='iceberg', is_external=false, partitioning=array['k'], "
        "location='s3://{bucket}/ice/'",
    ],
)
def test_hidden_columns_name_the_object_of_each_row(athena: Athena, s3, properties: str):
    athena.run(
        f"create table t with ({properties.format(bucket=athena.bucket)}) as "
        "select x, x % 3 as k from unnest(sequence(1, 9)) as u (x)"
    )
    listed = {
        f"s3://{athena.bucket}/{o['Key']}": o
        for o in s3.list_objects_v2(Bucket=athena.bucket)["Contents"]
    }

    rows = athena.rows(
        'select "$path", "$file_modified_time", x from t where k <> 0 and "$path" <> \'\''
    )

    assert sorted(int(x) for *_, x in rows) == [1, 2, 4, 5, 7, 8]
    for path, moment, x in rows:
        assert f"/k={int(x) % 3}/" in path
        assert moment[:19] == listed[path]["LastModified"].strftime("%Y-%m-%d %H:%M:%S")
    header = athena.results(athena.run("select * from t")["QueryExecutionId"])["Rows"][0]["Data"]
    assert [cell["VarCharValue"] for cell in header] == ["x", "k"]


def test_size_and_partition_are_hidden_columns_of_tables_of_files(athena: Athena, s3):
    athena.run("create table t with (partitioned_by=array['a', 'b']) as select 1 x, 2 a, 'é :' b")
    (key,) = [o for o in s3.list_objects_v2(Bucket=athena.bucket)["Contents"] if "/b=" in o["Key"]]

    rows = athena.rows('select t."$partition", t."$file_size", q."$path" from t, t as q')

    assert rows[0][:2] == ("a=2/b=é %3A", str(key["Size"]))
    assert rows[0][2].endswith(key["Key"])


def test_a_column_that_a_query_calls_like_a_hidden_one_is_none(athena: Athena):
    athena.run("create table t as select 1 as x")
    athena.run('create view v as select "$path", x from t')

    for relation in ('(select "$path", x from t) as q', "v"):
        header = athena.results(athena.run(f"select * from {relation}")["QueryExecutionId"])
        names = [cell["VarCharValue"] for cell in header["Rows"][0]["Data"]]
        assert names == ["$path", "x"]
    assert athena.failure('select "$path" from (select x from t)').startswith(
        ("COLUMN_NOT_FOUND", "NOT_SUPPORTED")
    )


def test_hidden_columns_are_read_behind_unnest_only_if_named(athena: Athena):
    athena.run("create table t with (partitioned_by=array['k']) as "
               "select array[1, 2] as a, k from (values 1, 2) as v (k)")  # fmt: skip

    plain = athena.rows("explain select k, n from t cross join unnest(a) as u (n)")
    named = athena.rows(
        'select q.n, q.k, q."$partition", substr(t."$path", 1, 5) from t cross join unnest(a) '
        'with ordinality as u (n, i) join (select k, n, "$partition" from t cross join unnest(a) '
        "as u (n)) as q on q.n = u.n and q.k = t.k where i = 2 order by 2"
    )

    assert not any("HIDDEN" in line for (line,) in plain)
    assert named == [("2", "1", "k=1", "s3://"), ("2", "2", "k=2", "s3://")]


def test_only_the_object_that_is_asked_for_is_read(athena: Athena):
    athena.run("create table t with (partitioned_by=array['k']) as select 1 as x, k "
               "from (values 1, 2, 3, 4) as v (k)")  # fmt: skip
    everything = athena.run("select x from t")["Statistics"]["DataScannedInBytes"]
    path = athena.value('select "$path" from t where k = 3')

    one = athena.run(f"select x from t where \"$path\" = '{path}'")
    none = athena.run("select x from t where \"$path\" in ('a', 'b')")

    assert one["Statistics"]["DataScannedInBytes"] == everything / 4
    assert none["Statistics"]["DataScannedInBytes"] == 0


# ------------------------------------------------------------------------------ joins


def test_joins_nest_to_the_right_where_their_conditions_say_so(athena: Athena):
    values = "(values 1, 2, 3) as {0} ({0})"
    a, b, c = (values.format(name) for name in "abc")

    nested = athena.rows(
        f"select a, b, c from {a} left join {b} join {c} on b = c + 1 on a = b order by 1"
    )
    crossed = athena.rows(f"select a, b, c from {a} left join {b} cross join {c} on a = b + c")

    assert nested == [("1", None, None), ("2", "2", "1"), ("3", "3", "2")]
    assert sorted(crossed, key=str) == sorted(
        [("1", None, None), ("2", "1", "1"), ("3", "1", "2"), ("3", "2", "1")], key=str
    )
    assert athena.failure(f"select 1 from {a} natural join {b}") == (
        "NOT_SUPPORTED: line 1:41: Natural join not supported"
    )
    assert athena.failure(f"select 1 from {a} left join {b} join {c} on b = c").startswith(
        "SYNTAX_ERROR"
    )


# ------------------------------------------------------------------------------ WITH TIES


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_ties_with_the_last_row_come_too(athena: Athena, offset: int, count: int):
    ages = [30, 25, 25, 40, 30, 25, 10]
    listed = ", ".join(f"({i}, {age})" for i, age in enumerate(ages))

    found = athena.rows(
        f"select age from (values {listed}) as t (id, age) order by age desc "
        f"offset {offset} rows fetch next {count} rows with ties"
    )

    ordered = sorted(ages, reverse=True)[offset:]
    last = ordered[min(count, len(ordered)) - 1]
    assert [int(age) for (age,) in found] == [age for age in ordered if age >= last]


def test_ties_need_an_order(athena: Athena):
    t = "(values (1, 2)) as t (x, y)"
    assert athena.failure(f"select x from {t} fetch first 1 row with ties").startswith(
        "MISSING_ORDER_BY"
    )
    assert athena.rows(f"select x from {t} order by 1 fetch first row with ties") == [("1",)]
    assert "output columns" in athena.failure(
        f"select x from {t} order by y fetch first 1 row with ties"
    )


# ------------------------------------------------------------------------------ compressed lines


def test_lines_may_be_compressed_with_gzip(athena: Athena, s3):
    def put(key: str, text: str) -> None:
        s3.put_object(Bucket=athena.bucket, Key=key, Body=gzip.compress(text.encode()))

    put("j/1.json.gz", json.dumps({"N": 1, "s": "é"}) + "\n" + json.dumps({"N": 2}))
    s3.put_object(Bucket=athena.bucket, Key="j/2.json", Body=json.dumps({"N": 3}).encode())
    put("c/1.csv.gz", 'n,s\n1,"a, b"\n')
    athena.run(
        "create external table j (n bigint, s string) row format serde "
        f"'org.openx.data.jsonserde.JsonSerDe' location 's3://{athena.bucket}/j/'"
    )
    athena.run(
        "create external table c (n string, s string) row format serde "
        f"'org.apache.hadoop.hive.serde2.OpenCSVSerde' location 's3://{athena.bucket}/c/' "
        "tblproperties ('skip.header.line.count'='1')"
    )

    assert athena.rows("select n, s from j order by n") == [("1", "é"), ("2", None), ("3", None)]
    assert athena.rows("select * from c") == [("1", "a, b")]
    s3.put_object(Bucket=athena.bucket, Key="c/2.csv.bz2", Body=b"x")
    assert re.search("compressed as bz2", athena.failure("select * from c"))
