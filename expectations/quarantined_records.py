"""What the refused records of a staged batch must be before they may be shown.

How many there are is judged in ``published_batches``; here, only whether each can be understood,
counted on its day and replayed once its cause is cured.
"""

from typing import TYPE_CHECKING

from ingestion.reasons import Reason, Stage

if TYPE_CHECKING:
    import great_expectations as gx

COLUMNS = (
    "batch_seq",
    "record_id",
    "record_key",
    "reason",
    "stage",
    "envelope",
    "key_fingerprint",
    "arrived_date",
    "landed_at",
)
"""The columns of the staged file; said here again on purpose, so that a changed table shows up."""

DERIVED_COLUMNS = ("manifest_seq",)
"""What ``staged_batch`` adds: the number that each row should carry."""


def suite() -> "gx.ExpectationSuite":
    """Build the suite; pure, so that it can be read, diffed and tested like any code."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name="raw_quarantined_records",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                max_value=10_000_000,
                severity="critical",
                description="The file has rows: all other checks pass on an empty one.",
            ),
            gxe.ExpectTableColumnsToMatchSet(
                column_set=[*COLUMNS, *DERIVED_COLUMNS],
                exact_match=True,
                severity="critical",
                description="The columns are those of the table.",
            ),
            # The key by which a replay supersedes the row.
            gxe.ExpectColumnValuesToNotBeNull(
                column="record_key",
                severity="critical",
                description="Every refused record has a key: a replay finds it by that.",
            ),
            # Twice the same key would be counted as two lost records.
            gxe.ExpectColumnValuesToBeUnique(
                column="record_key",
                severity="critical",
                description="No refused record occurs twice: it would be counted as two.",
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="reason",
                severity="critical",
                description="Every refused record says why.",
            ),
            # The health page groups by reason; a free text could also carry a value.
            gxe.ExpectColumnValuesToBeInSet(
                column="reason",
                value_set=[str(reason) for reason in Reason],
                severity="critical",
                description="Reasons come from the closed list: a free text could carry a value.",
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="stage",
                severity="critical",
                description="Every refused record says how far it came.",
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="stage",
                value_set=[str(stage) for stage in Stage],
                severity="critical",
                description="Stages are those of the decoder.",
            ),
            # What was sent is the only thing that a replay can start from.
            gxe.ExpectColumnValuesToNotBeNull(
                column="envelope",
                severity="critical",
                description="What was sent is kept: a replay starts from it.",
            ),
            # A source that forgets to encrypt is the source's doing, so it does not block.
            gxe.ExpectColumnValuesToNotMatchRegex(
                column="envelope",
                regex=r"user_id",
                severity="warning",
                description="What was sent is still encrypted: a readable field name means that "
                "the source sent a record in the clear.",
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="arrived_date",
                severity="critical",
                description="Every refused record belongs to a day of arrival.",
            ),
            gxe.ExpectColumnValuesToMatchRegex(
                column="arrived_date",
                regex=r"^20\d\d-[01]\d-[0-3]\d$",
                severity="critical",
                description="The day of arrival is a date: pipeline health is counted by it.",
            ),
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="batch_seq",
                column_B="manifest_seq",
                severity="critical",
                description="Each row carries the number of its own batch.",
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="landed_at",
                severity="critical",
                description="Every refused record has a landing time.",
            ),
        ],
    )
