"""Which values are unlike the same weekday of the eight weeks before."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from tests.oracle.dates import History
from tests.oracle.lake import DAY, Row

JUDGED = ("dau", "new_user_count", "event_count", "session_count")
REASONS = {
    "not_enough_history": "Fewer than 4 comparable days, or fewer than 20 expected.",
    "suppressed": "Records of the day are missing: look at the pipeline first.",
    "alert": "More than 3.5 spreads from the median of its weekday.",
    "warn": "More than 2.5 spreads from the median of its weekday.",
    "ok": None,
}


@dataclass(frozen=True)
class Judgement:
    """How a value compares with its training values; all of it unknown without any."""

    training_count: int
    expected: float | None
    spread: float | None
    score: float | None


def judge(value: int, training: Sequence[int]) -> Judgement:
    """Compare a count with comparable ones, by median and median absolute deviation."""
    if not training:
        return Judgement(0, None, None, None)
    expected = median([float(x) for x in training])
    deviation = median([abs(x - expected) for x in training])
    spread = max(1.4826 * deviation, math.sqrt(expected))
    score = (value - expected) / spread if spread else None
    return Judgement(len(training), expected, spread, score)


def median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def anomalies(
    daily_active: Iterable[Row], activity_daily: Iterable[Row], history: History
) -> list[Row]:
    daily = {row["metric_date"]: row for row in daily_active}
    rows = []
    stamps: tuple[str, ...] = ("sessions_batch_seq", "last_28_days_batch_seq")
    for metric in JUDGED:
        values = {day: row[metric] for day, row in daily.items()}
        rows += _judged(metric, "all", values, stamps, history)
    counts: dict[str, dict[date, int]] = {}
    for row in activity_daily:
        counts.setdefault(row["activity"], dict.fromkeys(history.days, 0))
        counts[row["activity"]][row["metric_date"]] = row["event_count"]
    stamps = ("day_batch_seq",)
    for activity, values in counts.items():
        rows += _judged("activity_event_count", activity, values, stamps, history)
    return rows


def _judged(
    metric: str,
    dimension: str,
    values: Mapping[date, int],
    stamps: Sequence[str],
    history: History,
) -> list[Row]:
    def comparable(day: date) -> list[date]:
        weeks = [day - 7 * k * DAY for k in range(1, 9)]
        return [d for d in weeks if d in history and not _is_incomplete(d, history)]

    def is_outlier(day: date) -> bool:
        first = judge(values[day], [values[d] for d in comparable(day)])
        return first.training_count >= 4 and abs(first.score or 0) > 3.5

    outliers = {day for day in history.days if is_outlier(day)}
    rows = []
    for day in history.days[:-1]:
        training = [values[d] for d in comparable(day) if d not in outliers]
        judged = judge(values[day], training)
        flag = _flag(judged, _is_incomplete(day, history))
        expected, spread = judged.expected, judged.spread
        rows.append(
            {
                "metric_date": day,
                "metric": metric,
                "dimension": dimension,
                "value": float(values[day]),
                "expected": expected,
                "low": None if expected is None or spread is None else expected - 3.5 * spread,
                "high": None if expected is None or spread is None else expected + 3.5 * spread,
                "score": judged.score,
                "training_count": judged.training_count,
                "flag": flag,
                "reason": REASONS[flag],
                **history.trust(day, day, *stamps),
            }
        )
    return rows


def _is_incomplete(day: date, history: History) -> bool:
    completeness = history.completeness.get(day)
    return completeness is not None and completeness < 99


def _flag(judged: Judgement, is_incomplete: bool) -> str:
    if judged.training_count < 4 or judged.expected is None or judged.expected < 20:
        return "not_enough_history"
    if is_incomplete:
        return "suppressed"
    if abs(judged.score or 0) > 3.5:
        return "alert"
    return "warn" if abs(judged.score or 0) > 2.5 else "ok"
