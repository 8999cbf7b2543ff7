"""Whole days of the log as encrypted dump files, as the source hands out what its API forgot."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from simulator.errors import SimulatorError
from simulator.record_faults import Verbatim
from simulator.records import Record
from simulator.timeline import Timeline


def write(
    timeline: Timeline,
    envelopes: Callable[[Sequence[Record]], list[Any]],
    start: date,
    days: int,
    out: Path,
    progress: Callable[[Path, int], None],
) -> int:
    """Write one NDJSON file per day and return the number of records.

    ``envelopes`` encrypts, and hurts those records that are to be hurt.

    A file has all records that *happened* on its day, in id order: exactly what a cursor that
    walked through that day would have got. A file appears whole or not at all, so a run that was
    killed can be repeated.
    """
    if not timeline.is_over(days - 1):
        raise SimulatorError(
            f"{start + timedelta(days=days - 1)} is not over yet; a dump holds whole days, so ask "
            "for fewer with --history or begin earlier with --start."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        total = 0
        for day in range(days):
            records = timeline.day(day)
            path = out / f"access_logs-{start + timedelta(days=day)}.ndjson.gz"
            lines = [_line(envelope) for envelope in envelopes(records)]
            unfinished = path.with_name(f".{path.name}.part")
            unfinished.write_bytes(gzip.compress("".join(lines).encode(), compresslevel=1, mtime=0))
            unfinished.replace(path)
            total += len(records)
            progress(path, len(records))
    except OSError as error:
        raise SimulatorError(f"Cannot write dumps to {out}: {error.strerror}.") from error
    return total


def _line(envelope: Any) -> str:
    text = envelope if isinstance(envelope, Verbatim) else json.dumps(envelope)
    return f"{text}\n"
