from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.times import SourceClock, iso, milliseconds, sql

SEOUL = SourceClock("Asia/Seoul", false_z=True)


def at(clock: SourceClock, text: str) -> str | None:
    parsed = clock.parse(text)
    return None if parsed is None else iso(parsed)


@pytest.mark.parametrize(
    ("zone", "false_z", "text", "utc"),
    [
        ("Asia/Seoul", True, "2023-04-20T13:12:06.819Z", "2023-04-20T04:12:06.819Z"),
        ("Asia/Seoul", False, "2023-04-20T13:12:06.819Z", "2023-04-20T13:12:06.819Z"),
        ("Asia/Seoul", True, "2023-04-20T13:12:06.819+00:00", "2023-04-20T04:12:06.819Z"),
        ("Asia/Seoul", False, "2023-04-20T13:12:06.819+00:00", "2023-04-20T13:12:06.819Z"),
        ("Asia/Seoul", True, "2023-04-20T13:12:06.819+02:00", "2023-04-20T11:12:06.819Z"),
        ("Asia/Seoul", True, "2023-04-20T13:12:06-0330", "2023-04-20T16:42:06.000Z"),
        ("Asia/Seoul", False, "2023-04-20 13:12:06", "2023-04-20T04:12:06.000Z"),
        ("UTC", True, "2023-04-20T13:12:06.8199999Z", "2023-04-20T13:12:06.819Z"),
        ("UTC", True, "2023-04-20T13:12:06.8Z", "2023-04-20T13:12:06.800Z"),
        ("Asia/Seoul", True, "2024-02-29T00:00:00Z", "2024-02-28T15:00:00.000Z"),
        # Berlin skips 02:00-03:00 on this day: the offset before the change counts.
        ("Europe/Berlin", True, "2024-03-31T01:59:59Z", "2024-03-31T00:59:59.000Z"),
        ("Europe/Berlin", True, "2024-03-31T02:30:00Z", "2024-03-31T01:30:00.000Z"),
        ("Europe/Berlin", True, "2024-03-31T03:00:00Z", "2024-03-31T01:00:00.000Z"),
        # And has 02:00-03:00 twice on this one: the first counts.
        ("Europe/Berlin", True, "2024-10-27T02:30:00Z", "2024-10-27T00:30:00.000Z"),
        ("Europe/Berlin", True, "2024-10-27T03:00:00Z", "2024-10-27T02:00:00.000Z"),
    ],
)
def test_parse_reads_the_shapes_of_the_source(zone: str, false_z: bool, text: str, utc: str):
    assert at(SourceClock(zone, false_z), text) == utc


@given(
    st.datetimes(datetime(2015, 1, 1), datetime(2040, 1, 1)),
    st.sampled_from(["Asia/Seoul", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]),
)
def test_parse_and_day_agree_with_zoneinfo(wall: datetime, zone: str):
    clock = SourceClock(zone, false_z=True)
    wall = wall.replace(microsecond=wall.microsecond // 1000 * 1000)
    truth = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)

    parsed = clock.parse(f"{wall:%Y-%m-%dT%H:%M:%S}.{wall.microsecond // 1000:03d}Z")

    assert parsed == milliseconds(truth)
    assert clock.day(parsed) == truth.astimezone(ZoneInfo(zone)).date().isoformat()


def test_arrival_shifts_a_stamp_back_only_where_z_is_false():
    assert iso(SEOUL.arrival(1681996326.819) or 0) == "2023-04-20T04:12:06.819Z"
    believed = SourceClock("Asia/Seoul", false_z=False)
    assert iso(believed.arrival(1681996326.819) or 0) == "2023-04-20T13:12:06.819Z"


@pytest.mark.parametrize(
    "stamp", [None, True, "1", float("nan"), float("inf"), -float("inf"), 10**400, 1e300, [1]]
)
def test_arrival_is_none_for_what_is_no_time(stamp: object):
    assert SEOUL.arrival(stamp) is None


def test_arrival_holds_at_the_ends_of_the_calendar():
    for stamp in (-62_135_596_801, -62_135_596_800, 253_402_300_799, 253_402_300_800):
        SEOUL.arrival(stamp)


def test_sql_and_iso_have_milliseconds():
    moment = milliseconds(datetime(2026, 11, 20, 5, 6, 7, 89_000, tzinfo=UTC))

    assert iso(moment) == "2026-11-20T05:06:07.089Z"
    assert sql(moment) == "2026-11-20 05:06:07.089"
