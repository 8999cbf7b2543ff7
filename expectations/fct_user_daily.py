"""What ``fct_user_daily`` must be: every metric about people is computed from it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import great_expectations as gx

MAX_EVENTS = 1_000_000_000
"""A bound that only an error reaches."""

# 86,400 a day is one per second without sleep: a machine, and it moves every average.
MACHINES = """
    select event_date
    from {batch}
    where event_count > 86400
"""


def suite() -> "gx.ExpectationSuite":
    """Build the suite; pure, so that it can be read, diffed and tested like any code."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name="fct_user_daily",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                max_value=100_000_000_000,
                severity="critical",
                description="There are users: all other checks pass on an empty table.",
            ),
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column,
                    severity="critical",
                    description=f"Every row has its {column}: a null in a merge key is inserted "
                    "again on every run.",
                )
                for column in ("user_id", "event_date", "event_count", "first_event_at")
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="event_count",
                min_value=1,
                max_value=MAX_EVENTS,
                severity="critical",
                description="A user has at least one event on a day listed for them.",
            ),
            gxe.UnexpectedRowsExpectation(
                unexpected_rows_query=MACHINES,
                severity="warning",
                description="No user has more than 86,400 events a day: one per second is a "
                "machine, and it moves every average.",
            ),
        ],
    )
