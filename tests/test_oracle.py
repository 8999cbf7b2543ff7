"""The oracle itself, on examples computed by hand."""

import math
import random
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from tests import oracle
from tests.oracle import Lake, Row, utc
from tests.oracle.anomaly import judge, median
from tests.oracle.lake import nearest_rank, route
from tests.oracle.traffic import gini, wilson
from tests.publishing import Batches, record

Tables = dict[str, list[Row]]


def warehouse(*records: Row) -> Tables:
    batches = Batches()
    batches.publish(1, [row | {"record_id": n} for n, row in enumerate(records, start=1)])
    return batches.tables()


def event(user: int, text: str, **changed: Any) -> Row:
    return record(0, user, utc(f"2024-{text}"), **changed)


def found(tables: Tables, table: str, **key: Any) -> Row:
    rows = [row for row in tables[table] if key.items() <= row.items()]
    assert len(rows) == 1, f"{len(rows)} rows of {table} are {key}"
    return rows[0]


def told(row: Row, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


# --------------------------------------------------------------------------------- examples by hand


def test_a_session_ends_after_more_than_30_minutes():
    tables = warehouse(
        event(1, "01-01T01:00:00.000"),
        event(1, "01-01T01:30:00.000"),
        event(1, "01-01T02:00:00.001", url="/exit", activity="purchase"),
        event(1, "01-01T02:00:05.000", url=None, activity=None),
    )

    first, second = sorted(tables["fct_sessions"], key=lambda row: row["started_at"])
    names = ("event_count", "duration_seconds", "view_count", "entry_route", "exit_route")
    assert told(first, *names) == (2, 1800.0, 2, *["/api/products/product/"] * 2)
    assert told(second, *names) == (2, 4.999, 0, "/exit", None)
    assert told(second, "is_converted", "is_engaged", "is_bounce") == (True, True, False)
    day = found(tables, "fct_user_daily")
    assert told(day, "session_count", "active_seconds") == (2, 1804.999)
    metric = found(tables, "metrics_daily_active")
    assert told(metric, "session_p50_seconds", "session_p90_seconds") == (4.999, 1800.0)


def test_a_session_holds_24_hours_and_says_if_it_went_on():
    half_hours = [event(1, "01-01T01:00:00") for _ in range(50)]
    for n, row in enumerate(half_hours):
        row["occurred_at"] += timedelta(minutes=30 * n)

    exactly = found(warehouse(*half_hours[:49]), "fct_sessions")
    tables = warehouse(*half_hours)
    over = found(tables, "fct_sessions")

    names = ("event_count", "duration_seconds", "is_over_cap")
    assert told(exactly, *names) == (49, 86_400.0, False)
    assert told(over, *names) == (49, 86_400.0, True)
    assert [row["session_count"] for row in tables["metrics_daily_active"]] == [0, 0]
    assert sum(row["session_count"] for row in tables["fct_user_daily"]) == 1


def test_a_session_is_dated_by_its_start_and_its_id_is_an_md5():
    tables = warehouse(event(1, "01-01T14:59:00"), event(1, "01-01T15:01:00"))

    row = found(tables, "fct_sessions")
    # From md5sum, of 01 written 16 times, a colon, and the number of the first record.
    assert row["session_date"] == date(2024, 1, 1)
    assert row["session_id"] == "d62f4466a7bd970a93edb0a3c17ec8a6"
    assert [
        found(tables, "fct_user_daily", event_date=date(2024, 1, n))["session_count"]
        for n in (1, 2)
    ] == [1, 0]


def test_a_funnel_takes_its_steps_in_order():
    tables = warehouse(
        event(1, "01-01T01:00:00", activity="cart"),
        event(1, "01-01T01:00:10"),
        event(1, "01-01T01:00:20", activity="purchase"),
        event(1, "01-01T01:00:30", activity="cart", level_name="ERROR"),
        event(1, "01-01T02:00:10", activity="cart"),
        event(2, "01-01T01:00:00"),
        event(2, "01-03T01:00:00", activity="cart"),
        event(2, "01-07T23:00:00", activity="purchase"),
        event(3, "01-01T01:00:00"),
        event(3, "01-01T01:00:00", activity="cart"),
        event(3, "01-01T01:00:01", activity="purchase"),
    )

    def steps(scope: str) -> list[tuple[Any, ...]]:
        return [
            told(
                found(
                    tables,
                    "metrics_funnel_daily",
                    metric_date=date(2024, 1, 1),
                    scope=scope,
                    step_number=number,
                ),
                "user_count",
                "step_rate",
                "overall_rate",
                "p50_seconds_to_step",
            )
            for number in (1, 2, 3)
        ]

    assert steps("session") == [(3, None, 1.0, None), (1, 1 / 3, 1 / 3, 0.0), (1, 1.0, 1 / 3, 1.0)]
    assert steps("day") == [(3, None, 1.0, None), (2, 2 / 3, 2 / 3, 0.0), (1, 0.5, 1 / 3, 1.0)]
    # The purchase of 8 January (in Seoul) is after the week of 1 January.
    assert steps("week") == [(3, None, 1.0, None), (3, 1.0, 1.0, 3600.0), (1, 1 / 3, 1 / 3, 1.0)]


def test_retention_of_a_day_and_of_a_week():
    days = {1: (1, 2, 8), 2: (1,), 3: (3, 29)}
    tables = warehouse(*[event(u, f"01-{d:02}T01:00:00") for u, own in days.items() for d in own])

    def counts(cohort: str, period: str, day: int, number: int) -> tuple[Any, ...]:
        row = found(
            tables,
            "metrics_retention_cohort",
            cohort_grain=cohort,
            period_grain=period,
            cohort_date=date(2024, 1, day),
            period_number=number,
        )
        return told(row, "cohort_size", "active_count", "active_or_later_count", "retention_rate")

    assert [counts("day", "day", 1, n) for n in (0, 1, 2, 7, 8)] == [
        (2, 2, 2, 1.0),
        (2, 1, 1, 0.5),
        (2, 0, 1, 0.0),
        (2, 1, 1, 0.5),
        (2, 0, 0, 0.0),
    ]
    assert [counts("day", "week", 1, n) for n in (0, 1, 2)] == [
        (2, 2, 2, 1.0),
        (2, 1, 1, 0.5),
        (2, 0, 0, 0.0),
    ]
    # 1 January 2024 was a Monday; the third user came back in the fifth week.
    assert [counts("week", "week", 1, n)[:3] for n in (0, 1, 2, 4)] == [
        (3, 3, 3),
        (3, 1, 2),
        (3, 0, 1),
        (3, 1, 1),
    ]
    assert counts("day", "day", 2, 0) == (0, 0, 0, None)
    # History ends on 29 January.
    numbers = [
        row["period_number"]
        for row in tables["metrics_retention_cohort"]
        if row["cohort_date"] == date(2024, 1, 22)
    ]
    assert sorted(numbers) == [*sorted([*range(8), 0, 1, 0, 1])]
    activation = found(tables, "metrics_activation", cohort_date=date(2024, 1, 1))
    assert told(activation, "new_user_count", "activated_user_count") == (2, 1)


def test_growth_is_new_retained_resurrected_churned():
    days = {1: (1, 8, 22), 2: (1, 8), 3: (8,), 4: (1, 15)}
    tables = warehouse(*[event(u, f"01-{d:02}T01:00:00") for u, own in days.items() for d in own])

    names = (
        "active_user_count",
        "prior_active_user_count",
        "new_user_count",
        "retained_user_count",
        "resurrected_user_count",
        "churned_user_count",
        "quick_ratio",
    )
    weeks = {
        row["period_end_date"].day: told(row, *names)
        for row in tables["metrics_growth_accounting"]
        if row["period"] == "week"
    }
    # Sundays of history (1 to 22 January); the last week is not over.
    assert weeks == {
        7: (3, 0, 3, 0, 0, 0, None),
        14: (3, 3, 1, 2, 0, 1, 1.0),
        21: (1, 3, 0, 0, 1, 3, 1 / 3),
    }
    last = found(
        tables, "metrics_growth_accounting", period="day", period_end_date=date(2024, 1, 22)
    )
    assert told(last, *names) == (1, 0, 0, 0, 1, 0, None)
    complete = [
        r["period_end_date"].day
        for r in tables["metrics_growth_accounting"]
        if r["period"] == "week" and r["is_complete"]
    ]
    assert complete == [14, 21]


def test_active_bits_and_the_mean_of_28_days():
    tables = warehouse(
        *[event(1, f"01-{d:02}T01:00:00", activity="purchase") for d in (1, 2, 28, 29)]
    )

    row = found(tables, "fct_user_activity_bits", metric_date=date(2024, 1, 29))
    assert told(row, "days_active_bits", "days_since_active") == (1 + 2 + 2**27, 0)
    row = found(tables, "fct_user_activity_bits", metric_date=date(2024, 1, 4))
    assert told(row, "days_active_bits", "days_purchase_bits", "days_since_active") == (12, 12, 2)
    day = found(tables, "metrics_daily_active", metric_date=date(2024, 1, 28))
    assert told(day, "mau", "mean_dau_mau", "is_mau_complete") == (1, 3 / 28, True)
    day = found(tables, "metrics_daily_active", metric_date=date(2024, 1, 27))
    assert told(day, "dau_mau", "mean_dau_mau", "is_mau_complete") == (0.0, None, False)
    often = found(tables, "metrics_frequency", metric_date=date(2024, 1, 29), active_day_count=3)
    assert told(often, "segment", "user_count", "share_of_users") == ("infrequent", 1, 1.0)


@pytest.mark.parametrize(
    ("errors", "count", "low", "high"),
    # From the table in Wilson's interval without continuity correction, z = 1.96.
    [(0, 10, 0.0, 0.27754), (5, 10, 0.23659, 0.76341), (10, 10, 0.72246, 1.0), (1, 1, 0.20654, 1)],
)
def test_wilson_is_the_interval_of_the_books(errors: int, count: int, low: float, high: float):
    assert wilson(errors, count) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))
    # It solves |p - e/n| = z * sqrt(p * (1 - p) / n).
    for p in wilson(errors, count):
        if 0 < p < 1:
            deviation = 1.96 * math.sqrt(p * (1 - p) / count)
            assert abs(p - errors / count) == pytest.approx(deviation)


