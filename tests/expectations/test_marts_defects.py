"""One seeded defect for each expectation of the marts, through Athena: it turns red, nothing else.

All defects lie side by side, a table for each, so that one connection judges them all.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from expectations import marts
from expectations.validation import Validation, quiet_context, validate_batch
from tests.expectations.marts_rows import SCHEMAS, Rows, clean, place
from tests.expectations.test_marts import DEFECT_VALUES, NEWEST, SUITES

Defect = Callable[[Rows], Rows]


def newest(**changes: object) -> Defect:
    """Spoil the last whole day and the newest one, which the checks of a week look at."""

    def change(rows: Rows) -> Rows:
        days = (NEWEST, NEWEST - timedelta(days=1))
        times = ("metric_date", "arrived_date", "event_date")
        return [
            row | changes if any(row.get(name) in days for name in times) else row for row in rows
        ]

    return change


def first(**changes: object) -> Defect:
    return lambda rows: [rows[0] | changes, *rows[1:]]


SQL_DEFECTS: dict[str, Defect] = {
    "The metrics account for every batch": lambda rows: [r | {"as_of_batch_seq": 0} for r in rows],
    "The last whole day has between half and twice": newest(dau=401),
    "No day of the last week has more than 5,000 endpoints": lambda rows: (
        rows + [rows[-1] | {"route": f"/r{n}"} for n in range(5_000)]
    ),
    "No busy endpoint failed for more than a fifth": newest(error_rate_low=0.21),
    "On no day of the last week more than 5 %": newest(quarantined_count=60),
    "On no day of the last week more than 1 %": newest(sequence_completeness=0.98),
    "No user has more than 86,400 events a day": newest(event_count=86_401),
}
"""By how the expectation's reason begins."""

CENTURY = [date(1900, 1, 1) + timedelta(days=n) for n in range(40_001)]
ROW_COUNTS: dict[str, Defect] = {
    # An empty table also lacks every batch: here it is too many days.
    "metrics_daily_active": lambda rows: [rows[0] | {"metric_date": day} for day in CENTURY],
    "fct_user_daily": lambda rows: [],
    "metrics_endpoint_daily": lambda rows: [],
    "metrics_pipeline_health_daily": lambda rows: [],
}


def defect_of(table: str, expectation: Any) -> Defect:
    """Return what breaks this expectation and no other."""
    kind = expectation.expectation_type.removeprefix("expect_column_")
    if kind == "expect_table_row_count_to_be_between":
        return ROW_COUNTS[table]
    if kind == "unexpected_rows_expectation":
        (found,) = [
            d for begin, d in SQL_DEFECTS.items() if expectation.description.startswith(begin)
        ]
        return found
    value = DEFECT_VALUES[kind]
    if kind == "values_to_be_unique":
        value = clean()[table][1][expectation.column]
    return first(**{expectation.column: value})


def label(expectation: Any) -> str:
    column = getattr(expectation, "column", None)
    return f"{column or 'table'}: {expectation.description}"


CASES = [
    (table, number)
    for table, suite in SUITES.items()
    for number in range(len(suite().expectations))
]


@pytest.fixture(scope="module")
def judged(local_aws: str) -> Callable[[str, int | None], Validation]:
    """Return a judge of one defect, or of clean rows; all tables are in place."""
    from ingestion import Settings

    settings = Settings(
        source_url="http://127.0.0.1:9/",
        fernet_keys="unused",
        pseudonym_key="5a" * 32,
        lake_bucket="marts-defects",
        warehouse_schema="marts_defects",
        aws_endpoint_url=local_aws,
    )
    tables, schemas = clean(), {}
    for table, number in CASES:
        expectation = SUITES[table]().expectations[number]
        name = f"{table}__{number}"
        tables[name] = defect_of(table, expectation)(tables[table])
        schemas[name] = SCHEMAS[table]
    with pytest.MonkeyPatch.context() as patch:
        for name, schema in schemas.items():
            patch.setitem(SCHEMAS, name, schema)
        place(settings, tables)
    source = quiet_context().data_sources.add_sql(
        name="defects", connection_string=marts.connection_url(settings), create_temp_table=False
    )

    def judge(table: str, number: int | None) -> Validation:
        name = table if number is None else f"{table}__{number}"
        asset = source.add_table_asset(name=name, table_name=name)
        batch = asset.add_batch_definition_whole_table("whole").get_batch()
        return validate_batch(SUITES[table](), batch, "seeded")

    return judge


@pytest.mark.parametrize("table", SUITES)
def test_clean_rows_turn_nothing_red(judged: Callable[[str, int | None], Validation], table: str):
    found = judged(table, None)

    assert found.failed_blocking == found.failed_warning == []


@pytest.mark.parametrize(("table", "number"), CASES)
def test_a_seeded_defect_turns_its_expectation_red_and_no_other(
    judged: Callable[[str, int | None], Validation], table: str, number: int
):
    expectation = SUITES[table]().expectations[number]

    found = judged(table, number)

    is_warning = expectation.severity == "warning"
    red, silent = found.failed_blocking, found.failed_warning
    if is_warning:
        red, silent = silent, red
    assert red == [label(expectation)]
    assert silent == []
