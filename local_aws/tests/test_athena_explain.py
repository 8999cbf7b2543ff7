"""EXPLAIN, and statements that are prepared and executed."""

import pytest

from local_aws.tests.athena import Athena


@pytest.fixture
def athena(shared_server, bucket: str, database: str) -> Athena:
    found = Athena(shared_server, bucket, database)
    found.run(
        "create table t with (partitioned_by=array['k']) as "
        "select x, x * 2 as y, x % 2 as k from unnest(sequence(1, 6)) as u (x)"
    )
    return found


def plan(athena: Athena, sql: str) -> list[str]:
    return [line for (line,) in athena.rows(sql)]


def test_explain_shows_steps_tables_columns_and_filters(athena: Athena):
    lines = plan(
        athena,
        "explain (type logical) select a.x, count(*) as n from t as a left join t as b "
        "on a.x = b.y where a.k = 1 group by a.x order by 2 limit 3",
    )

    scan = f"Scan[table = awsdatacatalog:{athena.database}:t"
    assert lines[:2] == ["Output[columnNames = [x, n]]", "│   Layout: [x:bigint, n:bigint]"]
    steps = [line.strip("│├└─ ").split("[")[0] for line in lines]
    assert [s for s in steps if s in ("Limit", "Sort", "Aggregate", "LeftJoin")] == [
        "Limit", "Sort", "Aggregate", "LeftJoin",
    ]  # fmt: skip
    assert sum("awsdatacatalog" in line for line in lines) == 2
    assert any("filterPredicate = (k = 1)]" in line for line in lines), scan
    assert sum(line.endswith("k := k:bigint:PARTITION_KEY") for line in lines) == 1


def test_explain_reads_and_writes_nothing(athena: Athena):
    execution = athena.run("explain insert into t select * from t")
    athena.run("explain create table u as select * from t")

    assert execution["Statistics"]["DataScannedInBytes"] == 0
    assert (execution["StatementType"], execution["SubstatementType"]) == ("UTILITY", "EXPLAIN")
    assert athena.value("select count(*) from t") == "6"
    assert athena.failure("select * from u").startswith("TABLE_NOT_FOUND")


def test_explain_analyze_tells_what_was_read(athena: Athena):
    wanted = athena.run("select sum(y) from t where k = 1")["Statistics"]["DataScannedInBytes"]

    execution = athena.run("explain analyze select sum(y) from t where k = 1")
    found = athena.results(execution["QueryExecutionId"])["Rows"]

    lines = [row["Data"][0]["VarCharValue"] for row in found]
    assert any(line.endswith(f"Output: 1 rows, Input: {wanted}B") for line in lines)
    assert any(line.endswith(f"Physical input: {wanted}B") for line in lines)
    assert execution["Statistics"]["DataScannedInBytes"] == wanted > 0


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("explain select nowhere from t", "COLUMN_NOT_FOUND"),
        ("explain (type validate) select 'a' = 1", "TYPE_MISMATCH"),
        ("explain insert into t select 'a', 1, 1", "TYPE_MISMATCH"),
        ("explain create table u as select 1", "MISSING_COLUMN_NAME"),
        ("explain (type io, format json) select 1", "NOT_SUPPORTED"),
        ("explain (format graphviz) select 1", "NOT_SUPPORTED"),
        ("explain analyze insert into t values (1, 1, 1)", "NOT_SUPPORTED"),
        ("explain (type fast) select 1", "SYNTAX_ERROR"),
        ("explain (analyze) select 1", "SYNTAX_ERROR"),
        ("explain analyze (type logical) select 1", "SYNTAX_ERROR"),
        ("explain", "SYNTAX_ERROR"),
    ],
)
def test_explain_that_fails(athena: Athena, statement: str, reason: str):
    assert athena.failure(statement).startswith(reason)


def test_explain_only_validates_if_asked_to(athena: Athena):
    assert athena.rows("explain (type validate) select x from t") == [("true",)]


# ------------------------------------------------------------------------------ PREPARE, EXECUTE


def test_a_prepared_statement_takes_values_of_any_type(athena: Athena):
    athena.run("prepare p from select x from t where x > ? and cast(x as varchar) <> ? limit ?")
    athena.run("prepare w from insert into t values (?, ?, ?)")

    athena.run("execute w using 100, 5 * 5, -1")

    assert athena.rows("execute p using 4, '5', 10") in ([("6",), ("100",)], [("100",), ("6",)])
    assert athena.rows("select y, k from t where x = 100") == [("25", "-1")]
    athena.run("deallocate prepare p")
    assert "Prepared statement not found: p" in athena.failure("execute p using 1, 'a', 1")


def test_execution_parameters_are_expressions_in_order(athena: Athena):
    rows = athena.rows(
        "select ? + 1, ? || '!', x from t where x = ?",
        ExecutionParameters=["1", "'it''s'", "2"],
    )

    assert rows == [("2", "it's!", "2")]


@pytest.mark.parametrize(
    ("statement", "options", "reason"),
    [
        ("select ?", {}, "INVALID_PARAMETER_USAGE"),
        ("select ?, ?", {"ExecutionParameters": ["1"]}, "INVALID_PARAMETER_USAGE"),
        ("select ?", {"ExecutionParameters": ["1", "2"]}, "INVALID_PARAMETER_USAGE"),
        ("select ?", {"ExecutionParameters": ["it's"]}, "SYNTAX_ERROR"),
        ("select x from t where x = ?", {"ExecutionParameters": ["'1'"]}, "TYPE_MISMATCH"),
        ("select ?", {"ExecutionParameters": ["nowhere"]}, "COLUMN_NOT_FOUND"),
        ("prepare p from selec 1", {}, "SYNTAX_ERROR"),
        ("prepare p from prepare q from select 1", {}, "NOT_SUPPORTED"),
        ("execute nowhere", {}, "NOT_FOUND"),
        ("deallocate prepare nowhere", {}, "NOT_FOUND"),
    ],
)
def test_parameters_that_do_not_fit(athena: Athena, statement: str, options: dict, reason: str):
    assert athena.failure(statement, **options).startswith(reason)
