"""Partition projection: which values of a partition column a table's properties allow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn

from local_aws.engine.errors import QueryError, refuse

Check = Callable[[str], bool]


def projection(parameters: Mapping[str, str], name: str) -> Check:
    """Whether a value is one of the projected; ``parameters`` have lower-case keys.

    Raises:
        QueryError: INVALID_TABLE_PROPERTY, if a property is missing or wrong.
    """

    def need(option: str) -> str:
        found = parameters.get(f"projection.{name}.{option}")
        if found is None:
            _wrong(f"projection.{name}.{option} is missing")
        return found

    kind = (parameters.get(f"projection.{name}.type") or "").strip().lower()
    if kind == "enum":
        # White space is part of a value, says the documentation.
        return frozenset(need("values").split(",")).__contains__
    if kind == "integer":
        return _integers(name, parameters, need("range"))
    if kind == "date":
        return _Dates(name, parameters, need("format"), need("range")).fits
    if kind == "injected":
        return lambda value: True
    _wrong(f"projection.{name}.type is {kind or 'missing'}: use enum, integer, date or injected")


def _wrong(text: str) -> NoReturn:
    raise QueryError("INVALID_TABLE_PROPERTY", text)


def _positive(parameters: Mapping[str, str], key: str, default: int) -> int:
    text = parameters.get(key, str(default)).strip()
    if not text.isdigit() or int(text) == 0:
        _wrong(f"{key} is {text}: it must be a positive integer")
    return int(text)


def _ends(name: str, text: str) -> tuple[str, str]:
    ends = [end.strip() for end in text.split(",")]
    if len(ends) != 2:
        _wrong(f"projection.{name}.range {text} needs two values, divided by a comma")
    return ends[0], ends[1]


def _integers(name: str, parameters: Mapping[str, str], span: str) -> Check:
    try:
        low, high = (int(end) for end in _ends(name, span))
    except ValueError:
        _wrong(f"projection.{name}.range {span} is not of integers")
    key = f"projection.{name}.digits"
    digits = _positive(parameters, key, 1) if key in parameters else 1
    step = _positive(parameters, f"projection.{name}.interval", 1)

    def fits(value: str) -> bool:
        if not re.fullmatch(r"-?\d+", value):
            return False
        number = int(value)
        return (
            low <= number <= high and (number - low) % step == 0 and value == f"{number:0{digits}d}"
        )

    return fits


# ------------------------------------------------------------------------ dates

_FIELDS = {
    "yyyy": r"(?P<year>\d{4})", "MM": r"(?P<month>\d{2})", "M": r"(?P<month>[1-9]\d?)",
    "dd": r"(?P<day>\d{2})", "d": r"(?P<day>[1-9]\d?)", "HH": r"(?P<hour>\d{2})",
    "H": r"(?P<hour>0|[1-9]\d?)", "mm": r"(?P<minute>\d{2})", "ss": r"(?P<second>\d{2})",
}  # fmt: skip
_UNITS = ("year", "month", "week", "day", "hour", "minute", "second")
_UNIT = rf"({'|'.join(_UNITS)})s?"
_NOW = re.compile(rf"\s*NOW\s*(?:([+-])\s*(\d+)\s*{_UNIT}\s*)?", re.IGNORECASE)


class _Dates:
    """Dates of a format, from the first of a range in steps of an interval."""

    def __init__(self, name: str, parameters: Mapping[str, str], java: str, span: str) -> None:
        self._name, self._java = name, java
        self._pattern, found = self._compiled(java)
        self._step = _positive(parameters, f"projection.{name}.interval", 1)
        unit = parameters.get(f"projection.{name}.interval.unit")
        finest = next(f for f in reversed(("year", "month", "day", "time")) if f in found)
        if unit is None:
            if finest not in ("month", "day"):
                _wrong(f"projection.{name}.interval.unit is needed for the format {java}")
            unit = finest
        match = re.fullmatch(_UNIT, unit.strip(), re.IGNORECASE)
        if match is None:
            _wrong(f"projection.{name}.interval.unit is {unit}: use {', '.join(_UNITS)}s")
        self._unit = match[1].lower()
        low, high = _ends(name, span)
        self._low, self._high = self._bound(low, found), self._bound(high, found)

    def fits(self, value: str) -> bool:
        """Whether the value is one of them."""
        moment = self._parsed(value)
        if moment is None or not self._low <= moment <= self._high:
            return False
        if self._unit in ("year", "month"):
            months = (moment.year - self._low.year) * 12 + moment.month - self._low.month
            step = self._step * (12 if self._unit == "year" else 1)
            return months % step == 0 and moment == _plus_months(self._low, months)
        step_of = timedelta(**{f"{self._unit}s": self._step})
        return (moment - self._low) % step_of == timedelta()

    def _compiled(self, java: str) -> tuple[re.Pattern[str], set[str]]:
        pattern, found = "", set()
        for part in re.finditer(r"'([^']*)'|([A-Za-z])\2*|[^A-Za-z']", java):
            text = part[0]
            if part[2] is None:
                pattern += re.escape(part[1] if text.startswith("'") else text)
            elif text in _FIELDS:
                pattern += _FIELDS[text]
                found.add({"y": "year", "M": "month", "d": "day"}.get(text[0], "time"))
            else:
                refuse(f"projection.{self._name}.format {java} is not supported here")
        if not found:
            _wrong(f"projection.{self._name}.format {java} names no part of a date")
        return re.compile(pattern), found

    def _parsed(self, value: str) -> datetime | None:
        match = self._pattern.fullmatch(value)
        if match is None:
            return None
        given = {k: int(v) for k, v in match.groupdict().items()}
        parts = {"year": 1970, "month": 1, "day": 1, **given}
        try:
            return datetime(**parts)  # type: ignore[arg-type]
        except ValueError:
            return None

    def _bound(self, shown: str, fields: set[str]) -> datetime:
        match = _NOW.fullmatch(shown)
        if match is None:
            found = self._parsed(shown)
            if found is None:
                _wrong(f"projection.{self._name}.range: {shown} does not fit {self._java}")
            return found
        now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
        if match[2] is not None:
            count, unit = int(match[2]) * (1 if match[1] == "+" else -1), match[3].lower()
            if unit in ("year", "month"):
                now = _plus_months(now, count * (12 if unit == "year" else 1))
            else:
                now += timedelta(**{f"{unit}s": count})
        # What the format does not show does not count.
        if "time" not in fields:
            now = now.replace(hour=0, minute=0, second=0)
        elif "mm" not in self._java:
            now = now.replace(minute=0, second=0)
        elif "ss" not in self._java:
            now = now.replace(second=0)
        now = now if "day" in fields else now.replace(day=1)
        return now if "month" in fields else now.replace(month=1)


def _plus_months(moment: datetime, count: int) -> datetime:
    """So many months later, on the last day of a month that is too short."""
    months = moment.year * 12 + moment.month - 1 + count
    year, month = divmod(months, 12)
    last = date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last.day))
