"""What the sums of a batch must be before it may be published: one row, the manifest's own claim.

This suite is why a batch without a single good record can still be published: its refused records
have to become visible. Rows are required of the batch as a whole (``idle``), and of ``access_logs``
only where the manifest claims good ones.
"""

from typing import TYPE_CHECKING

from expectations.staged_batch import COUNTS

if TYPE_CHECKING:
    import great_expectations as gx

MAX_QUARANTINED_SHARE = 0.05
"""The source's own share of unusable records is near zero: 5 % is a wrong key or a drift."""

MAX_CONFLICT_SHARE = 0.01
"""Two records under one id are an accident; many are a source that numbers from 1 again."""

MAX_RECORDS = 10_000_000
"""Dumps are cut at 50 thousand records; a number beyond this is a misread count."""


def suite() -> "gx.ExpectationSuite":
    """Build the suite; pure, so that it can be read, diffed and tested like any code."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    zeros = {
        "unaccounted": "Offered and replayed records are good, quarantined, duplicates or "
        "conflicts: none is lost.",
        "idle": "The batch settles at least one record, good or refused, or replaces a batch.",
        "good_not_staged": "The staged files hold as many good rows as the manifest claims.",
        "quarantined_not_staged": "The staged file holds as many refused rows as the manifest "
        "claims.",
        "conflicts_not_staged": "The staged file holds as many conflicts as the manifest claims.",
        "replays_unexplained": "Only a replay takes records out of quarantine, and it is offered "
        "none; a batch that replaces another leaves away what was replayed.",
        "event_days_unaccounted": "The rows per day of the event add up to the good records.",
        "arrival_days_unaccounted": "The counts per day of arrival add up to the batch's counts: "
        "pipeline health is computed from them.",
        "arrival_days_unbalanced": "On each day of arrival the sum comes out, as over the batch.",
        "altered_files": "Every staged file still has the bytes that the manifest describes.",
        "reasons_unaccounted": "The counts per reason add up to the refused and to the replayed "
        "records.",
        "keys_unaccounted": "The counts per key add up to the rows that a key opened.",
    }
    return gx.ExpectationSuite(
        name="raw_published_batches",
        expectations=[
            gxe.ExpectTableRowCountToEqual(
                value=1,
                severity="critical",
                description="One batch is judged at a time.",
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="seq",
                severity="critical",
                description="The batch has a number.",
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="seq",
                min_value=1,
                max_value=999_999_999_999,
                severity="critical",
                description="Batches are numbered from 1; twelve digits is what its names hold.",
            ),
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column,
                    severity="critical",
                    description=f"The number of {column} records is known.",
                )
                for column in COUNTS
            ),
            *(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column,
                    # Replayed records that a batch leaves away count below zero.
                    min_value=-MAX_RECORDS if column == "replayed" else 0,
                    max_value=MAX_RECORDS,
                    severity="critical",
                    description=f"The number of {column} records is finite and plausible.",
                )
                for column in COUNTS
            ),
            # A promise of the ledger: with a difference, some reader sees a wrong sum.
            *(
                gxe.ExpectColumnValuesToBeInSet(
                    column=column, value_set=[0], severity="critical", description=description
                )
                for column, description in zeros.items()
            ),
            # A warning, because blocking would hide the very rows that show what is wrong.
            gxe.ExpectColumnValuesToBeBetween(
                column="quarantined_share",
                min_value=0,
                max_value=MAX_QUARANTINED_SHARE,
                severity="warning",
                description="At most 5 % of the batch was refused: more is a wrong key or a "
                "source that changed its format. Query quarantined_records by reason.",
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="conflict_share",
                min_value=0,
                max_value=MAX_CONFLICT_SHARE,
                severity="warning",
                description="At most 1 % of the batch claims an id that an earlier record has: "
                "more is a source that uses its ids again. Query quarantined_records for "
                "ID_CONFLICT.",
            ),
        ],
    )
