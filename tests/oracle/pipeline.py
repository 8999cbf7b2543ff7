"""What arrived, what became of it, and what never came."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from tests.oracle.dates import Ledger
from tests.oracle.lake import Row, milliseconds, nearest_rank, utc

HOUR = 3_600_000
"""In milliseconds."""


def arrivals(
    batches: Sequence[Row], records: Iterable[Row], quarantined: Iterable[Row], zone: ZoneInfo
) -> list[Row]:
    """Return one row per date on which the source stamped something that was offered."""
    replays = {batch["seq"] for batch in batches if batch["source"] == "replay"}
    arrived_on: dict[date, list[Row]] = defaultdict(list)
    for record in records:
        arrived_on[record["arrived_at"].astimezone(zone).date()].append(record)
    refused_on: dict[date, list[Row]] = defaultdict(list)
    for row in quarantined:
        refused_on[date.fromisoformat(row["arrived_date"])].append(row)
    entries_on: dict[date, list[tuple[Row, Row]]] = defaultdict(list)
    for batch in batches:
        for entry in batch["arrival_days"]:
            entries_on[date.fromisoformat(entry["arrived_date"])].append((batch, entry))
    return [
        {
            "arrived_date": day,
            **_arrived(entries, arrived_on[day], refused_on[day], replays),
        }
        for day, entries in entries_on.items()
    ]


def _arrived(
    entries: list[tuple[Row, Row]], arrived: list[Row], refused: list[Row], replays: set[int]
) -> Row:
    conflicts = sum(row["reason"] == "ID_CONFLICT" for row in refused)
    settled = arrived + refused
    ids = {row["record_id"] for row in settled if row["record_id"] is not None}
    keys = {row["key_fingerprint"] for row in settled} - {None}
    span = max(ids) - min(ids) + 1 if ids else None
    lags = [(milliseconds(row["occurred_at"], row["landed_at"]), row) for row in arrived]
    # How long a record waited for its key says nothing about the way from source to lake.
    straight = [lag for lag, row in lags if row["batch_seq"] not in replays]
    newest = max((batch for batch, _ in entries), key=lambda batch: batch["seq"])
    is_consecutive = newest.get("missing_ids") is not None
    missing = span - len(ids) if span else None
    expected = len(settled) - conflicts + ((missing or 0) if is_consecutive else 0)
    return {
        "batch_count": len({batch["seq"] for batch, _ in entries}),
        "offered_count": sum(entry["offered"] for _, entry in entries),
        "good_count": len(arrived),
        "quarantined_count": len(refused) - conflicts,
        "duplicate_count": sum(entry["duplicate"] for _, entry in entries),
        "conflict_count": conflicts,
        "replayed_count": len(arrived) - len(straight),
        "missing_id_count": missing,
        "sequence_completeness": len(ids) / span if span else None,
        "key_count": len(keys),
        "keys_used": ", ".join(sorted(keys)) or None,
        "lag_p50_seconds": nearest_rank(straight, 50) / 1000 if straight else None,
        "lag_p95_seconds": nearest_rank(straight, 95) / 1000 if straight else None,
        "lag_max_seconds": max(straight) / 1000 if straight else None,
        "late_1h_count": sum(lag > HOUR for lag, _ in lags),
        "late_1d_count": sum(lag > 24 * HOUR for lag, _ in lags),
        "late_7d_count": sum(lag > 7 * 24 * HOUR for lag, _ in lags),
        "completeness_pct": float(100 * len(arrived)) / float(expected) if expected else None,
        "as_of_batch_seq": newest["seq"],
    }


def health(arrival_rows: Iterable[Row], ledger: Ledger) -> list[Row]:
    return [{**row, **_trust(row, ledger)} for row in arrival_rows]


def _trust(row: Row, ledger: Ledger) -> Row:
    return {
        "is_final": ledger.is_final(row["arrived_date"]),
        "completeness_pct": row["completeness_pct"],
        "as_of_batch_seq": row["as_of_batch_seq"],
        "as_of": ledger.as_of(row["as_of_batch_seq"]),
    }


def quarantine(
    quarantined: Iterable[Row], arrival_rows: Iterable[Row], ledger: Ledger
) -> list[Row]:
    trust: Mapping[date, Row] = {row["arrived_date"]: _trust(row, ledger) for row in arrival_rows}
    counts = Counter((row["arrived_date"], row["reason"]) for row in quarantined)
    return [
        {
            "arrived_date": date.fromisoformat(day),
            "reason": reason,
            "quarantined_count": count,
            **trust[date.fromisoformat(day)],
        }
        for (day, reason), count in counts.items()
    ]


def missing_ids(batches: Iterable[Row], records: list[Row], quarantined: list[Row]) -> list[Row]:
    """Return the ranges that were overtaken and never came; ranges are walked id by id."""
    came = {row["record_id"] for row in records + quarantined}
    rows = []
    for batch in batches:
        for overtaken in batch.get("missing") or []:
            run: list[int] = []
            for number in range(overtaken["low"], overtaken["high"] + 2):
                if number <= overtaken["high"] and number not in came:
                    run.append(number)
                elif run:
                    rows.append(
                        {
                            "first_missing_id": run[0],
                            "last_missing_id": run[-1],
                            "missing_id_count": len(run),
                            "overtaken_batch_seq": batch["seq"],
                            "overtaken_at": utc(batch["landed_at"]).replace(tzinfo=None),
                        }
                    )
                    run = []
    return rows
