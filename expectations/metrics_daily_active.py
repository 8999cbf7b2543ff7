"""What ``metrics_daily_active`` must be before people read it: the numbers that get quoted.

That sums tie to staging and that windows are right is proved by dbt's tests; here it is whether the
table as a whole can be believed: there, fresh, finite, and not unlike the week before.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import great_expectations as gx

MAX_USERS = 1_000_000_000
"""A bound that only an error reaches: a cross join, or a sum of distinct counts."""

# The snapshot is a table that dbt wrote in this very run, so it cannot run ahead of the metrics.
# Batches without good records touch no day and leave every row of the metrics as it was.
BEHIND_SNAPSHOT = """
    select snapshot.batch_seq
    from (
        select max(batch_seq) as batch_seq from stg_access_logs__batches where good_count > 0
    ) as snapshot
    cross join (select max(as_of_batch_seq) as batch_seq from {batch}) as built
    where built.batch_seq is null or built.batch_seq < snapshot.batch_seq
"""

# The newest day is still filling up, so the day before it is compared with its own weekday.
UNLIKE_LAST_WEEK = """
    select this_week.metric_date
    from {batch} as this_week
    inner join {batch} as last_week
        on last_week.metric_date = date_add('day', -7, this_week.metric_date)
    where
        this_week.metric_date = (select date_add('day', -1, max(metric_date)) from {batch})
        and last_week.dau >= 100
        and (this_week.dau < 0.5 * last_week.dau or this_week.dau > 2.0 * last_week.dau)
"""


def suite() -> "gx.ExpectationSuite":
    """Build the suite; pure, so that it can be read, diffed and tested like any code."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name="metrics_daily_active",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                max_value=40_000,
                severity="critical",
                description="There is a row per day and no more than a century of them.",
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="metric_date",
                severity="critical",
                description="Every row has a day: bounds below pass on nulls.",
            ),
            gxe.ExpectColumnValuesToBeUnique(
                column="metric_date",
                severity="critical",
                description="A day has one row: two would double every chart.",
            ),
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column,
                    severity="critical",
                    description=f"{column.upper()} is known every day: an empty day is 0.",
                )
                for column in ("dau", "wau", "mau")
            ),
            *(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column,
                    min_value=0,
                    max_value=MAX_USERS,
                    severity="critical",
                    description=f"{column.upper()} is a finite number of people.",
                )
                for column in ("dau", "wau", "mau")
            ),
            # Null is allowed: the ratio has no meaning on a window without users.
            gxe.ExpectColumnValuesToBeBetween(
                column="dau_mau",
                min_value=0,
                max_value=1,
                severity="critical",
                description="Stickiness is a share: beyond 1 the two windows were not the same.",
            ),
            gxe.UnexpectedRowsExpectation(
                unexpected_rows_query=BEHIND_SNAPSHOT,
                severity="critical",
                description="The metrics account for every batch of this build: otherwise "
                "yesterday's table is shown as today's.",
            ),
            gxe.UnexpectedRowsExpectation(
                unexpected_rows_query=UNLIKE_LAST_WEEK,
                severity="warning",
                description="The last whole day has between half and twice the users of the same "
                "weekday a week before: beyond that, look before quoting it.",
            ),
        ],
    )
