"""The oracle itself, on identities that no lake may break."""

import random
from collections import defaultdict
from datetime import date
from typing import Any

import pytest

from tests.oracle import Row
from tests.populations import boundaries, numbered, population
from tests.publishing import Batches

Tables = dict[str, list[Row]]


@pytest.fixture(scope="module", params=range(3))
def tables(request: pytest.FixtureRequest) -> Tables:
    return built(request.param, batches=1)


def built(seed: int, batches: int, without: int | None = None) -> Tables:
    """Build from a random lake, cut into so many batches after a shuffle."""
    special = boundaries() if seed == 0 else []
    records = numbered([*population(seed, range(12 + 9 * seed)), *special])
    records = [row for row in records if row["user_id"] != bytes([without or 255]) * 16]
    if batches > 1:
        random.Random(seed).shuffle(records)
    published = Batches()
    for seq in range(1, batches + 1):
        published.publish(seq, records[seq - 1 :: batches])
    return published.tables()


def test_growth_accounts_for_everybody(tables: Tables):
    for row in tables["metrics_growth_accounting"]:
        names = (
            "active_user_count",
            "prior_active_user_count",
            "new_user_count",
            "retained_user_count",
            "resurrected_user_count",
            "churned_user_count",
        )
        active, prior, new, retained, back, churned = (row[name] for name in names)
        assert active == new + retained + back == prior + new + back - churned


def test_retention_and_funnels_never_grow(tables: Tables):
    cohorts: dict[Any, list[Row]] = defaultdict(list)
    for row in tables["metrics_retention_cohort"]:
        key = (row["cohort_grain"], row["period_grain"], row["cohort_date"])
        cohorts[key].append(row)
        assert row["active_count"] <= row["active_or_later_count"] <= row["cohort_size"]
    funnels: dict[Any, list[Row]] = defaultdict(list)
    for row in tables["metrics_funnel_daily"]:
        funnels[row["metric_date"], row["scope"]].append(row)
    for groups, number, count in (
        (cohorts, "period_number", "active_or_later_count"),
        (funnels, "step_number", "user_count"),
    ):
        for rows in groups.values():
            counts = [row[count] for row in sorted(rows, key=lambda row: row[number])]
            assert counts == sorted(counts, reverse=True)


def test_windows_nest_and_rates_are_rates(tables: Tables):
    for row in tables["metrics_daily_active"]:
        assert 0 <= row["returning_user_count"] <= row["dau"] <= row["wau"] <= row["mau"]
        assert row["dau"] == row["new_user_count"] + row["returning_user_count"]
    for table, rows in tables.items():
        for row in rows:
            for name, value in row.items():
                is_share = name.endswith("_rate") or "share" in name or name == "gini"
                if is_share and value is not None:
                    assert 0 <= value <= 1, f"{table}.{name}"


def test_sums_tie_to_each_other(tables: Tables):
    def sums(table: str, column: str, day: str) -> dict[date, int]:
        totals: dict[date, int] = defaultdict(int)
        for row in tables[table]:
            totals[row[day]] += row[column]
        return {key: value for key, value in totals.items() if value}

    events = sums("fct_user_daily", "event_count", "event_date")
    for table, column in {
        "metrics_daily_active": "event_count",
        "metrics_endpoint_daily": "request_count",
        "metrics_endpoint_hourly": "request_count",
        "metrics_activity_daily": "event_count",
        "metrics_concentration_daily": "event_count",
    }.items():
        assert sums(table, column, "metric_date") == events, table
    new = sum(row["first_active_date"] is not None for row in tables["dim_users"])
    assert sum(row["new_user_count"] for row in tables["metrics_daily_active"]) == new
    mau = {row["metric_date"]: row["mau"] for row in tables["metrics_daily_active"] if row["mau"]}
    assert sums("metrics_frequency", "user_count", "metric_date") == mau
    bits = defaultdict(int)
    for row in tables["fct_user_activity_bits"]:
        bits[row["metric_date"]] += 1
        assert row["days_purchase_bits"] & ~row["days_active_bits"] == 0
    assert bits == mau
    started = sums("fct_user_daily", "session_count", "event_date")
    assert sum(started.values()) == len(tables["fct_sessions"])
    health = tables["metrics_pipeline_health_daily"]
    assert sum(row["good_count"] for row in health) == sum(events.values())


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_and_split_batches_tell_the_same(seed: int):
    assert without_stamps(built(seed, batches=7)) == without_stamps(built(seed, batches=1))


def test_a_user_who_is_left_out_changes_nobody_else():
    whole, without = built(1, batches=1), built(1, batches=1, without=7)
    user = (bytes([7]) * 16).hex()

    for table in ("fct_sessions", "fct_user_daily", "fct_user_activity_bits"):
        others = [row for row in whole[table] if row["user_id"] != user]
        assert len(others) < len(whole[table])
        assert without_stamps({table: others}) == without_stamps({table: without[table]})


def without_stamps(tables: Tables) -> dict[str, list[str]]:
    stamps = {"as_of", "batch_count"}
    return {
        table: sorted(
            repr({k: v for k, v in sorted(row.items()) if k not in stamps and "batch_seq" not in k})
            for row in rows
        )
        for table, rows in tables.items()
        if table not in ("int_dates_stamped", "metrics_missing_ids")
    }
