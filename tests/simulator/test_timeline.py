"""Records: consecutive ids, bursts, and a clock that decides what is visible."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from simulator.errors import SimulatorError
from simulator.population import DAY_MS, Population
from simulator.timeline import BURST_MS, FIRST_RECORD_ID, Timeline

START = date(2026, 1, 5)
SEOUL = ZoneInfo("Asia/Seoul")
MIDNIGHT_UTC_MS = (START.toordinal() - date(1970, 1, 1).toordinal()) * DAY_MS - 9 * 3_600_000
ALL = 1_000_000


def timeline(now_ms: int, users: int = 300, zone: ZoneInfo = SEOUL) -> Timeline:
    return Timeline(Population(7, START, users), START, zone, lambda: now_ms)


def at(days: float) -> int:
    return MIDNIGHT_UTC_MS + int(days * DAY_MS)


def test_timeline_numbers_records_consecutively_from_the_first() -> None:
    records = timeline(at(3.5)).after(0, ALL)

    ids = [record.record_id for record in records]

    assert ids == list(range(FIRST_RECORD_ID, FIRST_RECORD_ID + len(ids)))
    assert len(ids) > 500


def test_timeline_window_is_the_end_of_what_the_cursor_gives() -> None:
    log = timeline(at(2.01))

    walked = log.after(0, ALL)

    assert log.latest(400) == walked[-400:]
    assert log.latest(ALL) == walked
    assert log.after(walked[99].record_id, 50) == walked[100:150]
    assert log.after(walked[-1].record_id, 50) == []


def test_timeline_later_shows_the_same_records_and_more() -> None:
    now, later = (timeline(at(days)).after(0, ALL) for days in (1.4, 2.6))

    assert later[: len(now)] == now
    assert len(later) > len(now)


def test_timeline_shows_nothing_before_its_first_day_and_before_the_first_burst() -> None:
    assert timeline(at(-1)).latest(10) == []
    assert timeline(at(0) + 60_000).latest(10) == []
    assert timeline(at(-1)).after(0, 10) == []


@pytest.mark.parametrize("users", [300, 24_000])
def test_timeline_records_arrive_in_bursts_after_they_happened(users: int) -> None:
    records = timeline(at(2), users).after(0, ALL)

    gaps = [after.arrived_wall_ms - before.arrived_wall_ms for before, after in pairwise(records)]
    lags = [record.arrived_wall_ms - record.occurred_wall_ms for record in records]

    assert min(gaps) >= 0
    assert min(lags) > 0
    assert max(lags) <= 2 * BURST_MS
    assert sum(gap > 1_000 for gap in gaps) <= 2 * DAY_MS / BURST_MS


def test_timeline_burst_becomes_visible_record_by_record() -> None:
    burst = timeline(at(2), 24_000).after(0, 3)

    middle = timeline(burst[1].arrived_wall_ms - 9 * 3_600_000, 24_000).latest(ALL)

    assert middle == burst[:2]
    assert burst[2].arrived_wall_ms > burst[1].arrived_wall_ms


def test_timeline_shows_the_last_burst_of_a_day_after_midnight() -> None:
    day = timeline(at(2), 2_400).day(0)
    late = [record for record in day if record.arrived_wall_ms >= at(1) + 9 * 3_600_000]

    before, after = (
        timeline(record.arrived_wall_ms - 9 * 3_600_000, 2_400).latest(ALL)
        for record in (day[-len(late) - 1], day[-1])
    )

    assert late
    assert before == day[: -len(late)]
    assert after == day


def test_timeline_day_is_a_whole_day_of_the_cursor() -> None:
    log = timeline(at(4))

    days = [record for day in range(3) for record in log.day(day)]

    assert days == log.after(0, len(days))
    assert log.after(days[-1].record_id, 1)[0].occurred_wall_ms >= at(3) + 9 * 3_600_000


def test_timeline_started_weeks_later_finds_the_same_ids() -> None:
    walked = timeline(at(40)).after(0, ALL)

    fresh = timeline(at(40)).latest(100)

    assert fresh == walked[-100:]


def test_timeline_knows_when_a_day_is_over() -> None:
    assert not timeline(at(1) - 1).is_over(0)
    assert timeline(at(1)).is_over(0)


def test_timeline_refuses_a_wall_clock_that_is_turned_back() -> None:
    with pytest.raises(SimulatorError, match=r"Europe/Berlin has daylight saving"):
        timeline(at(1), zone=ZoneInfo("Europe/Berlin"))


def test_timeline_visits_users_of_the_days_before() -> None:
    log = timeline(at(5))

    users = [{record.user for record in log.day(day)} for day in range(5)]

    assert all(users[0] & later for later in users[1:])
    assert START + timedelta(days=4) == date(2026, 1, 9)
