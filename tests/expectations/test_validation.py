"""Silence is not success: nothing evaluated, not everything evaluated, or a crash are all red."""

import json

import pandas as pd
import pytest

from expectations.validation import judge, validate_frame

CANARY = "canary-3f9c1b7a"


def item(success: bool = True, severity: str = "critical", **info: object) -> dict[str, object]:
    return {
        "success": success,
        "expectation_config": {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "a", "batch_id": "x"},
            "severity": severity,
            "description": "a is there",
        },
        "exception_info": {"raised_exception": False, **info},
    }


def result(*items: dict[str, object]) -> dict[str, object]:
    return {"results": list(items), "meta": {}}


def test_empty_suite_is_red():
    import great_expectations as gx

    empty = gx.ExpectationSuite(name="nothing", expectations=[])

    found = validate_frame(empty, pd.DataFrame({"a": [1]}), "test")

    assert found.failed_blocking == ["the suite has 0 expectations and 0 were evaluated"]
    assert found.document["success"] is False


def test_an_expectation_that_was_not_evaluated_is_red():
    found = judge("s", 2, result(item()), "test")

    assert found.failed_blocking == ["the suite has 2 expectations and 1 were evaluated"]


@pytest.mark.parametrize("severity", ["warning", "critical"])
@pytest.mark.parametrize("success", [True, False])
def test_a_raised_expectation_blocks_whatever_its_severity_and_its_success_flag(severity, success):
    flat = item(success, severity, raised_exception=True)
    nested = item(success, severity) | {"exception_info": {"metric": {"raised_exception": True}}}

    found = [judge("s", 1, result(one), "test") for one in (flat, nested)]

    assert [one.failed_blocking for one in found] == [
        ["a: a is there (could not be evaluated)"]
    ] * 2
    assert not any(one.document["success"] for one in found)


def test_a_real_crash_inside_great_expectations_is_red():
    import great_expectations as gx
    import great_expectations.expectations as gxe

    broken = gx.ExpectationSuite(
        name="broken",
        expectations=[
            gxe.ExpectColumnValuesToNotBeNull(column="absent", severity="warning", description="d")
        ],
    )

    found = validate_frame(broken, pd.DataFrame({"a": [1]}), "test")

    assert found.failed_blocking == ["absent: d (could not be evaluated)"]


def test_severity_decides_between_blocking_and_warning():
    found = judge("s", 2, result(item(False), item(False, "warning")), "test")

    assert found.failed_blocking == ["a: a is there"]
    assert found.failed_warning == ["a: a is there"]


def test_no_value_and_no_trace_of_an_exception_is_kept():
    raised = item(False, raised_exception=True, exception_message=CANARY)
    observed = item(False) | {"result": {"partial_unexpected_list": [CANARY]}}

    found = judge("s", 2, result(raised, observed), "test")

    assert CANARY not in json.dumps(found.document)
    assert CANARY not in "".join(found.failed_blocking)
