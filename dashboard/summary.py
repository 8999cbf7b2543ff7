"""The figures that everybody asks for, as one small JSON object. Pure.

The **last complete day** is the latest day before the day of the newest event: a day is complete
once an event of a later day has been seen. Days are days of METRIC_TIME_ZONE. With events of one
day only there is no complete day, and the figures are null.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from dashboard.athena import Row
from dashboard.warehouse import Numbers


def last_complete_day(daily: list[Row]) -> Row | None:
    """Return the row of the last complete day; ``daily`` has a row for every day, oldest first."""
    return daily[-2] if len(daily) >= 2 else None


def summarise(
    numbers: Numbers,
    run_results: Iterable[bytes],
    validations: Mapping[str, Mapping[str, Any]],
    built_at: datetime,
) -> dict[str, Any]:
    """Gather the figures; ``as_of`` is when the site was built, in UTC."""
    day = last_complete_day(numbers.daily)
    models, tests = count_dbt_results(run_results)
    counts = ("offered", "good", "quarantined", "duplicate", "conflict", "replayed")
    return {
        **{name: int(numbers.totals.get(name) or 0) for name in counts},
        "models": models,
        "tests": tests,
        "expectations": sum(
            int(document["statistics"]["evaluated_expectations"])
            for document in validations.values()
        ),
        "metric_date": str(day["metric_date"]) if day else None,
        **{name: int(day[name]) if day else None for name in ("dau", "wau", "mau")},
        "as_of": f"{built_at:%Y-%m-%dT%H:%M:%SZ}",
    }


def count_dbt_results(run_results: Iterable[bytes]) -> tuple[int, int]:
    """Count distinct models that were built and tests that passed over dbt's run results."""
    models: set[str] = set()
    tests: set[str] = set()
    for body in run_results:
        for result in json.loads(body).get("results", []):
            name, status = str(result.get("unique_id")), result.get("status")
            if name.startswith("model.") and status == "success":
                models.add(name)
            elif name.startswith("test.") and status == "pass":
                tests.add(name)
    return len(models), len(tests)
