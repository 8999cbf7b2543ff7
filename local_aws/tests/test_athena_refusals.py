"""What Athena refuses is refused here: else local success would mean nothing."""

import pytest

from local_aws.tests.athena import Athena

SYNTAX = "SYNTAX_ERROR"
TYPE = "TYPE_MISMATCH"
COLUMN = "COLUMN_NOT_FOUND"
FUNCTION = "FUNCTION_NOT_FOUND"
T = "(values (1, 'a', date '2024-01-01')) as t (x, s, d)"

CASES = [
    # ---------- grammar
    ("select '1'::integer", SYNTAX),
    (f"select x from {T} qualify row_number() over (order by x) = 1", SYNTAX),
    (f"select * exclude (x) from {T}", SYNTAX),
    (f"select * except (x) from {T}", SYNTAX),
    (f"select * replace (1 as x) from {T}", SYNTAX),
    (f"select x, count(*) from {T} group by all", SYNTAX),
    (f"select x from {T} order by all", COLUMN),
    (f"from {T}", SYNTAX),
    (f"from {T} select x", SYNTAX),
    ("select [1, 2]", SYNTAX),
    ("select {'a': 1}", SYNTAX),
    ("select array[1, 2][1:2]", SYNTAX),
    ("select 2 ** 3", SYNTAX),
    ("select 7 // 2", SYNTAX),
    ("select 5 & 3", SYNTAX),
    ("select 1 == 1", SYNTAX),
    ("select 'a' ilike 'A'", SYNTAX),
    ("select 'a' ~ 'a'", SYNTAX),
    ("select x from t limit 5 offset 2", SYNTAX),
    ("select top 5 x from t", SYNTAX),
    ("select 'a' as 'b'", SYNTAX),
    ("select `x` from t", SYNTAX),
    ("select 1,", SYNTAX),
    ("select x, from t", SYNTAX),
    ("select 1; select 2", SYNTAX),
    ("select $1", SYNTAX),
    (f"select x from {T} asof join {T} using (x)", SYNTAX),
    (f"select x from {T} using sample 10%", SYNTAX),
    (f"select x from {T} semi join {T} using (x)", SYNTAX),
    ("pivot t on x", SYNTAX),
    ("select x is true from t", SYNTAX),
    ("select 1 as end", SYNTAX),
    ("select a b c", SYNTAX),
    ("select case when true then 1", SYNTAX),
    ("selec 1", SYNTAX),
    ("select count(* ) filter (x > 1) from t", SYNTAX),
    ("insert into t", SYNTAX),
    ("update t where x = 1", SYNTAX),
    ("create macro f(x) as x", SYNTAX),
    ("copy t to 'x.csv'", SYNTAX),
    ("attach 'x.db'", SYNTAX),
    ("install httpfs", SYNTAX),
    ("pragma version", SYNTAX),
    ("set threads = 1", SYNTAX),
    ("", "InvalidRequest"),
    # ---------- names
    (f"select y from {T}", COLUMN),
    (f"select x as k, count(*) from {T} group by k", COLUMN),
    (f"select x as k from {T} where k = 1", COLUMN),
    (f"select x as k, k + 1 from {T}", COLUMN),
    (f"select count(*) as n from {T} having n > 0", COLUMN),
    ('select "a"', COLUMN),
    (f"select t.x from {T} join (values 1) as u (x) using (x)", COLUMN),
    ("select x from (values 1) as a (x), (values 2) as b (x)", "AMBIGUOUS_NAME"),
    ("select * from nowhere", "TABLE_NOT_FOUND"),
    ("select * from nowhere.t", "SCHEMA_NOT_FOUND"),
    ("select * from other.nowhere.t", "CATALOG_NOT_FOUND"),
    ("select * from '/etc/passwd'", SYNTAX),
    ('select * from "/etc/passwd"', "TABLE_NOT_FOUND"),
    ('select * from "data.parquet"', "TABLE_NOT_FOUND"),
    # ---------- functions that only DuckDB has
    ("select * from read_csv('x')", SYNTAX),
    ("select read_text('/etc/passwd')", FUNCTION),
    ("select list_value(1)", FUNCTION),
    ("select len('a')", FUNCTION),
    ("select strftime(now(), '%Y')", FUNCTION),
    ("select string_split('a', 'b')", FUNCTION),
    ("select struct_pack(a := 1)", SYNTAX),
    ("select list_transform(array[1], x -> x)", FUNCTION),
    ("select ifnull(1, 2)", FUNCTION),
    ("select nvl(1, 2)", FUNCTION),
    ("select isnull(1)", FUNCTION),
    ("select datediff('day', date '2024-01-01', date '2024-01-02')", FUNCTION),
    ("select string_agg(s, ',') from (values 'a') as t (s)", FUNCTION),
    ("select group_concat(s) from (values 'a') as t (s)", FUNCTION),
    ("select median(x) from (values 1) as t (x)", FUNCTION),
    ("select getenv('HOME')", FUNCTION),
    ("select epoch_ms(1)", FUNCTION),
    ("select local_fail('a', 'b', 'c')", FUNCTION),
    # ---------- types
    (f"select * from {T} where s = 1", TYPE),
    (f"select * from {T} where x = '1'", TYPE),
    (f"select * from {T} where d = '2024-01-01'", TYPE),
    (f"select * from {T} where d > 20240101", TYPE),
    (f"select * from {T} where s in (1, 2)", TYPE),
    (f"select * from {T} where x between '1' and '2'", TYPE),
    ("select 'a' || 1", FUNCTION),
    ("select 1 + '1'", TYPE),
    ("select date '2024-01-01' + 1", TYPE),
    ("select date '2024-01-01' + interval '1' hour", "INVALID_FUNCTION_ARGUMENT"),
    ("select coalesce(1, 'a')", TYPE),
    ("select case when true then 1 else 'a' end", TYPE),
    ("select if(true, 1, 'a')", TYPE),
    ("select 1 union all select 'a'", TYPE),
    ("select 1 union all select 1, 2", TYPE),
    ("select length(5)", FUNCTION),
    ("select upper(1)", FUNCTION),
    ("select md5('a')", FUNCTION),
    ("select to_hex('a')", FUNCTION),
    ("select sum('1')", FUNCTION),
    ("select sum(true)", FUNCTION),
    ("select cast('a' as string)", TYPE),
    ("select cast(1 as text)", TYPE),
    ("select cast(date '2024-01-01' as bigint)", TYPE),
    ("select cast(1 as date)", TYPE),
    ("select not 1", TYPE),
    ("select 1 and true", TYPE),
    ("select 1 where 1", TYPE),
    ("select date_add('day', '1', date '2024-01-01')", FUNCTION),
    ("select date_diff('day', '2024-01-01', '2024-01-02')", FUNCTION),
    ("select array[1, 'a']", TYPE),
    ("select 1 like '1'", TYPE),
    ("select split(1, ',')", FUNCTION),
    ("select array[1]['a']", TYPE),
    ("select x.a from (values 1) as t (x)", TYPE),
    ("select * from unnest(1)", "INVALID_FUNCTION_ARGUMENT"),
    ("select greatest(1, 'a')", FUNCTION),
    ("select * from (values 1, 'a') as t (x)", TYPE),
    ("select * from (values (1, 2)) as t (x)", "MISMATCHED_COLUMN_ALIASES"),
    # ---------- values
    ("select cast('x' as integer)", "INVALID_CAST_ARGUMENT"),
    ("select cast('1.5' as integer)", "INVALID_CAST_ARGUMENT"),
    ("select cast(' 1' as integer)", "INVALID_CAST_ARGUMENT"),
    ("select cast('2024-01-01T00:00:00' as timestamp)", "INVALID_CAST_ARGUMENT"),
    ("select cast('2024-01-01 00:00:00' as date)", "INVALID_CAST_ARGUMENT"),
    ("select cast('yes' as boolean)", "INVALID_CAST_ARGUMENT"),
    ("select cast(300 as tinyint)", ""),
    ("select date '2024-02-30'", "INVALID_LITERAL"),
    ("select json_extract('{}', '$..a')", "INVALID_FUNCTION_ARGUMENT"),
    ("select date_parse('x', '%Y')", "INVALID_FUNCTION_ARGUMENT"),
    ("select date_trunc('eon', date '2024-01-01')", "INVALID_FUNCTION_ARGUMENT"),
    ("select at_timezone(now(), 'Mars/Olympus')", "INVALID_FUNCTION_ARGUMENT"),
    ("select sequence(1, 20000)", "INVALID_FUNCTION_ARGUMENT"),
    ("select map(array['a'], array[1])['b']", "INVALID_FUNCTION_ARGUMENT"),
    ("select array[1][0]", "INVALID_FUNCTION_ARGUMENT"),
    # ---------- aggregation
    (f"select x, count(*) from {T}", "EXPRESSION_NOT_AGGREGATE"),
    (f"select s from {T} group by x", "EXPRESSION_NOT_AGGREGATE"),
    (f"select x from {T} where count(*) > 1", "EXPRESSION_NOT_SCALAR"),
    (f"select sum(count(*)) from {T}", "NESTED_AGGREGATION"),
    (f"select x from {T} group by 2", "INVALID_COLUMN_REFERENCE"),
    (f"select x from {T} order by 2", "INVALID_COLUMN_REFERENCE"),
    (f"select distinct x from {T} order by s", "EXPRESSION_NOT_IN_DISTINCT"),
    ("select row_number()", "MISSING_OVER"),
    ("select upper(distinct 'a')", "FUNCTION_NOT_AGGREGATE"),
    # ---------- valid on Athena, but not known to be right here: refused, never guessed
    ("select regexp_like('abc', '\\\\p{Lower}(?=b)')", "NOT_SUPPORTED"),
]  # fmt: skip


