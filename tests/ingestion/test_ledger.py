import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import ContractError
from ingestion.ledger import IdRanges, balance, check, total


@given(st.lists(st.integers(0, 60)), st.lists(st.integers(0, 60)))
def test_id_ranges_are_a_set(first: list[int], second: list[int]):
    ranges = IdRanges().union(first).union(second)
    truth = set(first) | set(second)

    assert [number for number in range(-2, 63) if number in ranges] == sorted(truth)
    pairs = list(ranges)
    assert all(high + 1 < low for (_, high), (low, _) in itertools.pairwise(pairs))
    missing = {n for low, high in ranges.gaps() for n in range(low, high + 1)}
    assert missing == (set(range(min(truth), max(truth))) - truth if truth else set())


@pytest.mark.parametrize(
    ("ranges", "start"),
    [
        ([], None),
        ([(1, 5_000)], 5_000),
        ([(1, 500)], None),
        ([(1, 4_500), (4_502, 5_000)], 4_500),
        ([(1, 2_000), (2_002, 5_000)], 5_000),
        ([(1, 3_000), (4_500, 5_000)], 3_000),
    ],
)
def test_cursor_starts_below_every_gap_within_the_late_horizon(ranges: list, start: int | None):
    # 5000 - 1000 = 4000: only gaps above it are read again.
    assert IdRanges(ranges).cursor(1_000) == start


def test_balance_has_a_row_per_day_and_refuses_a_sum_that_is_off():
    days = [{"arrived_date": "2026-01-02", "offered": 5, "duplicate": 2}]

    (row,) = balance(days, {"2026-01-02": 2}, {"2026-01-02": 1}, {}, seq=1)

    assert (row["offered"], row["good"], row["quarantined"], row["duplicate"]) == (5, 2, 1, 2)
    with pytest.raises(ContractError, match="batch 1, arrival day 2026-01-02"):
        balance(days, {"2026-01-02": 3}, {"2026-01-02": 1}, {}, seq=1)
    with pytest.raises(ContractError, match="arrival day 2026-01-03"):
        balance(days, {"2026-01-02": 3, "2026-01-03": 1}, {}, {}, seq=1)


def test_check_and_total_count():
    row = {"offered": 3, "good": 1, "quarantined": 2, "duplicate": 1, "conflict": 1, "replayed": 2}

    check(row, "here")
    assert total([row, row]) == {
        "batches": 2,
        "offered": 6,
        "good": 2,
        "quarantined": 4,
        "duplicate": 2,
        "conflict": 2,
        "replayed": 4,
    }
