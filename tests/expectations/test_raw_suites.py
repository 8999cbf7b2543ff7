"""Each expectation on a staged batch has a defect that turns it red, and it alone is aimed at."""

import functools
from collections.abc import Callable
from datetime import datetime

import pandas as pd
import pytest

from expectations import access_logs, published_batches, quarantined_records, staged_batch
from expectations.validation import validate_frame
from tests.expectations.batches import (
    MANIFEST_KEY,
    conflict_row,
    good_row,
    refused_row,
    staged,
)

Frame = pd.DataFrame
Defect = Callable[[Frame], Frame]
SUITES = {
    "good": access_logs.suite,
    "quarantined": quarantined_records.suite,
    "sums": published_batches.suite,
}


@functools.cache
def clean() -> dict[str, Frame]:
    refused = [refused_row(900), refused_row(901), conflict_row(1)]
    lake = staged([good_row(n) for n in range(200)], refused, 40)
    manifest = staged_batch.read_manifest(lake.objects[MANIFEST_KEY])
    batch = staged_batch.read(manifest, lake.get, "Asia/Seoul")
    tables = {name: getattr(batch, name) for name in SUITES}
    # 2 and 1 of 203 are under the tolerated shares.
    return {name: table.to_pandas() for name, table in tables.items()}


def set_all(**values: object) -> Defect:
    return lambda frame: frame.assign(**values)


def set_first(column: str, value: object) -> Defect:
    def spoil(frame: Frame) -> Frame:
        values = frame[column].astype(object).tolist()
        return frame.assign(**{column: [value, *values[1:]]})

    return spoil


NULL = "values_to_not_be_null"
BETWEEN = "values_to_be_between"
IN_SET = "values_to_be_in_set"
COUNTS = ("offered", "good", "quarantined", "duplicate", "conflict", "replayed")
ZEROS = (
    *("unaccounted", "idle", "good_not_staged", "quarantined_not_staged", "conflicts_not_staged"),
    *("replays_unexplained", "event_days_unaccounted", "arrival_days_unaccounted"),
    *("arrival_days_unbalanced", "altered_files", "reasons_unaccounted", "keys_unaccounted"),
)

# (frame, what the expectation says, its column) -> a defect
DEFECTS: dict[tuple[str, str, str], Defect] = {
    ("good", "table_row_count_to_be_between", ""): lambda frame: frame.iloc[:0],
    ("good", "table_columns_to_match_set", ""): set_all(surprise=1),
    ("good", NULL, "record_id"): set_first("record_id", None),
    ("good", "values_to_be_unique", "record_id"): set_first("record_id", 1),
    ("good", BETWEEN, "record_id"): set_first("record_id", -1),
    ("good", NULL, "user_id_bytes"): set_first("user_id_bytes", None),
    ("good", IN_SET, "user_id_bytes"): set_first("user_id_bytes", 64),
    ("good", NULL, "occurred_at"): set_first("occurred_at", pd.NaT),
    ("good", BETWEEN, "occurred_at"): set_all(occurred_at=datetime(2014, 12, 31)),
    ("good", "pair_values_a_to_be_greater_than_b", "latest_plausible_at"): set_all(
        occurred_at=datetime(2026, 11, 3, 3, 0, 1)
    ),
    ("good", "pair_values_a_to_be_greater_than_b", "landed_at"): set_all(
        occurred_at=datetime(2026, 11, 2, 3, 0, 1)
    ),
    ("good", NULL, "occurred_at_text"): set_first("occurred_at_text", None),
    ("good", "pair_values_to_be_equal", "dt"): set_all(dt="2026-11-01"),
    ("good", NULL, "arrived_at"): set_first("arrived_at", pd.NaT),
    ("good", NULL, "landed_at"): set_first("landed_at", pd.NaT),
    ("good", "pair_values_to_be_equal", "batch_seq"): set_first("batch_seq", 8),
    ("good", NULL, "key_fingerprint"): set_first("key_fingerprint", None),
    ("good", "values_to_match_regex", "key_fingerprint"): set_first("key_fingerprint", "ab" * 16),
    ("good", NULL, "activity"): set_all(activity=None),
    ("good", IN_SET, "activity"): set_all(activity="teleport"),
    ("good", "values_to_match_regex", "url"): set_all(url="api"),
    ("good", IN_SET, "method"): set_all(method="BREW"),
    ("good", IN_SET, "level_name"): set_all(level_name="FATAL"),
    ("good", "values_to_not_match_regex", "extra_fields"): set_first(
        "extra_fields", '{"mail": "someone@example.org"}'
    ),
    ("good", "values_to_not_match_regex", "message"): set_first("message", "user " + "0f" * 32),
    ("quarantined", "table_row_count_to_be_between", ""): lambda frame: frame.iloc[:0],
    ("quarantined", "table_columns_to_match_set", ""): lambda frame: frame.drop(columns="stage"),
    ("quarantined", NULL, "record_key"): set_first("record_key", None),
    ("quarantined", "values_to_be_unique", "record_key"): set_all(record_key="900"),
    ("quarantined", NULL, "reason"): set_first("reason", None),
    ("quarantined", IN_SET, "reason"): set_first("reason", "BECAUSE"),
    ("quarantined", NULL, "stage"): set_first("stage", None),
    ("quarantined", IN_SET, "stage"): set_first("stage", "kitchen"),
    ("quarantined", NULL, "envelope"): set_first("envelope", None),
    ("quarantined", "values_to_not_match_regex", "envelope"): set_first(
        "envelope", "{'user_id': 1}"
    ),
    ("quarantined", NULL, "arrived_date"): set_first("arrived_date", None),
    ("quarantined", "values_to_match_regex", "arrived_date"): set_first("arrived_date", "soon"),
    ("quarantined", "pair_values_to_be_equal", "batch_seq"): set_first("batch_seq", 8),
    ("quarantined", NULL, "landed_at"): set_first("landed_at", pd.NaT),
    ("sums", "table_row_count_to_equal", ""): lambda frame: pd.concat([frame, frame]),
    ("sums", NULL, "seq"): set_all(seq=None),
    ("sums", BETWEEN, "seq"): set_all(seq=0),
    **{("sums", NULL, count): set_all(**{count: None}) for count in COUNTS},
    **{("sums", BETWEEN, count): set_all(**{count: -1e9}) for count in COUNTS},
    **{("sums", IN_SET, zero): set_all(**{zero: 1}) for zero in ZEROS},
    ("sums", BETWEEN, "quarantined_share"): set_all(quarantined_share=0.06),
    ("sums", BETWEEN, "conflict_share"): set_all(conflict_share=0.02),
}


