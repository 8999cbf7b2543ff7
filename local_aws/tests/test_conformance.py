"""Ours held to what real Trino 435 answered; and the comparison itself held to what it must see."""

from pathlib import Path

import pytest

from local_aws.conformance import answers
from local_aws.conformance.answers import Answer
from local_aws.conformance.compare import EQUAL, REFUSED, WRONG, compare
from local_aws.conformance.corpus import REFUSALS, Statement, statements, topics
from local_aws.conformance.report import SHARE, Report, check
from local_aws.conformance.trino_values import text_of
from local_aws.engine import results


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Report:
    found = check(tmp_path_factory.mktemp("corpus"), [])
    plugins = request.config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        plugins.get_plugin("terminalreporter").write_line("\n" + found.lines()[-1])
    return found


def test_every_answer_is_trinos_or_a_refusal_or_listed(report: Report):
    assert [f"{s.key}: {v.why}" for s, v in report.wrong] == []


def test_no_listed_difference_is_none_any_more(report: Report):
    assert report.stale == []


def test_trino_was_asked_every_statement_in_these_words(report: Report):
    assert report.missing == []


def test_enough_is_equal(report: Report):
    assert report.share >= SHARE, report.lines()[-1]


def test_whatever_athena_rejects_is_rejected(report: Report):
    stored = answers.read(REFUSALS)

    assert report.refusals == len(statements(REFUSALS)) == len(stored) >= 60
    assert all(answer.error for answer in stored.values())


def test_corpus_is_as_large_as_it_says():
    assert sum(len(statements(topic)) for topic in topics() if topic != REFUSALS) >= 400


# ------------------------------------------------------------------ the comparison

PLAIN = Statement("topic", "name", "select x from t")
ORDERED = Statement("topic", "name", "select x from t order by x")


def table(*rows: list, kind: str = "integer") -> Answer:
    return Answer([("x", kind)], [list(row) for row in rows])


@pytest.mark.parametrize(
    ("trino", "ours", "word"),
    [
        (table([1], [2]), table(["1"], ["2"]), EQUAL),
        (table([1], [2]), table(["2"], ["1"]), EQUAL),
        (table([1], [2]), table(["1"], ["3"]), WRONG),
        (table([1], [1]), table(["1"]), WRONG),
        (table([None]), table(["null"]), WRONG),
        (table([1]), table(["1"], kind="bigint"), WRONG),
        (table([1]), Answer([("y", "integer")], [["1"]]), WRONG),
        (table(["1.5"], kind="double"), table(["1.5"], kind="double"), EQUAL),
        (table(["0.3"], kind="double"), table(["0.30000000000000004"], kind="double"), EQUAL),
        (table(["0.3"], kind="double"), table(["0.30000001"], kind="double"), WRONG),
        (table(["NaN"], kind="double"), table(["1.0"], kind="double"), WRONG),
        (table(["1.5"], kind="varchar"), table(["1.50"], kind="varchar"), WRONG),
        (table([{"a": 1, "b": 2}], kind="map(varchar, integer)"),
         table(["{b=2, a=1}"], kind="map(varchar, integer)"), EQUAL),
        (table([1]), Answer(error="NOT_SUPPORTED"), REFUSED),
        (table([1]), Answer(error="INTERNAL"), WRONG),
        (Answer(error="TYPE_MISMATCH"), Answer(error="TYPE_MISMATCH"), EQUAL),
        (Answer(error="TYPE_MISMATCH"), Answer(error="SYNTAX_ERROR"), REFUSED),
        (Answer(error="TYPE_MISMATCH"), table(["1"]), WRONG),
    ],
)  # fmt: skip
def test_compare_says(trino: Answer, ours: Answer, word: str):
    assert compare(PLAIN, trino, ours).word == word


def test_compare_minds_the_order_only_where_the_statement_gives_one():
    inner = Statement("topic", "name", "select x, rank() over (order by x) from t")

    assert compare(ORDERED, table([1], [2]), table(["2"], ["1"])).word == WRONG
    assert not inner.ordered


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (True, "boolean", "true"),
        ("AP8=", "varbinary", "00 ff"),
        ("2024-01-01 00:00:00", "timestamp(0)", "2024-01-01 00:00:00.000"),
        ("2024-01-01 00:00:00 UTC", "timestamp(0) with time zone", "2024-01-01 00:00:00.000 UTC"),
        ([1, None], "array(integer)", "[1, null]"),
        ([1, "a"], "row(x integer, varchar(1))", "{x=1, field1=a}"),
        ({"k": [[2]]}, "map(varchar, array(row(integer)))", "{k=[{field0=2}]}"),
        (["1.50"], "array(decimal(3,2))", "[1.50]"),
    ],
)
def test_values_of_trino_are_shown_as_athena_shows_them(value: object, kind: str, shown: str):
    assert text_of(value, kind) == shown


def test_check_notices_a_broken_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(results, "double_text", lambda value: f"{value:.3f}")

    report = check(tmp_path, ["arithmetic"])

    assert report.wrong
    assert not report.passed
