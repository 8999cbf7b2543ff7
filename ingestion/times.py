"""The source's clock: its texts and stamps to UTC milliseconds. Pure; knows no "now".

Wall time in a zone with summer time is defined everywhere: an hour that happens twice is the
first one, and a time that a spring change skipped is read with the offset before the change (so
02:30 in the gap is 03:30 after it).
"""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_EPOCH = datetime(1970, 1, 1)  # naive on purpose: wall time, whose zone comes later
_EPOCH_ORDINAL = _EPOCH.toordinal()
_SECOND = timedelta(seconds=1)
QUARTER = 900_000
"""Milliseconds of a quarter of an hour: on these, at the finest, zones change their offsets."""

_MAX_KNOWN = 100_000

_MAX_STAMP = 253_402_300_800
"""Seconds from 1970 to the year 10000, the end of Python's calendar."""


class SourceClock:
    """How one source writes time: its zone, and whether its ``Z`` can be believed."""

    def __init__(self, zone: str, false_z: bool) -> None:
        self.zone = zone
        self.false_z = false_z
        self._zone = ZoneInfo(zone)
        self._offsets: dict[int, int] = {}
        self._days: dict[int, str | None] = {}

    def parse(self, text: str) -> int | None:
        """Return UTC milliseconds of an ISO 8601 text, or None if it is none.

        Where ``Z`` is declared false, ``Z`` and its other spelling ``+00:00`` mean wall time in
        the source's zone; any other offset is a statement, and is honoured. Digits beyond
        milliseconds are dropped.
        """
        match = _ISO.fullmatch(text)
        if match is None:
            return None
        year, month, day, hour, minute, second, fraction, mark = match.groups()
        try:
            wall = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))
        except ValueError:
            return None
        if mark is None:
            stated = None
        elif mark == "Z":
            stated = 0
        else:
            hours, minutes = int(mark[1:3]), int(mark[-2:])
            if hours > 23 or minutes > 59:
                return None
            stated = (hours * 60 + minutes) * (-60 if mark[0] == "-" else 60)
        seconds = (
            (wall.toordinal() - _EPOCH_ORDINAL) * 86_400
            + wall.hour * 3_600
            + wall.minute * 60
            + wall.second
        )
        if stated is None or (stated == 0 and self.false_z):
            utc = seconds * 1_000 - self.offset(seconds * 1_000)
        else:
            utc = (seconds - stated) * 1_000
        return utc + (int(fraction[:3].ljust(3, "0")) if fraction else 0)

    def arrival(self, stamp: object) -> int | None:
        """Return UTC milliseconds of an arrival stamp, or None if it is no usable number.

        The stamp is in seconds since 1970; where ``Z`` is declared false it was made from wall
        time read as UTC, and is shifted back.
        """
        if isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
            return None
        if not -_MAX_STAMP < stamp < _MAX_STAMP:  # also false for NaN
            return None
        milliseconds = round(stamp * 1_000)
        if self.false_z:
            try:
                milliseconds -= self.offset(milliseconds)
            except OverflowError:
                return None
        return milliseconds

    def day(self, utc_milliseconds: int) -> str:
        """Return the source's calendar day (YYYY-MM-DD) of an instant.

        Raises:
            OverflowError, ValueError: outside the years 1 to 9999; check the range first.
        """
        day = self.day_of_quarter(utc_milliseconds // QUARTER)
        return self._day(utc_milliseconds) if day is None else day

    def day_of_quarter(self, quarter: int) -> str | None:
        """Return the day of all instants of a quarter of an hour; None if there are two days.

        Quarters are counted from 1970 in UTC.

        Raises:
            OverflowError, ValueError: outside the years 1 to 9999; check the range first.
        """
        if quarter not in self._days:
            if len(self._days) > _MAX_KNOWN:
                self._days.clear()
            day = self._day(quarter * QUARTER)
            is_whole = day == self._day((quarter + 1) * QUARTER - 1)
            self._days[quarter] = day if is_whole else None
        return self._days[quarter]

    def _day(self, utc_milliseconds: int) -> str:
        instant = datetime.fromtimestamp(utc_milliseconds // 1_000, UTC)
        return instant.astimezone(self._zone).date().isoformat()

    def offset(self, wall_milliseconds: int) -> int:
        """Return the zone's offset in milliseconds at a wall time read as UTC.

        Raises:
            OverflowError: outside the years 1 to 9999.
        """
        # One for each quarter of an hour, because asking the zone costs a microsecond.
        quarter = wall_milliseconds // QUARTER
        offset = self._offsets.get(quarter)
        if offset is None:
            wall = _EPOCH + timedelta(milliseconds=quarter * QUARTER)
            delta = wall.replace(tzinfo=self._zone).utcoffset()
            assert delta is not None  # a ZoneInfo always knows
            if len(self._offsets) > _MAX_KNOWN:
                self._offsets.clear()
            offset = self._offsets[quarter] = delta // _SECOND * 1_000
        return offset


def milliseconds(instant: datetime) -> int:
    """Return whole milliseconds since 1970 of an aware instant."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def day_start(day: str) -> int:
    """Return UTC milliseconds of a day's first instant in UTC."""
    return (date.fromisoformat(day).toordinal() - _EPOCH_ORDINAL) * 86_400_000


def iso(utc_milliseconds: int) -> str:
    """Return ``2026-11-20T05:00:00.000Z``."""
    instant = datetime.fromtimestamp(utc_milliseconds // 1_000, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{utc_milliseconds % 1_000:03d}Z"


def sql(utc_milliseconds: int) -> str:
    """Return ``2026-11-20 05:00:00.000``, as Athena's timestamps are cast from text."""
    return iso(utc_milliseconds)[:-1].replace("T", " ")
