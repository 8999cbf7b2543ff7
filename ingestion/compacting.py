"""Merges the many small raw files of a day that is over into few, without losing a row to a race.

    night 1   close     staging of the batches deleted, then compaction/dt=…/{n}.json: what, when
    night 2   rewrite   merged files written, then the small ones deleted, then {n}.done.json

Between the two lies more time than any client keeps a request alive. So a publisher that slept
through it all finds no staged file to copy (NoSuchKey), and none of its copies is still under way
when the small files go. What night 2 does is fixed by the object that night 1 created if absent:
whoever repeats it, or races, writes the same rows under the same names. A merged file is never
rewritten or deleted, so nobody who wakes up late can bring one back, either.
"""

import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.commit import LandingLog
from ingestion.errors import ContractError
from ingestion.files import encode
from ingestion.lake import Lake
from ingestion.ledger import IdRanges
from ingestion.settings import Settings
from ingestion.tables import ACCESS_LOGS, SOURCE
from ingestion.times import SourceClock, milliseconds

logger = logging.getLogger(__name__)

OVER_AFTER = timedelta(hours=48)
"""After a day ends: as long as records may be late; its numbers are final then (DECISIONS.md)."""

CLOSED_FOR = timedelta(hours=1)
"""Our S3 client gives a request up after five attempts of a minute and the waits between them,
seven minutes in all; the rest is for clocks that disagree, and costs nothing at night."""

TARGET_BYTES = 6 * 2**20
"""Of small files in a merged one: 400,000 rows, for which a process takes 430 MB."""

_ORDER = [(name, "ascending") for name in ("occurred_at", "record_id", "batch_seq")]

_PREFIX = f"compaction/{SOURCE}/"
_SMALL = re.compile(r"/dt=(\d{4}-\d\d-\d\d)/seq=(\d{12})-\d+\.parquet\Z")
_ENTRY = re.compile(r"/dt=(\d{4}-\d\d-\d\d)/(\d{6})(\.done)?\.json\Z")


@dataclass(frozen=True, slots=True)
class _File:
    key: str
    seq: int
    size: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """One number of a day: closed, and perhaps done."""

    day: str
    number: int
    is_done: bool