def test_gini_is_half_of_the_mean_difference_over_the_mean():
    rng = random.Random(3)
    for size in (1, 2, 7, 40):
        counts = [rng.randint(1, 30) for _ in range(size)]
        mean = sum(counts) / size
        difference = sum(abs(a - b) for a in counts for b in counts) / size**2
        assert gini(counts) == pytest.approx(difference / (2 * mean))
    assert gini([]) is None
    assert gini([5, 5, 5]) == 0
    assert gini([0, 0, 0, 8]) == 0.75


def test_nearest_rank_never_interpolates():
    assert [nearest_rank([15, 20, 35, 40, 50], p) for p in (5, 30, 40, 50, 100)] == [
        15,
        20,
        20,
        35,
        50,
    ]
    assert nearest_rank(range(1, 21), 95) == 19
    assert nearest_rank([], 50) is None


def test_a_value_is_judged_by_median_and_spread():
    # Median 101; deviations 1, 1, 3, 9: median 2, spread 2.9652, floor 10.05.
    judged = judge(150, [100, 102, 98, 110])

    assert (judged.training_count, judged.expected) == (4, 101.0)
    assert judged.spread == math.sqrt(101)
    assert judged.score == 49 / math.sqrt(101)
    # Median 150; deviations 140, 50, 50, 250: median 95.
    assert judge(150, [10, 100, 200, 400]).spread == 1.4826 * 95
    assert judge(0, [0, 0]).score is None
    assert median([3, 1, 2]) == 2


