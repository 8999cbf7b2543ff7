"""What a staged batch of ``raw.access_logs`` must be before it may be published.

Blocking (critical) is only what our own code promises: a batch that breaks such a promise would
stay unpublished until somebody acts, so nothing that the source alone can cause may block. What
the source may do (a new activity, a strange path) is a warning; a record that cannot be used at all
went to quarantine before this point.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import great_expectations as gx

LAST_RECORD_ID = 2**63 - 1
"""The largest id that the table's bigint holds."""

COLUMNS = (
    "record_id",
    "activity",
    "url",
    "method",
    "log_name",
    "level_name",
    "message",
    "occurred_at",
    "occurred_at_text",
    "arrived_at",
    "extra_fields",
    "key_fingerprint",
    "batch_seq",
    "landed_at",
)
"""The columns of a staged file; said here again on purpose, so that a changed table shows up."""

DERIVED_COLUMNS = (
    "user_id_bytes",
    "dt",
    "occurred_date",
    "latest_plausible_at",
    "manifest_seq",
)
"""What ``staged_batch`` adds: a pseudonym's length instead of the pseudonym, so that no result can
show one; the partition of the file, and what it should be."""


def suite() -> "gx.ExpectationSuite":
    """Build the suite; pure, so that it can be read, diffed and tested like any code."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name="raw_access_logs",
        expectations=[
            # Every other expectation passes on no rows at all.
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                max_value=10_000_000,
                severity="critical",
                description="The batch has rows: all other checks pass on an empty one.",
            ),
            # A missing column reads as null in Athena, silently and for ever.
            gxe.ExpectTableColumnsToMatchSet(
                column_set=[*COLUMNS, *DERIVED_COLUMNS],
                exact_match=True,
                severity="critical",
                description="The columns are those of the table: Athena reads a missing one as "
                "null and ignores a new one.",
            ),
            # record_id is the identity of a record: without it nothing can be deduplicated.
            gxe.ExpectColumnValuesToNotBeNull(
                column="record_id",
                severity="critical",
                description="Every record has an id: without one it cannot be deduplicated.",
            ),
            # A doubled id is a doubled event in every metric.
            gxe.ExpectColumnValuesToBeUnique(
                column="record_id",
                severity="critical",
                description="No id occurs twice: a doubled record is a doubled event.",
            ),
            # A negative id, or one beyond bigint, came from a reading error of ours.
            gxe.ExpectColumnValuesToBeBetween(
                column="record_id",
                min_value=0,
                max_value=LAST_RECORD_ID,
                severity="critical",
                description="Ids are whole numbers from 0 to the largest bigint.",
            ),
            # An event without a user is counted for nobody: DAU would be too small.
            gxe.ExpectColumnValuesToNotBeNull(
                column="user_id_bytes",
                severity="critical",
                description="Every record has a user: without one it is counted for nobody.",
            ),
            # 16 bytes are of an HMAC; 64 would be the source's own value, which can be reversed.
            gxe.ExpectColumnValuesToBeInSet(
                column="user_id_bytes",
                value_set=[16],
                severity="critical",
                description="A user is a 16-byte keyed pseudonym: any other length may be the "
                "source's own value, which can be traced to a person.",
            ),
            # A row without a time belongs to no day.
            gxe.ExpectColumnValuesToNotBeNull(
                column="occurred_at",
                severity="critical",
                description="Every record has a time: without one it belongs to no day.",
            ),
            # Partition projection hides what lies before 2015 or after the day after tomorrow.
            gxe.ExpectColumnValuesToBeBetween(
                column="occurred_at",
                min_value="2015-01-01T00:00:00",
                max_value="2100-01-01T00:00:00",
                severity="critical",
                description="Times lie between 2015 and 2100: outside, no query would see the row.",
            ),
            # A day of slack for clocks; the decoder quarantines what is further ahead.
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="latest_plausible_at",
                column_B="occurred_at",
                or_equal=True,
                severity="critical",
                description="No record happened more than a day after it was landed: projected "
                "partitions end there and would hide it.",
            ),
            # A clock that runs ahead, or a wrong zone: nine hours is Seoul read as UTC.
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="landed_at",
                column_B="occurred_at",
                or_equal=True,
                severity="warning",
                description="Records happened before they were landed: otherwise the source's "
                "clock is ahead or its time zone is declared wrongly.",
            ),
            # The text of the time is the proof if the declared zone turns out wrong.
            gxe.ExpectColumnValuesToNotBeNull(
                column="occurred_at_text",
                severity="critical",
                description="The time as the source wrote it is kept: it is the only way back "
                "from a wrongly declared time zone.",
            ),
            # A row in the wrong partition is missed by every query that names a day.
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="dt",
                column_B="occurred_date",
                severity="critical",
                description="Each row lies in the partition of its own day in the source's zone: "
                "elsewhere, a query for that day misses it.",
            ),
            # Lag and lateness are measured from it.
            gxe.ExpectColumnValuesToNotBeNull(
                column="arrived_at",
                severity="critical",
                description="Every record has an arrival time: lag is measured from it.",
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="landed_at",
                severity="critical",
                description="Every record has a landing time: freshness is measured from it.",
            ),
            # staging keeps only contiguous published batches: another number hides the row.
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="batch_seq",
                column_B="manifest_seq",
                severity="critical",
                description="Each row carries the number of its own batch: under another number "
                "it would be hidden, or shown too early.",
            ),
            # Needed to find the rows of a key that leaked.
            gxe.ExpectColumnValuesToNotBeNull(
                column="key_fingerprint",
                severity="critical",
                description="Every row says which key opened it.",
            ),
            gxe.ExpectColumnValuesToMatchRegex(
                column="key_fingerprint",
                regex=r"^[0-9a-f]{16}$",
                severity="critical",
                description="A key's fingerprint is 16 hex digits: anything longer might be a key.",
            ),
            # Funnels and purchases are counted by it; a tracker release may drop it for some.
            gxe.ExpectColumnValuesToNotBeNull(
                column="activity",
                mostly=0.99,
                severity="warning",
                description="At least 99 % of records name an activity: a drop means a broken "
                "release of the tracker.",
            ),
            # A new activity is counted as "other" until a model knows it.
            gxe.ExpectColumnValuesToBeInSet(
                column="activity",
                value_set=["view", "cart", "purchase"],
                mostly=0.99,
                severity="warning",
                description="Activities are view, cart or purchase, save for 1 %: a new one is "
                "counted as other until a model knows it.",
            ),
            # Endpoints are grouped by it.
            gxe.ExpectColumnValuesToMatchRegex(
                column="url",
                regex=r"^/",
                mostly=0.99,
                severity="warning",
                description="Paths begin with a slash, save for 1 %: others count as endpoints.",
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="method",
                value_set=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"],
                mostly=0.99,
                severity="warning",
                description="Methods are those of HTTP, save for 1 %.",
            ),
            # Errors are recognised by level alone: the source has no status code.
            gxe.ExpectColumnValuesToBeInSet(
                column="level_name",
                value_set=["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
                mostly=0.99,
                severity="warning",
                description="Levels are Python's five, save for 1 %: an error under an unknown "
                "name is not counted as one.",
            ),
            # Personal values appear in fields that nobody declared (BAD_INPUTS 104).
            gxe.ExpectColumnValuesToNotMatchRegex(
                column="extra_fields",
                regex=r"[0-9a-fA-F]{64}|[\w.+-]+@[\w-]+\.\w",
                severity="warning",
                description="Undeclared fields hold nothing that looks like the source's user ids "
                "or an e-mail address: if they do, declare the field as personal.",
            ),
            gxe.ExpectColumnValuesToNotMatchRegex(
                column="message",
                regex=r"[0-9a-fA-F]{64}|[\w.+-]+@[\w-]+\.\w",
                severity="warning",
                description="Messages hold nothing that looks like the source's user ids or an "
                "e-mail address.",
            ),
        ],
    )
