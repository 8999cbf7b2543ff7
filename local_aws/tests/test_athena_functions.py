"""Functions and operators. Expected values are written by hand from Trino's documentation."""

from pathlib import Path

import pytest

from local_aws.tests.athena import Athena

CASES = [
    line.rsplit(" | ", 1)
    for line in Path(__file__).with_name("athena_functions.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.fixture(scope="module")
def athena(shared_server) -> Athena:
    shared_server.client("s3").create_bucket(Bucket="athena-functions")
    return Athena(shared_server, "athena-functions", "default")


@pytest.mark.parametrize(("expression", "expected"), CASES)
def test_expression_gives_what_trino_gives(athena: Athena, expression: str, expected: str):
    value = athena.value(f"select {expression}")

    assert ("NULL" if value is None else value) == expected


@pytest.mark.parametrize(("expression", "expected"), CASES[::7])
def test_expression_gives_the_same_for_a_column(athena: Athena, expression: str, expected: str):
    """Constants are folded when the query is planned; the same with a row to compute."""
    value = athena.value(f"select {expression} from (values 1, 2) as t (n) where n = 2")

    assert ("NULL" if value is None else value) == expected