def compact(
    settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dict[str, int]:
    """Rewrite the days that an earlier run closed, then close those that are over. Safe to race.

    Killed anywhere and run again, it goes on. Rows of superseded batches are left out. A record
    that came late for a merged day has a small file of its own until there are two of them.

    Raises:
        ContractError: if a file is gone that nobody but us deletes, or is no file of ours; after
            every other day was done.
    """
    lake = Lake(settings)
    log = LandingLog(lake)
    newest = {entry.day: entry for entry in _entries(lake)}
    found = dict.fromkeys(("rewritten", "merged", "into", "dropped", "rows"), 0)
    waiting = closed = 0
    problems: list[str] = []
    for entry in newest.values():
        if entry.is_done:
            continue
        body = lake.get(_key(entry.day, entry.number))
        plan = json.loads(body or b"{}")
        if plan["closed_at"] + CLOSED_FOR // timedelta(milliseconds=1) > milliseconds(now()):
            waiting += 1
            continue
        try:
            for name, count in _rewrite(lake, entry, plan).items():
                found[name] += count
        except ContractError as error:
            problems.append(str(error))
    clock = SourceClock(settings.source_time_zone, settings.source_false_z)
    today = clock.day(milliseconds(now() - OVER_AFTER))
    published, superseded = _readable(log)
    for day, files in _small_files(lake, published):
        before = newest.get(day)
        if day >= today or (before and not before.is_done):
            continue
        number = before.number + 1 if before else 1
        closed += _close(lake, day, number, files, superseded, now)
    if problems:
        raise ContractError(" ".join(problems))
    return {**found, "closed": closed, "waiting": waiting + closed}


def _entries(lake: Lake) -> Iterator[_Entry]:
    """Yield the entries in order, so the newest of a day last; ``.done`` comes before ``.json``."""
    done = set()
    for key in lake.keys(_PREFIX):
        if match := _ENTRY.search(key):
            place = match[1], int(match[2])
            if match[3]:
                done.add(place)
            else:
                yield _Entry(*place, is_done=place in done)


def _key(day: str, number: int, suffix: str = "") -> str:
    return f"{_PREFIX}dt={day}/{number:06d}{suffix}.json"


def _readable(log: LandingLog) -> tuple[int, IdRanges]:
    """Return up to where batches are published without a hole, and which of them are replaced."""
    waiting = log.unpublished()
    published = waiting[0] - 1 if waiting else log.head().seq
    # By the newest one that readers see: one that is only in the log replaces nothing yet.
    return published, IdRanges(log.header(published).superseded if published else ())


def _small_files(lake: Lake, published: int) -> Iterator[tuple[str, list[_File]]]:
    """Yield each day with the files of single batches that readers see, in the batches' order."""
    days: dict[str, list[_File]] = {}
    for uri, size in lake.list_uris(lake.uri(ACCESS_LOGS.prefix)):
        match = _SMALL.search(uri)
        if match and int(match[2]) <= published:
            days.setdefault(match[1], []).append(_File(lake.key_of(uri), int(match[2]), size))
    yield from days.items()


# ---------- night 1


def _close(
    lake: Lake,
    day: str,
    number: int,
    files: list[_File],
    superseded: IdRanges,
    now: Callable[[], datetime],
) -> bool:
    """Take the batches' staging away and fix what is to be done; False if there is nothing."""
    dropped = [file for file in files if file.seq in superseded]
    merged = [
        group
        for group in _grouped([file for file in files if file.seq not in superseded])
        if len(group) > 1
    ]
    if not dropped and not merged:
        return False
    for file in sorted((*dropped, *(f for group in merged for f in group)), key=lambda f: f.seq):
        for key in list(lake.keys(f"staging/{SOURCE}/{file.seq:012d}/")):
            lake.delete(key)
    plan = {
        "day": day,
        "closed_at": milliseconds(now()),  # after the last deletion
        "merged": [{"into": _target(day, g), "of": [file.key for file in g]} for g in merged],
        "dropped": [file.key for file in dropped],
    }
    body = json.dumps(plan, separators=(",", ":")).encode()
    if not lake.create(_key(day, number), body):
        return False  # a twin was faster; what it fixed is done next time
    count = sum(map(len, merged))
    logger.info("closed day=%s files=%d dropped=%d", day, count, len(dropped))
    return True


def _grouped(files: list[_File]) -> Iterator[list[_File]]:
    group: list[_File] = []
    for file in files:
        if group and sum(member.size for member in group) + file.size > TARGET_BYTES:
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _target(day: str, group: list[_File]) -> str:
    """Return a name that no other group of files has: small files are merged once."""
    digest = hashlib.sha256("\n".join(file.key for file in group).encode()).hexdigest()[:16]
    first, last = group[0].seq, group[-1].seq
    return f"{ACCESS_LOGS.prefix}dt={day}/merged={first:012d}-{last:012d}-{digest}.parquet"


# ---------- night 2


def _rewrite(lake: Lake, entry: _Entry, plan: dict[str, Any]) -> dict[str, int]:
    """Do what was fixed when the day was closed. Only when all is written is anything deleted."""
    rows = 0
    for merge in plan["merged"]:
        rows += _merge(lake, merge["into"], merge["of"])
    gone = [*(key for merge in plan["merged"] for key in merge["of"]), *plan["dropped"]]
    for key in gone:
        lake.delete(key)
    lake.put(_key(entry.day, entry.number, ".done"), b"{}\n", "application/json")
    counts = {
        "rewritten": 1,
        "merged": len(gone) - len(plan["dropped"]),
        "into": len(plan["merged"]),
        "dropped": len(plan["dropped"]),
        "rows": rows,
    }
    logger.info(
        "compacted day=%s %s",
        entry.day,
        " ".join(f"{name}={count}" for name, count in counts.items() if name != "rewritten"),
    )
    return counts


def _merge(lake: Lake, target: str, sources: list[str]) -> int:
    """Write one merged file and return its rows; 0 if whoever is deleting already wrote it."""
    tables = []
    for key in sources:
        body = lake.get(key)
        if body is None:
            if lake.get(target) is None:
                raise ContractError(
                    f"{lake.uri(key)} is gone, and so is the file that it was merged into. "
                    "Restore it from the bucket's versions; nothing of its day was deleted."
                )
            return 0
        tables.append(_read(lake, key, body))
    merged = pa.concat_tables(tables)
    del tables
    lake.put(target, encode(merged, pc.sort_indices(merged, _ORDER)))
    return int(merged.num_rows)


def _read(lake: Lake, key: str, body: bytes) -> pa.Table:
    try:
        table = pq.read_table(io.BytesIO(body))
        return table.select(ACCESS_LOGS.schema.names).cast(ACCESS_LOGS.schema)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise ContractError(
            f"{lake.uri(key)} is not as ingestion writes it ({type(error).__name__}). Restore it "
            "from the bucket's versions; nothing of its day was deleted by this run."
        ) from None
