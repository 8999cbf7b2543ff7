"""``records.derive`` in child processes with limits: total and bounded whatever a record holds.

    batch → parts of bounded size → children, as many as cores → answers → one batch again
                                     └ died: halved, until one record is left; it dies twice:
                                       RESOURCE_LIMIT

``records.derive`` is a pure function of a batch, so anything that maps a function over batches can
stand in the place of this module: an executor's ``map``, a Spark or a Ray job; the rules travel as
``worker.spelled`` and ``worker.rules``. What it would lack is the limits: here a record that takes
a process with it costs itself and nothing else.

The children live as long as this process. Each is a program of its own and no fork, because Arrow
has threads, and no ``multiprocessing``, because that would import the caller's main module.
"""

import atexit
import json
import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import itemgetter
from typing import Any

import pyarrow as pa

from ingestion import records, worker
from ingestion.child import Child, Died
from ingestion.pool import MAX_CHILDREN, Pool, usable_cores
from ingestion.records import Derived, Rules
from ingestion.tables import ACCESS_LOGS, QUARANTINED_RECORDS
from ingestion.texts import Texts

logger = logging.getLogger(__name__)

MAX_REQUEST_RECORDS = 12_500
"""Records sent at once: four to a full batch, so that two and four children have equal shares; what
a child has in hand stays near its cache."""

MAX_REQUEST_BYTES = 16 * 2**20
"""Bytes of envelopes sent at once; one envelope that is larger goes alone."""

MAX_DEATHS = 200
"""Children that one batch may cost. After so many, a part that kills is refused as a whole."""

CPU_SECONDS = 2
CPU_SECONDS_PER_RECORD = 0.0005
CPU_SECONDS_PER_MEGABYTE = 2.0
"""Ten times what an ordinary record takes, and three times what the worst one found took."""

WALL_FACTOR = 10
"""Seconds per second of CPU: the child waits for nothing but the CPU, on however busy a machine."""

MEMORY_BYTES = 256 * 2**20
MEMORY_BYTES_PER_RECORD = 16 * 1024
MEMORY_FACTOR = 16
"""Address space beside the bare process: fixed, per record, and per byte of envelopes."""

_PROGRAM = """
import sys, types
# Arrow would load both at its first array (a second, 60 MB) and needs neither.
sys.modules.update(numpy=None, pandas=None)
# The package without its __init__, which imports what talks to S3: a second and 40 MB more.
package = types.ModuleType("ingestion")
package.__path__ = [sys.argv[1]]
sys.modules["ingestion"] = package
"""
_COUNTS = ("reasons", "good_days", "quarantined_days", "conflict_days", "keys")
_MAIN = "from ingestion import worker; worker.main()"


