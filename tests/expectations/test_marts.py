"""The checks of the marts as a whole; test_marts_defects.py has a defect for each expectation."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from expectations import (
    CheckFailed,
    check_marts,
    fct_user_daily,
    marts,
    metrics_daily_active,
    metrics_endpoint_daily,
    metrics_pipeline_health_daily,
)
from expectations.validation import validate_frame
from tests.expectations.marts_rows import DAYS, FIRST_DAY, Rows, clean, place

SUITES = {
    module.__name__.rsplit(".", 1)[-1]: module.suite
    for module in (
        fct_user_daily,
        metrics_daily_active,
        metrics_endpoint_daily,
        metrics_pipeline_health_daily,
    )
}
NEWEST = FIRST_DAY + timedelta(days=DAYS - 1)
DEFECT_VALUES = {
    "values_to_not_be_null": None,
    "values_to_be_between": -1,
    "values_to_be_unique": FIRST_DAY + timedelta(days=1),
}


def in_pandas(table: str) -> list[object]:
    """Return the expectations that need no SQL: their defects can be judged without Athena."""
    return [e for e in SUITES[table]().expectations if "unexpected_rows" not in e.expectation_type]


def judged(table: str, frame: pd.DataFrame) -> list[str]:
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=table, expectations=in_pandas(table))
    return validate_frame(suite, frame, "test").failed_blocking


@pytest.mark.parametrize("table", SUITES)
def test_clean_mart_is_green_and_an_empty_one_is_red(table):
    frame = pd.DataFrame(clean()[table])

    assert judged(table, frame) == []
    assert any("table: There " in failure for failure in judged(table, frame.iloc[:0]))


@pytest.mark.parametrize(
    ("table", "column"),
    [("metrics_daily_active", "dau_mau"), ("metrics_endpoint_daily", "error_rate")],
)
def test_infinity_is_no_share(table, column):
    frame = pd.DataFrame(clean()[table])
    spoiled = frame.assign(**{column: float("inf")})

    assert judged(table, spoiled)


def test_connection_polls_quickly_only_where_the_endpoint_is_a_stand_in(make_settings):
    local = make_settings(AWS_ENDPOINT_URL="http://127.0.0.1:4566", ATHENA_WORKGROUP="w")
    aws = make_settings(AWS_ENDPOINT_URL="")

    there, here = (parse_qs(urlsplit(marts.connection_url(s)).query) for s in (aws, local))

    assert here["endpoint_url"] == ["http://127.0.0.1:4566"]
    assert here["poll_interval"] == ["0.05"]
    assert here["work_group"] == ["w"]
    assert {"endpoint_url", "poll_interval"} & there.keys() == set()


def test_clean_marts_pass_through_athena(lake_settings):
    place(lake_settings, clean())

    found = check_marts(lake_settings)

    assert found.failed_blocking == found.failed_warning == []
    assert found.evaluated == sum(len(suite().expectations) for suite in SUITES.values())


def spoil(table: str, **changes: object) -> Callable[[dict[str, Rows]], None]:
    def change_newest_rows(tables: dict[str, Rows]) -> None:
        for row in tables[table]:
            day = row.get("metric_date") or row.get("arrived_date") or row.get("event_date")
            if day in (None, NEWEST, NEWEST - timedelta(days=1)):
                row.update(changes)

    return change_newest_rows


@pytest.mark.parametrize(
    ("defect", "reason"),
    [
        (spoil("metrics_daily_active", dau=99), "between half and twice"),
        (spoil("fct_user_daily", event_count=86_401), "more than 86,400 events"),
    ],
)
def test_suspicious_marts_warn_and_do_not_block(lake_settings, defect, reason):
    tables = clean()
    defect(tables)
    place(lake_settings, tables)

    found = check_marts(lake_settings)

    assert found.failed_blocking == []
    assert len(found.failed_warning) == 1
    assert reason in found.failed_warning[0]


def test_metrics_that_miss_a_batch_with_good_records_block(lake_settings):
    tables = clean()
    tables["stg_access_logs__batches"].append({"batch_seq": 3, "good_count": 1})
    place(lake_settings, tables)

    with pytest.raises(CheckFailed, match="account for every batch"):
        check_marts(lake_settings)


def test_lake_of_refused_records_only_passes_with_empty_marts(lake_settings):
    tables = {name: [] for name in clean()}
    tables["stg_access_logs__batches"] = [{"batch_seq": 1, "good_count": 0}]
    tables["metrics_pipeline_health_daily"] = [
        clean()["metrics_pipeline_health_daily"][0]
        | {"good_count": 0, "quarantined_count": 10, "sequence_completeness": None}
    ]
    place(lake_settings, tables)

    found = check_marts(lake_settings)

    assert found.failed_blocking == []
    assert found.evaluated == len(SUITES["metrics_pipeline_health_daily"]().expectations)
