"""What was said of a final day, run after run, and why it was said differently later."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from tests.oracle.lake import Lake, Row, counting_batches

RECORDED = ("dau", "wau", "mau", "new_user_count", "event_count", "session_count")


@dataclass(frozen=True)
class Run:
    """What one run saw: the lake, what the metric then said, and by which definition."""

    lake: Lake
    daily_active: Sequence[Row]
    definition_hash: str


def metric_history(runs: Sequence[Run]) -> list[Row]:
    """Return what the runs, one after the other, recorded; without the runs' names."""
    latest: dict[tuple[str, date], float] = {}
    revisions: Counter[tuple[str, date]] = Counter()
    rows = []
    for run in runs:
        batches = {batch["seq"]: batch for batch in counting_batches(run.lake)}
        for source in run.daily_active:
            for metric in RECORDED:
                day, value = source["metric_date"], float(source[metric])
                if not source["is_final"] or latest.get((metric, day)) == value:
                    continue
                latest[metric, day] = value
                revisions[metric, day] += 1
                rows.append(
                    {
                        "metric": metric,
                        "metric_date": day,
                        "revision_number": revisions[metric, day],
                        "value": value,
                        "as_of_batch_seq": source["as_of_batch_seq"],
                        "as_of": source["as_of"],
                        "recorded_batch_seq": max(batches, default=0),
                        "batch_cause": _batch_cause(batches.get(source["as_of_batch_seq"], {})),
                        "definition_hash": run.definition_hash,
                    }
                )
    return rows


def restatements(history: Sequence[Row], dim_dates: Sequence[Row]) -> list[Row]:
    """Return each change of a recorded value; ``history`` is in the order of the runs."""
    completeness = {row["metric_date"]: row["completeness_pct"] for row in dim_dates}
    before: dict[tuple[str, date], Row] = {}
    rows = []
    for row in history:
        key = (row["metric"], row["metric_date"])
        old, before[key] = before.get(key), row
        if old is None:
            continue
        rows.append(
            {
                "metric": row["metric"],
                "metric_date": row["metric_date"],
                "revision_number": row["revision_number"],
                "old_value": old["value"],
                "new_value": row["value"],
                "delta": row["value"] - old["value"],
                "cause": _cause(old, row),
                "definition_hash": row["definition_hash"],
                "is_final": True,
                "completeness_pct": completeness.get(row["metric_date"]),
                "as_of_batch_seq": row["as_of_batch_seq"],
                "as_of": row["as_of"],
            }
        )
    return rows


def _cause(old: Row, new: Row) -> str:
    is_same_stamp = old["as_of_batch_seq"] == new["as_of_batch_seq"]
    if is_same_stamp and old["definition_hash"] != new["definition_hash"]:
        return "definition_changed"
    return str(new["batch_cause"])


def _batch_cause(batch: Row) -> str:
    if batch.get("supersedes"):
        return "derived_again"
    return "key_arrived" if batch.get("source") == "replay" else "late_data"