@dataclass(slots=True)
class _Part:
    """A stretch of a batch, as large as one request."""

    start: int
    envelopes: Sequence[object]
    times: Sequence[int]
    conflict: int
    deaths: int = 0

    def arguments(self, batch_seq: int, landed_at: int) -> dict[str, Any]:
        same = len(set(self.times)) == 1
        return {
            "batch_seq": batch_seq,
            "landed_at": landed_at,
            "fetched_at": self.times[0] if same else list(self.times),
            "conflict": self.conflict,
        }

    def halves(self) -> Iterator["_Part"]:
        return self.pieces((len(self.envelopes) + 1) // 2)

    def pieces(self, size: int) -> Iterator["_Part"]:
        first_conflict = len(self.envelopes) - self.conflict
        for begin in range(0, len(self.envelopes), size):
            end = min(begin + size, len(self.envelopes))
            yield _Part(
                self.start + begin,
                self.envelopes[begin:end],
                self.times[begin:end],
                max(0, end - max(begin, first_conflict)),
            )


def derive(
    envelopes: Sequence[object],
    rules: Rules,
    *,
    batch_seq: int,
    landed_at: int,
    fetched_at: int | Sequence[int],
    conflict: int = 0,
) -> Derived:
    """Return what ``records.derive`` returns; a record that kills the child is RESOURCE_LIMIT.

    Raises:
        ContractError: if the arguments do not fit each other, or rows were lost: a bug.
        WorkerUnavailable: if no child starts, which is no record's fault.
    """
    times = [fetched_at] * len(envelopes) if isinstance(fetched_at, int) else list(fetched_at)
    records.check_arguments(batch_seq, len(envelopes), len(times), conflict)
    batch = _Batch(_Part(0, envelopes, times, conflict), rules, batch_seq, landed_at)
    derived = combined(batch.derive())
    records.check_rows(batch_seq, len(envelopes), derived)
    return derived


class _Batch:
    """The parts of one batch that wait, are worked on, and are done."""

    def __init__(self, whole: _Part, rules: Rules, batch_seq: int, landed_at: int) -> None:
        self._rules = rules
        self._batch_seq = batch_seq
        self._landed_at = landed_at
        self._waiting = deque(whole.pieces(MAX_REQUEST_RECORDS))
        self._change = threading.Condition()
        self._working = 0
        self._children: set[Child] = set()
        self._done: list[tuple[int, Derived]] = []
        self._deaths = 0
        self._error: BaseException | None = None

    def derive(self) -> list[Derived]:
        """Return the parts' rows in the order of the batch."""
        helpers = [
            threading.Thread(target=self._work, name="derive", daemon=True)
            for _ in range(min(_pool.size, len(self._waiting)) - 1)
        ]
        try:
            for helper in helpers:
                helper.start()
            self._work()
            for helper in helpers:
                helper.join()
        except BaseException as error:  # also an interrupt, which reaches this thread only
            self._give_up(error)
            for helper in filter(threading.Thread.is_alive, helpers):
                helper.join()
        if self._error is not None:
            raise self._error
        return [answer for _, answer in sorted(self._done, key=itemgetter(0))]

    def _work(self) -> None:
        while (part := self._next()) is not None:
            try:
                self._take(part)
            except BaseException as error:
                self._give_up(error)
            finally:
                with self._change:
                    self._working -= 1
                    self._change.notify_all()

    def _next(self) -> _Part | None:
        """Return a part to work on; waits while one that is worked on may still be halved."""
        with self._change:
            while not self._waiting and self._working:
                self._change.wait()
            if not self._waiting:
                return None
            self._working += 1
            return self._waiting.popleft()

    def _give_up(self, error: BaseException) -> None:
        with self._change:
            self._error = self._error or error
            self._waiting.clear()
            for child in list(self._children):
                child.kill()
            self._change.notify_all()

    def _take(self, part: _Part) -> None:
        arguments = part.arguments(self._batch_seq, self._landed_at)
        count = len(part.envelopes)
        body = _spelled(part.envelopes)
        if count > 1 and (body is None or len(body) > MAX_REQUEST_BYTES):
            with self._change:
                self._waiting.extendleft(part.halves())
            return
        try:
            if body is None:
                # Too deep or too long a number to be spelled: refused before its token is opened.
                answer = records.derive(part.envelopes, self._rules, **arguments)
            else:
                answer = _ask(self._rules, arguments, body, count, self._children)
        except Died as death:
            part.deaths += 1
            with self._change:
                if self._error is not None:
                    return
                self._deaths += 1
                is_early = self._deaths <= MAX_DEATHS
                logger.warning(
                    "worker died seq=%d records=%d because=%s", self._batch_seq, count, death
                )
                if is_early and (count > 1 or part.deaths < 2):
                    self._waiting.extend(part.halves() if count > 1 else [part])
                    return
            answer = records.refuse(part.envelopes, self._rules, **arguments)
        with self._change:
            self._done.append((part.start, answer))


def _spelled(envelopes: Sequence[object]) -> bytes | None:
    if isinstance(envelopes, Texts):
        return envelopes.array()
    try:
        return json.dumps(envelopes, separators=(",", ":")).encode()
    except (RecursionError, TypeError, ValueError):
        return None


def combined(parts: Sequence[Derived]) -> Derived:
    """Return parts of a batch, in order, as the batch that they are."""
    if len(parts) == 1:
        return parts[0]
    days = sorted({day for part in parts for day in part.raw})
    raw = {
        day: _sorted(
            [part.raw[day] for part in parts if day in part.raw], "occurred_at", "record_id"
        )
        for day in days
    }
    tables = [part.quarantine for part in parts]
    return Derived(
        raw=raw,
        quarantine=_sorted(tables or [QUARANTINED_RECORDS.schema.empty_table()], "record_key"),
        reasons=_sum(part.reasons for part in parts),
        good_days=_sum(part.good_days for part in parts),
        quarantined_days=_sum(part.quarantined_days for part in parts),
        conflict_days=_sum(part.conflict_days for part in parts),
        keys=_sum(part.keys for part in parts),
    )


def _sorted(tables: Sequence[pa.Table], *columns: str) -> pa.Table:
    filled = [table for table in tables if table.num_rows]
    if len(filled) < 2:
        return (filled or tables)[0]
    whole = pa.concat_tables(filled)
    bounds = [[table.column(name) for name in columns] for table in filled]
    ends = [[column[-1].as_py() for column in bound] for bound in bounds[:-1]]
    begins = [[column[0].as_py() for column in bound] for bound in bounds[1:]]
    # Most dumps are in the order of time, and then so are the parts.
    is_sorted = all(end <= begin for end, begin in zip(ends, begins, strict=True))
    if not is_sorted:
        whole = whole.sort_by([(name, "ascending") for name in columns])
    return whole.combine_chunks()


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


# ---------- one request


def _ask(
    rules: Rules, arguments: dict[str, Any], body: bytes, count: int, children: set[Child]
) -> Derived:
    megabytes = len(body) / 2**20
    cpu = CPU_SECONDS + CPU_SECONDS_PER_RECORD * count + CPU_SECONDS_PER_MEGABYTE * megabytes
    memory = MEMORY_BYTES + MEMORY_BYTES_PER_RECORD * count + MEMORY_FACTOR * len(body)
    request = {
        "rules": worker.spelled(rules),
        "arguments": arguments,
        "limits": (cpu, memory, cpu * WALL_FACTOR),
    }
    frames = (json.dumps(request).encode(), body)
    child = _pool.take()
    children.add(child)
    is_worn = True
    try:
        head, blob = child.ask(frames, cpu * WALL_FACTOR, memory)
        derived, is_worn = _answer(head, blob, count)
    finally:
        children.discard(child)
        _pool.give_back(child, is_worn=is_worn)
    return derived


def _answer(head: bytes, blob: bytes, count: int) -> tuple[Derived, bool]:
    """Read an answer; it is believed as far as its sums and forms go, like any input."""
    try:
        told = json.loads(head)
        place = 0
        tables = []
        for size in (*(size for _, size in told["raw"]), told["quarantine"]):
            with pa.ipc.open_stream(pa.py_buffer(blob).slice(place, size)) as reader:
                tables.append(reader.read_all())
            tables[-1].validate(full=True)
            place += size
        *raw, quarantine = tables
        counts = {name: {str(key): int(n) for key, n in told[name].items()} for name in _COUNTS}
        days = [day for day, _ in told["raw"]]
        derived = Derived(dict(zip(days, raw, strict=True)), quarantine, **counts)
        is_worn = bool(told["is_worn"])
        good = sum(table.num_rows for table in raw)
        refused = quarantine.num_rows
        fits = (
            all(date.fromisoformat(day).isoformat() == day for day in derived.raw)
            and all(table.schema == ACCESS_LOGS.schema for table in raw)
            and quarantine.schema == QUARANTINED_RECORDS.schema
            and good + refused == count
            and sum(derived.good_days.values()) == good
            and sum(derived.reasons.values()) == refused
            and sum(derived.quarantined_days.values()) + sum(derived.conflict_days.values())
            == refused
        )
    except (ValueError, LookupError, TypeError, AttributeError, pa.ArrowException):
        fits = False
    if not fits:
        raise Died("an answer that is none")
    return derived, is_worn


def _fresh() -> Pool:
    return Pool(lambda: Child(_PROGRAM + _MAIN), min(usable_cores(), MAX_CHILDREN))


_pool = _fresh()


def _stop() -> None:
    _pool.stop()


def _forget() -> None:
    """Leave the parent's children to the parent: a fork has its own."""
    global _pool
    _pool.forget()
    _pool = _fresh()


atexit.register(_stop)
os.register_at_fork(after_in_child=_forget)
