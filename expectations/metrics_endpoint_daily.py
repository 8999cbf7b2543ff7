"""What ``metrics_endpoint_daily`` must be before people read it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import great_expectations as gx

MAX_REQUESTS = 1_000_000_000_000
"""A bound that only an error reaches."""

# Route templates keep the number of endpoints small; unknown ids in paths break that first.
TOO_MANY_ENDPOINTS = """
    select metric_date, count(*) as endpoint_count
    from {batch}
    where metric_date >= (select date_add('day', -7, max(metric_date)) from {batch})
    group by metric_date
    having count(*) > 5000
"""

# The lower end of the interval, so that a few unlucky requests wake nobody.
FAILING_ENDPOINTS = """
    select metric_date
    from {batch}
    where
        metric_date >= (select date_add('day', -1, max(metric_date)) from {batch})
        and request_count >= 100
        and error_rate_low > 0.2
"""


def suite() -> "gx.ExpectationSuite":
    """Build the suite; pure, so that it can be read, diffed and tested like any code."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name="metrics_endpoint_daily",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                max_value=1_000_000_000,
                severity="critical",
                description="There are endpoints: all other checks pass on an empty table.",
            ),
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column,
                    severity="critical",
                    description=f"Every row has its {column}: a null in a merge key is inserted "
                    "again on every run.",
                )
                for column in ("metric_date", "route", "method")
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="request_count",
                severity="critical",
                description="Requests are counted on every row.",
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="request_count",
                min_value=1,
                max_value=MAX_REQUESTS,
                severity="critical",
                description="An endpoint has at least one request on a day it is listed for.",
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="error_rate",
                severity="critical",
                description="The error rate is known: a row without requests is never written.",
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="error_rate",
                min_value=0,
                max_value=1,
                severity="critical",
                description="The error rate is a share: errors are some of the requests.",
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="share_of_requests",
                min_value=0,
                max_value=1,
                severity="critical",
                description="An endpoint's share of a day's requests is a share.",
            ),
            gxe.UnexpectedRowsExpectation(
                unexpected_rows_query=TOO_MANY_ENDPOINTS,
                severity="warning",
                description="No day of the last week has more than 5,000 endpoints: more means "
                "that ids in paths are no longer folded into templates.",
            ),
            gxe.UnexpectedRowsExpectation(
                unexpected_rows_query=FAILING_ENDPOINTS,
                severity="warning",
                description="No busy endpoint failed for more than a fifth of its requests on "
                "the last two days, chance allowed for.",
            ),
        ],
    )