def test_an_outlier_is_flagged_once_and_trains_nobody():
    # 70 Mondays' worth of days; on every Monday 100 events, in the sixth week 400, then 128.
    rows = []
    for week in range(10):
        count = {5: 400, 8: 128}.get(week, 100)
        at = utc("2024-01-01T03:00:00") + timedelta(weeks=week)
        rows += [record(0, 1, at + timedelta(seconds=n)) for n in range(count)]
    tables = warehouse(*rows, event(1, "03-08T03:00:00"))

    weeks = [
        found(
            tables,
            "metrics_anomaly_daily",
            metric="event_count",
            metric_date=date(2024, 1, 1) + timedelta(weeks=n),
        )
        for n in range(10)
    ]
    flags = [row["flag"] for row in weeks]
    assert flags == [*["not_enough_history"] * 4, "ok", "alert", "ok", "ok", "warn", "ok"]
    assert [row["training_count"] for row in weeks] == [0, 1, 2, 3, 4, 5, 5, 6, 7, 7]
    assert told(weeks[8], "expected", "low", "high", "score") == (100.0, 65.0, 135.0, 2.8)
    assert weeks[4]["reason"] is None


def test_a_day_is_complete_as_far_as_its_ids_came():
    batches = Batches()
    at = utc("2024-01-01T01:00:00")
    batches.publish(1, [record(n, 1, at) for n in (1, 2, 4)], landed_at="2024-01-03T15:00:00.000")

    tables = batches.tables()
    trust = told(
        found(tables, "metrics_daily_active"),
        "is_final",
        "completeness_pct",
        "as_of_batch_seq",
        "as_of",
    )
    assert trust == (True, 75.0, 1, datetime(2024, 1, 3, 15))
    batches.lake.batches[0]["missing_ids"] = None
    batches.lake.batches[0]["landed_at"] = "2024-01-03T14:59:59.999Z"
    day = found(batches.tables(), "metrics_daily_active")
    assert told(day, "is_final", "completeness_pct") == (False, 100.0)


