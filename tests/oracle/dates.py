"""The calendar, and what each row may claim: how final, how complete, as of which batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.oracle.lake import DAY, Row, dates_between, utc

REACHES = {
    "day_batch_seq": (0, 0),
    "sessions_batch_seq": (-1, 2),
    "last_28_days_batch_seq": (-27, 0),
    "last_56_days_batch_seq": (-55, 0),
    "next_7_days_batch_seq": (-1, 6),
    "next_56_days_batch_seq": (0, 55),
}
"""Each stamp is the newest batch that touched a date within so many days of the row's date."""


class Ledger:
    """When each batch landed, and which dates it touched."""

    def __init__(self, batches: Iterable[Row], zone: ZoneInfo) -> None:
        self.landed = {batch["seq"]: utc(batch["landed_at"]) for batch in batches}
        self.touched: dict[date, int] = {}
        self._replacements: list[tuple[date, int]] = []
        for batch in batches:
            seq = batch["seq"]
            spans = [
                [utc(entry[end]).astimezone(zone).date() for end in ("first_at", "last_at")]
                for entry in batch["event_days"]
            ]
            for first, last in spans:
                for day in dates_between(first, last):
                    self.touched[day] = max(seq, self.touched.get(day, 0))
            if batch.get("supersedes") and spans:
                self._replacements.append((min(first for first, _ in spans), seq))
        self.first_open_date = (
            (max(self.landed.values()) - timedelta(hours=48)).astimezone(zone).date()
            if self.landed
            else None
        )
        """Every date before this one is final; without a batch none is."""

    def newest(self, first: date, last: date) -> int:
        """Return the newest batch that touched one of these dates; 0 if none did."""
        return max((self.touched.get(day, 0) for day in dates_between(first, last)), default=0)

    def stamps(self, day: date) -> dict[str, int]:
        """Return every stamp of a date."""
        stamps = {
            name: self.newest(day + before * DAY, day + after * DAY)
            for name, (before, after) in REACHES.items()
        }
        replacements = [seq for first, seq in self._replacements if first <= day]
        return stamps | {"replaced_batch_seq": max(replacements, default=0)}

    def is_final(self, day: date) -> bool:
        """Tell whether the date was over 48 hours before the newest landing."""
        return self.first_open_date is not None and day < self.first_open_date

    def as_of(self, seq: int | None) -> datetime | None:
        """Return when a batch landed, in UTC without saying so."""
        landed = self.landed.get(seq or 0)
        return landed.replace(tzinfo=None) if landed else None

    def int_dates_stamped(self) -> list[Row]:
        """Return every date from the first to the last touched, with its stamps."""
        if not self.touched:
            return []
        return [
            {"metric_date": day, **self.stamps(day)}
            for day in dates_between(min(self.touched), max(self.touched))
        ]


@dataclass
class History:
    """The dates from the first to the last event, without holes, and what is known of each."""

    days: list[date]
    ledger: Ledger
    completeness: Mapping[date, float | None]
    """By arrival date; a date without arrivals is absent."""

    def __post_init__(self) -> None:
        self.stamps = {day: self.ledger.stamps(day) for day in self.days}

    @property
    def first(self) -> date:
        return self.days[0]

    @property
    def last(self) -> date:
        return self.days[-1]

    def __contains__(self, day: date) -> bool:
        return bool(self.days) and self.first <= day <= self.last

    def is_complete(self, day: date, days: int) -> bool:
        """Tell whether history holds the ``days`` days that end on ``day``."""
        return day - (days - 1) * DAY >= self.first

    def trust(self, first: date, last: date, *stamps: str, stamped: date | None = None) -> Row:
        """Return the trust columns of a row that is counted from ``first`` to ``last``.

        Its stamps are those of ``stamped``, by default the first date.
        """
        of_days = [self.completeness.get(day) for day in dates_between(first, last) if day in self]
        known = [completeness for completeness in of_days if completeness is not None]
        seq = max(self.stamps[stamped or first][name] for name in stamps)
        return {
            "is_final": self.ledger.is_final(last),
            "completeness_pct": min(known, default=None),
            "as_of_batch_seq": seq,
            "as_of": self.ledger.as_of(seq),
        }

    def dim_dates(self, new_users: Mapping[date, int]) -> list[Row]:
        """Return the calendar; ``new_users`` counts users by their first active date."""
        return [
            {
                "metric_date": day,
                "day_number": number,
                "is_wau_complete": self.is_complete(day, 7),
                "is_mau_complete": self.is_complete(day, 28),
                "is_final": self.ledger.is_final(day),
                "completeness_pct": self.completeness.get(day),
                "new_user_count": new_users.get(day, 0),
                "new_user_count_7": sum(new_users.get(day - n * DAY, 0) for n in range(7)),
                "new_user_count_28": sum(new_users.get(day - n * DAY, 0) for n in range(28)),
                **self.stamps[day],
                "first_open_date": self.ledger.first_open_date,
            }
            for number, day in enumerate(self.days, start=1)
        ]
