"""Who came back: cohorts by their first active date."""

from collections.abc import Iterator
from datetime import date

from tests.oracle.dates import History
from tests.oracle.lake import DAY, Row, dates_between, rate
from tests.oracle.users import Activity

GRAINS = (("day", "day", 1, 28), ("day", "week", 7, 4), ("week", "week", 7, 8))
"""Cohorts of a day or a week, counted in days or weeks; the days of a period, and the periods."""


def retention(activity: Activity, history: History) -> list[Row]:
    rows: list[Row] = []
    for cohort_grain, period_grain, length, periods in GRAINS:
        for cohort_date in history.days:
            if cohort_grain == "week" and cohort_date.isoweekday() != 1:
                continue
            cohort_days = 7 if cohort_grain == "week" else 1
            cohort = activity.new_within(cohort_date, cohort_date + (cohort_days - 1) * DAY)
            for row in _periods(activity, history, cohort, cohort_date, length, periods):
                rows.append({"cohort_grain": cohort_grain, "period_grain": period_grain, **row})
    return rows


def _periods(
    activity: Activity,
    history: History,
    cohort: set[str],
    cohort_date: date,
    length: int,
    periods: int,
) -> Iterator[Row]:
    horizon_end = cohort_date + (length * periods - 1) * DAY
    spans = [
        (cohort_date + n * length * DAY, cohort_date + ((n + 1) * length - 1) * DAY)
        for n in range(periods)
    ]
    active_in = [_active(activity, cohort, *span) for span in spans]
    for number, (start, end) in enumerate(spans):
        if start > history.last:
            return
        later: set[str] = set().union(*active_in[number:])
        yield {
            "cohort_date": cohort_date,
            "period_number": number,
            "cohort_size": len(cohort),
            "active_count": len(active_in[number]),
            "active_or_later_count": len(later),
            "retention_rate": rate(len(active_in[number]), len(cohort)),
            "retention_or_later_rate": rate(len(later), len(cohort)),
            "is_complete": history.ledger.is_final(horizon_end),
            **history.trust(cohort_date, end, "next_56_days_batch_seq", "replaced_batch_seq"),
        }


def _active(activity: Activity, cohort: set[str], first: date, last: date) -> set[str]:
    return {
        user
        for user in cohort
        if any(day in activity.days_of[user] for day in dates_between(first, last))
    }


def activation(activity: Activity, history: History) -> list[Row]:
    rows = []
    for day in history.days:
        new = activity.new_on.get(day, set())
        activated = _active(activity, new, day + DAY, day + 6 * DAY)
        trust = history.trust(
            day, day + 6 * DAY, "next_7_days_batch_seq", "replaced_batch_seq", stamped=day
        )
        rows.append(
            {
                "cohort_date": day,
                "new_user_count": len(new),
                "activated_user_count": len(activated),
                "activation_rate": rate(len(activated), len(new)),
                "is_complete": trust["is_final"],
                **trust,
            }
        )
    return rows