def test_a_stamp_is_the_newest_batch_within_reach():
    batches = Batches()
    for seq, (text, supersedes) in enumerate(
        [("01-01", []), ("04-20", []), ("02-15", []), ("02-15", [3])], start=1
    ):
        row = event(1, f"{text}T01:00:00") | {"record_id": seq}
        batches.publish(seq, [row], supersedes=supersedes)
    stamps = {row["metric_date"]: row for row in batches.tables()["int_dates_stamped"]}

    def touched_by_4(name: str) -> tuple[date, date]:
        days = [day for day, row in stamps.items() if row[name] == 4]
        assert len(days) == (max(days) - min(days)).days + 1
        return min(days), max(days)

    assert len(stamps) == 111
    assert {name: touched_by_4(name) for name in stamps[date(2024, 1, 1)] if "seq" in name} == {
        "day_batch_seq": (date(2024, 2, 15), date(2024, 2, 15)),
        "sessions_batch_seq": (date(2024, 2, 13), date(2024, 2, 16)),
        "last_28_days_batch_seq": (date(2024, 2, 15), date(2024, 3, 13)),
        "last_56_days_batch_seq": (date(2024, 2, 15), date(2024, 4, 10)),
        "next_7_days_batch_seq": (date(2024, 2, 9), date(2024, 2, 16)),
        "next_56_days_batch_seq": (date(2024, 1, 1), date(2024, 2, 15)),
        "replaced_batch_seq": (date(2024, 2, 15), date(2024, 4, 20)),
    }
    assert stamps[date(2024, 1, 28)]["last_28_days_batch_seq"] == 1
    assert stamps[date(2024, 1, 29)]["last_28_days_batch_seq"] == 0
    # 56 days before 20 April, and 55.
    assert stamps[date(2024, 2, 24)]["next_56_days_batch_seq"] == 0
    assert stamps[date(2024, 2, 25)]["next_56_days_batch_seq"] == 2


def test_a_changed_value_is_recorded_once_and_its_cause_is_named():
    lake = Lake()

    def run(seq: int, dau: int, digest: str = "a", **marker: Any) -> oracle.Run:
        lake.batches.append(
            {"seq": seq, "source": "api", "landed_at": "2024-01-03T00:00:00Z", **marker}
        )
        row = dict.fromkeys(oracle.restatement.RECORDED, 0) | {
            "dau": dau,
            "metric_date": date(2024, 1, 1),
            "is_final": True,
            "as_of_batch_seq": seq,
            "as_of": None,
        }
        return oracle.Run(lake.copy(), [row], digest)

    runs = [
        run(1, 5),
        run(2, 5),
        run(3, 6),
        run(4, 7, source="replay"),
        run(5, 4, supersedes=[2]),
    ]
    same_stamp = [{**runs[-1].daily_active[0], "dau": 3}]
    history = oracle.metric_history([*runs, oracle.Run(lake, same_stamp, "b")])

    dau = [row for row in history if row["metric"] == "dau"]
    assert [told(row, "revision_number", "value", "recorded_batch_seq") for row in dau] == [
        (1, 5.0, 1),
        (2, 6.0, 3),
        (3, 7.0, 4),
        (4, 4.0, 5),
        (5, 3.0, 5),
    ]
    changes = oracle.restatements(history, [])
    assert [told(row, "cause", "old_value", "delta") for row in changes] == [
        ("late_data", 5.0, 1.0),
        ("key_arrived", 6.0, 1.0),
        ("derived_again", 7.0, -3.0),
        ("definition_changed", 4.0, -1.0),
    ]


def test_a_route_hides_what_names_one_thing():
    assert route("/a/12/deadbeef/cafe?x=1#y") == "/a/{id}/{id}/cafe"
