"""What ``metrics_pipeline_health_daily`` must be: it is the page that blames the pipeline first."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import great_expectations as gx

MAX_RECORDS = 1_000_000_000_000
"""A bound that only an error reaches."""

TOO_MANY_REFUSED = """
    select arrived_date
    from {batch}
    where
        arrived_date >= (select date_add('day', -6, max(arrived_date)) from {batch})
        and quarantined_count > 0.05 * (good_count + quarantined_count)
"""

# A window API forgets what nobody fetched in time, and the gap can never be filled.
RECORDS_MISSED = """
    select arrived_date
    from {batch}
    where
        arrived_date >= (select date_add('day', -6, max(arrived_date)) from {batch})
        and sequence_completeness < 0.99
"""


def suite() -> "gx.ExpectationSuite":
    """Build the suite; pure, so that it can be read, diffed and tested like any code."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    counts = (
        *("offered_count", "good_count", "quarantined_count"),
        *("duplicate_count", "conflict_count", "replayed_count"),
    )
    return gx.ExpectationSuite(
        name="metrics_pipeline_health_daily",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                max_value=40_000,
                severity="critical",
                description="There is a row per day of arrival: even refused records make one.",
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="arrived_date",
                severity="critical",
                description="Every row has a day of arrival.",
            ),
            gxe.ExpectColumnValuesToBeUnique(
                column="arrived_date",
                severity="critical",
                description="A day of arrival has one row.",
            ),
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column,
                    severity="critical",
                    description=f"The {column} of every day is known.",
                )
                for column in counts
            ),
            *(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column,
                    min_value=0,
                    max_value=MAX_RECORDS,
                    severity="critical",
                    description=f"The {column} of a day is finite and not negative.",
                )
                for column in counts
            ),
            # Null is allowed: a day without a usable id has no sequence.
            gxe.ExpectColumnValuesToBeBetween(
                column="sequence_completeness",
                min_value=0,
                max_value=1,
                severity="critical",
                description="Completeness is a share of the ids between the first and the last.",
            ),
            gxe.UnexpectedRowsExpectation(
                unexpected_rows_query=TOO_MANY_REFUSED,
                severity="warning",
                description="On no day of the last week more than 5 % of the records were "
                "refused: query quarantined_records by reason.",
            ),
            gxe.UnexpectedRowsExpectation(
                unexpected_rows_query=RECORDS_MISSED,
                severity="warning",
                description="On no day of the last week more than 1 % of the ids are missing: "
                "poll more often, the API's window has moved on.",
            ),
        ],
    )
