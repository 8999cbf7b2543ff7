"""Great Expectations on Athena through SQLAlchemy, told nothing but a connection string."""

from typing import Any
from uuid import uuid4

import boto3
import pytest

from tests.warehouses import Warehouse

ROWS = """
    select * from (values
        (1, 'kr', 1.5e0, date '2024-01-01'),
        (2, 'de', 2.5e0, date '2024-01-02'),
        (3, 'de', null, date '2024-01-03'),
        (4, 'x1', 9.0e0, date '2024-01-03')
    ) as t (id, country, score, day)
"""


@pytest.fixture(scope="module")
def batch(local_aws: str) -> Any:
    """A table with four rows, as Great Expectations sees it."""
    import great_expectations as gx

    name = f"expected{uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=name)
    boto3.client("glue").create_database(DatabaseInput={"Name": name})
    Warehouse(name, name).query(f"create table {name}.people as {ROWS}")
    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_sql(
        "athena",
        connection_string=f"awsathena+rest://:@athena.us-east-1.amazonaws.com:443/{name}"
        f"?s3_staging_dir=s3://{name}/results/&poll_interval=0.02",
        create_temp_table=False,
    )
    asset = source.add_table_asset("people", table_name="people")
    return asset.add_batch_definition_whole_table("all").get_batch()


@pytest.fixture(scope="module")
def queried(batch: Any) -> Any:
    """The result of a query, as a batch of its own."""
    asset = batch.datasource.add_query_asset(
        "grouped", query="select country, count(*) as people from people group by country"
    )
    return asset.add_batch_definition_whole_table("all").get_batch()


def expectations() -> list[tuple[str, dict[str, Any], bool]]:
    return [
        ("ExpectTableRowCountToEqual", {"value": 4}, True),
        ("ExpectTableColumnsToMatchSet", {"column_set": ["id", "country", "score", "day"]}, True),
        ("ExpectColumnToExist", {"column": "day"}, True),
        ("ExpectColumnValuesToBeOfType", {"column": "country", "type_": "VARCHAR"}, True),
        ("ExpectColumnValuesToBeUnique", {"column": "id"}, True),
        ("ExpectColumnValuesToBeUnique", {"column": "country"}, False),
        ("ExpectColumnValuesToNotBeNull", {"column": "score"}, False),
        ("ExpectColumnValuesToNotBeNull", {"column": "score", "mostly": 0.75}, True),
        ("ExpectColumnValuesToBeBetween", {"column": "score", "max_value": 5}, False),
        ("ExpectColumnValuesToBeInSet", {"column": "country", "value_set": ["kr", "de"]}, False),
        ("ExpectColumnValuesToMatchRegex", {"column": "country", "regex": "^[a-z]{2}$"}, False),
        ("ExpectColumnValueLengthsToEqual", {"column": "country", "value": 2}, True),
        ("ExpectColumnDistinctValuesToBeInSet",
         {"column": "country", "value_set": ["kr", "de", "x1"]}, True),
        ("ExpectColumnMaxToBeBetween", {"column": "score", "min_value": 9, "max_value": 9}, True),
        ("ExpectColumnMeanToBeBetween", {"column": "id", "min_value": 2.5, "max_value": 2.5}, True),
        ("ExpectColumnMedianToBeBetween", {"column": "id", "min_value": 2, "max_value": 3}, True),
        ("ExpectColumnSumToBeBetween", {"column": "id", "min_value": 10, "max_value": 10}, True),
        ("ExpectColumnStdevToBeBetween",
         {"column": "id", "min_value": 1.2, "max_value": 1.3}, True),
        ("ExpectColumnUniqueValueCountToBeBetween",
         {"column": "country", "min_value": 3, "max_value": 3}, True),
        ("ExpectCompoundColumnsToBeUnique", {"column_list": ["country", "day"]}, True),
        ("ExpectColumnPairValuesAToBeGreaterThanB", {"column_A": "id", "column_B": "score"}, False),
        ("UnexpectedRowsExpectation",
         {"unexpected_rows_query": "select * from {batch} where day > date '2024-01-02'"}, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"), expectations(), ids=lambda value: str(value)[:60]
)
def test_an_expectation_holds_or_not(
    batch: Any, kind: str, arguments: dict[str, Any], expected: bool
):
    import great_expectations.expectations as gxe

    result = batch.validate(getattr(gxe, kind)(**arguments))

    assert result.exception_info.get("exception_message") is None, result.exception_info
    assert result.success is expected, result.result


def test_a_failure_names_its_values(batch: Any):
    import great_expectations.expectations as gxe

    result = batch.validate(gxe.ExpectColumnValuesToBeInSet(column="country", value_set=["kr"]))

    assert result.result["unexpected_count"] == 3
    assert result.result["partial_unexpected_list"] == ["de", "de", "x1"]


def test_a_query_is_a_batch_too(queried: Any):
    import great_expectations.expectations as gxe

    result = queried.validate(
        gxe.ExpectColumnMaxToBeBetween(column="people", min_value=2, max_value=2)
    )

    assert result.success is True