def names(frame: str) -> dict[str, tuple[str, str, str]]:
    """Return the table's key of each expectation, by the label under which it fails."""
    found = {}
    for expectation in SUITES[frame]().expectations:
        config = expectation.configuration
        columns = [config.kwargs.get(name) for name in ("column", "column_A", "column_B")]
        label = " and ".join(column for column in columns if column) or "table"
        kind = config.type.removeprefix("expect_column_").removeprefix("expect_")
        key = (frame, kind, config.kwargs.get("column") or config.kwargs.get("column_A") or "")
        found[f"{label}: {expectation.description}"] = key
    return found


@pytest.mark.parametrize("frame", SUITES)
def test_clean_batch_is_green(frame):
    suite = SUITES[frame]()

    found = validate_frame(suite, clean()[frame], "test")

    assert found.failed_blocking == []
    assert found.failed_warning == []
    assert found.evaluated == len(suite.expectations)


def test_every_expectation_has_a_defect_and_a_reason():
    known = [key for frame in SUITES for key in names(frame).values()]

    descriptions = [e.description for frame in SUITES for e in SUITES[frame]().expectations]

    assert sorted(known) == sorted(DEFECTS), "Add a defect for the new expectation to DEFECTS"
    assert all(descriptions)
    assert len(set(descriptions)) > len(descriptions) - 5


@pytest.mark.parametrize("key", DEFECTS, ids=lambda key: " ".join(key))
def test_defect_turns_its_expectation_red(key):
    spoiled = DEFECTS[key](clean()[key[0]])

    found = validate_frame(SUITES[key[0]](), spoiled, "test")

    failed = {
        names(key[0])[label.removesuffix(" (could not be evaluated)")]
        for label in (*found.failed_blocking, *found.failed_warning)
    }
    assert key in failed


@pytest.mark.parametrize(
    ("column", "value"),
    [("activity", "teleport"), ("url", "api"), ("method", "BREW"), ("level_name", "FATAL")],
)
def test_what_the_source_alone_can_cause_never_blocks(column, value):
    drifted = clean()["good"].assign(**{column: value})

    found = validate_frame(access_logs.suite(), drifted, "test")

    assert found.failed_blocking == []
    assert len(found.failed_warning) == 1
