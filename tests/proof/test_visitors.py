"""The log that everything is proved on holds what the proofs rely on."""

from collections import Counter
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.proof.shipping import Batch, cut, put_right
from tests.proof.visitors import DAY, SEOUL, Recipe, arrivals, days

RECIPE = Recipe(6, date(2024, 2, 1), 40, 60, quiet_days=(12, 13))
HALF_HOUR = 1_800_000


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return arrivals(RECIPE)


def instants(log: pa.Table, column: str) -> np.ndarray:
    return np.asarray(log[column].cast(pa.int64()))


def test_the_same_recipe_gives_the_same_log_and_another_seed_another(log: pa.Table):
    other = Recipe(7, RECIPE.first_day, RECIPE.days, RECIPE.users)

    assert arrivals(RECIPE).equals(log)
    assert not arrivals(other).equals(log)


def test_it_arrives_in_order_under_ids_that_go_up_with_holes(log: pa.Table):
    ids = log["record_id"].to_numpy()

    assert (np.diff(instants(log, "arrived_at")) >= 0).all()
    assert set(np.diff(ids)) > {1, 2}


def test_nothing_arrives_before_it_happened_and_some_of_it_weeks_later(log: pa.Table):
    delays = instants(log, "arrived_at") - instants(log, "occurred_at")

    assert delays.min() > 0
    assert delays.max() > 10 * DAY
    assert (np.diff(instants(log, "occurred_at")) < 0).any()


def test_sessions_are_as_long_as_their_definition_can_tell(log: pa.Table):
    table = log.sort_by([("user_id", "ascending"), ("occurred_at", "ascending")])
    gaps = np.diff(instants(table, "occurred_at"))

    assert {HALF_HOUR - 1, HALF_HOUR, HALF_HOUR + 1} <= set(gaps)
    hours = (instants(log, "occurred_at") + SEOUL) % DAY
    assert {0, DAY - 1} <= set(hours)


def test_there_are_users_who_only_fail_who_never_sleep_and_who_hammer(log: pa.Table):
    rows = zip(log["user_id"].to_pylist(), log["level_name"].to_pylist(), strict=True)
    succeed = {user for user, level in rows if level not in ("ERROR", "CRITICAL")}
    minutes = Counter(
        zip(log["user_id"].to_pylist(), instants(log, "occurred_at") // 60_000, strict=True)
    )

    assert set(log["user_id"].to_pylist()) - succeed
    assert sum(count > 60 for count in minutes.values()) >= 5


def test_quiet_days_are_quiet():
    counts = [table.num_rows for table in days(RECIPE)]

    assert [day for day, count in enumerate(counts) if count < 3] == [12, 13]


def test_batches_hold_every_record_once_with_all_that_goes_wrong(log: pa.Table):
    batches = cut(log, 9, 6)
    ids = [
        number for b in batches for t in (b.good, b.locked) for number in t["record_id"].to_pylist()
    ]

    assert sorted(ids) == log["record_id"].to_pylist()
    assert ids != sorted(ids)
    for wrong in ("locked", "conflicts"):
        assert any(getattr(batch, wrong).num_rows for batch in batches)
    assert any(batch.duplicates for batch in batches)
    assert any(batch.without_id for batch in batches)


def test_a_batch_that_is_put_right_accounts_for_the_same_records(log: pa.Table):
    batch = Batch(good=log.slice(0, 300))

    right = put_right(batch, 1, 6)

    both = pa.concat_tables([right.good, right.locked])["record_id"].to_pylist()
    assert sorted(both) == batch.good["record_id"].to_pylist()
    assert right.locked.num_rows
    moved = pc.sum(pc.invert(pc.is_in(right.good["occurred_at"], batch.good["occurred_at"])))
    assert moved.as_py() > 0


def test_a_day_of_the_year_is_the_size_that_the_cost_is_measured_on():
    recipe = Recipe(7, date(2024, 1, 1), 60, 2_000, events_per_session=4, is_punctual=True)
    late = timedelta(0)

    for table in days(recipe):
        delays = instants(table, "arrived_at") - instants(table, "occurred_at")
        late = max(late, timedelta(milliseconds=int(delays.max())))
    assert table.num_rows > 1_000
    assert late < timedelta(minutes=1)
