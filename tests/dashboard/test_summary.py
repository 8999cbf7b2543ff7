import json
from datetime import UTC, date, datetime

import pytest

from dashboard.summary import count_dbt_results, last_complete_day, summarise
from dashboard.warehouse import Numbers
from tests.dashboard.numbers import daily, numbers

BUILT_AT = datetime(2026, 11, 20, 14, 0, 5, tzinfo=UTC)


def run_results(*results: tuple[str, str]) -> bytes:
    return json.dumps({"results": [{"unique_id": i, "status": s} for i, s in results]}).encode()


@pytest.mark.parametrize(
    ("days", "expected"), [(0, None), (1, None), (2, date(2026, 10, 1)), (35, date(2026, 11, 3))]
)
def test_last_complete_day_is_the_day_before_the_newest_event(days, expected):
    found = last_complete_day(daily(days))

    assert (found["metric_date"] if found else None) == expected


def test_dbt_results_count_each_success_once_over_all_tasks():
    first = run_results(("model.d.a", "success"), ("test.d.x", "pass"), ("test.d.y", "fail"))
    second = run_results(("model.d.a", "success"), ("model.d.b", "error"), ("test.d.z", "pass"))
    third = run_results(
        ("unit_test.d.u", "pass"), ("seed.d.s", "success"), ("model.d.c", "success")
    )

    found = count_dbt_results([first, second, third])

    assert found == (2, 2)


def test_summary_has_the_agreed_fields_and_is_json():
    validations = {
        "raw": {"statistics": {"evaluated_expectations": 25}},
        "marts": {"statistics": {"evaluated_expectations": 12}},
    }

    found = summarise(numbers(3), [run_results(("model.d.a", "success"))], validations, BUILT_AT)

    assert json.loads(json.dumps(found)) == {
        "offered": 1200,
        "good": 1000,
        "quarantined": 5,
        "duplicate": 193,
        "conflict": 2,
        "replayed": 0,
        "models": 1,
        "tests": 0,
        "expectations": 37,
        "metric_date": "2026-10-02",
        "dau": 101,
        "wau": 301,
        "mau": 901,
        "as_of": "2026-11-20T14:00:05Z",
    }


def test_summary_of_nothing_has_zeros_and_nulls():
    found = summarise(Numbers(), [], {}, BUILT_AT)

    assert found["offered"] == found["models"] == 0
    assert found["metric_date"] is found["dau"] is found["mau"] is None
