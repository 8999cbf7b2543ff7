"""The warehouse, built by real dbt on local_aws from hand-written batches, against the oracle.

One story is told once (``story``): batches are published one after the other, late, out of order,
with gaps, and dbt runs after each. The tests then look at what readers saw at each step.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest

from tests.oracle import Row, utc
from tests.populations import boundaries, numbered, population
from tests.publishing import SEOUL, Batches, Publisher, record, rejects
from tests.warehouses import (
    EXACT_TABLES,
    Chronicle,
    Step,
    Warehouse,
    assert_same_rows,
    counted,
    use_lake,
)

RETURNED, ERASED = 173, 188
"""Users of batch 5: one was known since 14 March only, the other not at all."""

TRUST = {"is_final", "completeness_pct", "as_of_batch_seq", "as_of", "is_complete"}


@dataclass
class World:
    """Where one test module works: its own bucket, raw database and schema on local_aws."""

    publisher: Publisher
    warehouse: Warehouse
    metric_zone: str
    chronicle: Chronicle = field(default_factory=Chronicle)

    def tell(self, *commands: Sequence[str]) -> Step:
        """Run dbt, the last time all of it, and look at every table."""
        statuses: Counter[str] = Counter()
        for command in commands:
            statuses += self.warehouse.dbt(*command)
        found, lake = self.warehouse.tables(), self.publisher.lake
        return self.chronicle.step(found, lake, self.metric_zone, statuses)


def make_world(
    monkeypatch: pytest.MonkeyPatch, url: str, folder: Path, metric_zone: str = SEOUL
) -> World:
    name = f"warehouse{uuid4().hex[:8]}"
    use_lake(monkeypatch, url, name, folder, metric_zone)
    world = World(Publisher(name, f"{name}_raw"), Warehouse(name, name), metric_zone)
    world.publisher.create_tables()
    return world


@pytest.fixture(scope="module")
def story(local_aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Step]]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = make_world(monkeypatch, local_aws, tmp_path_factory.mktemp("story"))
        yield told(world)


def told(world: World) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    publish = world.publisher.publish
    without_unit_tests = ("build", "--exclude-resource-type", "unit_test")
    records = numbered(population(seed=7) + boundaries())
    half = len(records) * 6 // 10
    dense, late = records[:half], records[half:]
    # The second batch brings days before the first one too: history grows at both ends.
    first = [row for row in dense if row["occurred_at"] >= utc("2024-01-08T00:00:00")]
    skipped = [row for row in dense if row["occurred_at"] < utc("2024-01-08T00:00:00")]

    steps["nothing is published"] = world.tell(without_unit_tests)
    # Midnight of 8 February in Seoul is not quite 48 hours ago, and then exactly 48.
    refused = rejects(3, 500, "2024-01-25")
    publish(1, first[::3], refused, landed_at="2024-02-09T14:59:59.999", version="0.1")
    steps["one batch"] = world.tell(("run",))
    again = {"2024-02-01": 40}
    refused = rejects(2, None, "2024-02-15")
    rest = [row for n, row in enumerate(first) if n % 3]
    publish(2, [*rest, *skipped], refused, again, landed_at="2024-02-09T15:00:00.000")
    steps["late records"] = world.tell(("run",))
    publish(4, late[150:], landed_at="2024-03-21T12:34:56.789", is_consecutive=False)
    steps["a gap"] = world.tell(("run",))
    publish(3, late[:150], duplicates={"2024-02-20": 7})
    steps["the gap is closed"] = world.tell(("run",))
    few = few_late_records(records[-1]["record_id"] + 1)
    fifth, sixth = few[:3], few[3:]
    publish(5, fifth, landed_at="2024-03-21T13:00:00.000")
    extremes = [*rejects(1, 0, "2024-04-19"), *rejects(1, 2**63 - 1, "2024-04-19")]
    publish(6, sixth, extremes)
    # Someone builds the metric without the fact below it; the next whole run must still see.
    partial_run = ("run", "--select", "stg_access_logs__batches", "metrics_daily_active")
    steps["a partial run"] = world.tell(partial_run, without_unit_tests)
    publish(7, fifth[2:], landed_at="2024-03-22T00:00:00.000", supersedes=[5])
    steps["a user erased"] = world.tell(("run",))
    unit_tests = ("test", "--select", "test_type:unit")
    steps["full refresh"] = world.tell(("run", "--full-refresh"), unit_tests)
    return steps


def few_late_records(first_id: int) -> list[Row]:
    """Records of few days, up to 69 days late; an id between the first two never came.

    The last two stand at the two ends of 56 days, so that every reach of a stamp ends somewhere.
    """
    came = {"arrived_at": utc("2024-03-20T00:00:00")}
    return [
        record(first_id, RETURNED, utc("2024-01-22T01:00:00"), **came),
        record(first_id + 2, ERASED, utc("2024-02-10T01:00:00"), **came),
        record(first_id + 3, 39, utc("2024-02-10T02:00:00"), **came),
        record(first_id + 4, 77, utc("2024-03-12T01:00:00"), **came),
        record(first_id + 5, 39, utc("2024-01-10T01:00:00"), **came),
    ]


# ---------------------------------------------------------------------------------- what must be so


@pytest.mark.parametrize(
    "step",
    [
        "nothing is published",
        "one batch",
        "late records",
        "a gap",
        "the gap is closed",
        "a partial run",
        "a user erased",
        "full refresh",
    ],
)
def test_every_table_equals_the_oracle_after(step: str, story: dict[str, Step]):
    told = story[step]

    assert_same_rows(told.found, told.expected)


def test_an_empty_lake_builds_tables_without_rows(story: dict[str, Step]):
    told = story["nothing is published"]

    rows = {table: len(rows) for table, rows in told.found.items()}
    assert rows == dict.fromkeys(rows, 0) | {"int_finality": 1}
    assert set(told.statuses) == {"success", "pass", "no-op"}  # exposures are no work


def test_a_batch_behind_a_gap_is_invisible_until_the_gap_is_closed(story: dict[str, Step]):
    newest = {
        step: max(row["as_of_batch_seq"] for row in story[step].found["metrics_daily_active"])
        for step in ("late records", "a gap", "the gap is closed")
    }

    assert newest == {"late records": 2, "a gap": 2, "the gap is closed": 4}


def test_running_again_without_news_changes_nothing(story: dict[str, Step]):
    assert_same_rows(story["a gap"].found, story["late records"].found)


def test_incremental_tables_equal_a_full_refresh(story: dict[str, Step]):
    assert_same_rows(story["full refresh"].found, story["a user erased"].found)


def test_a_day_is_final_48_hours_after_it_ended_and_not_a_millisecond_before(
    story: dict[str, Step],
):
    final = {
        step: max(r["metric_date"] for r in story[step].found["metrics_daily_active_final"])
        for step in ("one batch", "late records")
    }

    assert final == {"one batch": date(2024, 2, 6), "late records": date(2024, 2, 7)}


def test_a_user_who_turns_out_to_be_older_leaves_a_cohort_that_no_batch_touched(
    story: dict[str, Step],
):
    def cohort(step: str, day: date) -> tuple[int, int]:
        rows = story[step].found["metrics_retention_cohort"]
        row = next(
            r
            for r in rows
            if (r["cohort_grain"], r["period_grain"], r["cohort_date"], r["period_number"])
            == ("day", "day", day, 0)
        )
        return row["cohort_size"], row["as_of_batch_seq"]

    last = date(2024, 3, 14)
    sizes = [cohort(s, last) for s in ("the gap is closed", "a partial run", "a user erased")]
    # The batch that took the earlier record back replaces another, so it may make users new.
    assert sizes == [(1, 4), (0, 4), (1, 7)]


def test_an_erased_user_was_never_there(story: dict[str, Step]):
    """Nothing but stamps and arrivals tells the lake from one that never had the two records."""
    told, published = story["a user erased"], Batches()
    records = numbered(population(seed=7) + boundaries())
    published.publish(1, [*records, *few_late_records(records[-1]["record_id"] + 1)[2:]])
    never = published.tables()

    for table in EXACT_TABLES:
        if table.endswith("_final") or table in about_arrivals():
            continue
        found, expected = (without_trust(rows[table]) for rows in (told.found, never))
        assert counted(found) == counted(expected), table
    user = (bytes([ERASED]) * 16).hex()
    assert user in {row["user_id"] for row in story["a partial run"].found["dim_users"]}
    assert user not in {r.get("user_id") for rows in told.found.values() for r in rows}


def about_arrivals() -> set[str]:
    named = {"int_dates_stamped", "int_finality", "metrics_anomaly_daily", "metrics_missing_ids"}
    return (
        named
        | {"fct_arrivals_daily"}
        | {f"metrics_{name}_daily" for name in ("pipeline_health", "quarantine")}
    )


def without_trust(rows: Sequence[Row]) -> list[Row]:
    return [
        {
            name: value
            for name, value in row.items()
            if name not in TRUST | {"first_open_date"} and not name.endswith("_batch_seq")
        }
        for row in rows
    ]


def test_days_without_any_event_have_a_row_of_zeros(story: dict[str, Step]):
    rows = {row["metric_date"]: row for row in story["a partial run"].found["metrics_daily_active"]}

    # Nothing happened on 13 March; no batch names it.
    assert [rows[date(2024, 3, day)]["dau"] for day in (11, 12, 13, 14)] == [0, 1, 0, 1]
    assert rows[date(2024, 3, 13)]["mau"] > 0
    assert rows[date(2024, 3, 13)]["events_per_dau"] is None
    assert rows[date(2024, 3, 13)]["as_of_batch_seq"] == 6


def test_the_story_is_worth_telling(story: dict[str, Step]):
    """The population really holds what the other tests rely on."""
    told = story["a partial run"].found
    daily = told["metrics_daily_active"]

    assert any(row["metric_date"] == date(2024, 2, 29) and row["dau"] > 0 for row in daily)
    assert any(user["first_active_date"] is None for user in told["dim_users"])
    assert min(row["metric_date"] for row in daily) < min(
        row["metric_date"] for row in story["one batch"].found["metrics_daily_active"]
    )
    assert any(row["as_of_batch_seq"] < 4 for row in told["fct_user_daily"])
    health = told["metrics_pipeline_health_daily"]
    assert any(row["sequence_completeness"] == 2 / 2**63 for row in health)
    assert {row["is_final"] for row in health} == {True, False}
    assert len({row["completeness_pct"] for row in health}) > 3
    assert max(row["mau"] for row in daily) > max(row["wau"] for row in daily)
    flags = {row["flag"] for row in told["metrics_anomaly_daily"]}
    assert flags == {"ok", "warn", "alert", "suppressed", "not_enough_history"}
    for table, column in {
        "fct_sessions": "is_over_cap",
        "fct_user_daily": "is_suspected_bot",
        "dim_routes": "is_new",
        "metrics_retention_cohort": "is_complete",
    }.items():
        assert {row[column] for row in told[table]} == {True, False}, f"{table}.{column}"
    assert {row["segment"] for row in told["dim_users"]} >= {"infrequent", "casual", "dormant"}
    causes = {row["cause"] for row in story["full refresh"].found["metrics_restatement"]}
    assert causes >= {"late_data", "derived_again"}


def test_a_day_in_another_zone_from_one_record_to_many_shuffled_batches(
    local_aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # New York's clocks jump on 10 March 2024; its days never coincide with the partitions'.
    world = make_world(monkeypatch, local_aws, tmp_path, metric_zone="America/New_York")
    hours = [
        record(0, n % 7 + 100, utc(f"2024-03-{9 + n // 48:02}T{n // 2 % 24:02}:{n % 2 * 30:02}:00"))
        for n in range(120)
    ]
    several = [row for n in range(3) for row in population(n, range(30 * n, 30 * n + 9 + 7 * n))]
    records = numbered([*several, *hours])
    random.Random(1).shuffle(records)
    world.publisher.publish(1, records[:1], landed_at="2024-03-10T07:00:00.000")
    steps = [world.tell(("run",))]
    for seq in range(2, 8):
        own = records[1:][seq - 2 :: 6]
        world.publisher.publish(seq, own, landed_at=f"2024-03-1{seq}T07:00:00.000")

    steps.append(world.tell(("run",)))

    for step in steps:
        assert_same_rows(step.found, step.expected)