@pytest.fixture(scope="module")
def athena(shared_server) -> Athena:
    shared_server.client("s3").create_bucket(Bucket="athena-refusals")
    shared_server.client("glue").create_database(DatabaseInput={"Name": "refusals"})
    return Athena(shared_server, "athena-refusals", "refusals")


@pytest.mark.parametrize(("statement", "reason"), [c for c in CASES if c[0]])
def test_statement_is_refused(athena: Athena, statement: str, reason: str):
    said = athena.failure(statement)

    assert said.startswith(reason), said
    assert "DuckDB" not in said


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("select foo(1)", "FUNCTION_NOT_FOUND: line 1:8: Function 'foo' not registered"),
        (
            "select 1\nfrom nowhere",
            "TABLE_NOT_FOUND: line 2:6: Table 'awsdatacatalog.refusals.nowhere' does not exist",
        ),
        (
            "select y",
            "COLUMN_NOT_FOUND: line 1:8: Column 'y' cannot be resolved or requester is not "
            "authorized to access requested resources",
        ),
        (
            "select 'a' = 1",
            "TYPE_MISMATCH: line 1:12: Cannot apply operator: varchar(1) = integer",
        ),
        ("select cast(1 as string)", "TYPE_MISMATCH: line 1:18: Unknown type: string"),
    ],
)
def test_refusal_is_worded_as_athena_words_it(athena: Athena, statement: str, said: str):
    assert athena.failure(statement) == said
