"""``records.derive`` in a child process with limits: total and bounded whatever a record holds.

    batch → requests of bounded size → worker → answers → one batch again
                                      └ died: halved, until one record is left; it dies twice:
                                        RESOURCE_LIMIT

One worker per process, started when first needed. It is a program of its own and no fork, because
Arrow has threads, and no ``multiprocessing``, because that would import the caller's main module.
"""

import atexit
import contextlib
import json
import logging
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
import zoneinfo
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingestion import records
from ingestion.errors import WorkerUnavailable
from ingestion.records import Derived, Rules
from ingestion.tables import ACCESS_LOGS, QUARANTINED_RECORDS
from ingestion.worker import FRAME

logger = logging.getLogger(__name__)

MAX_REQUEST_RECORDS = 5_000
"""Records sent at once: the child stays small, and a record that kills it is found sooner."""

MAX_REQUEST_BYTES = 16 * 2**20
"""Bytes of envelopes sent at once; one envelope that is larger goes alone."""

MAX_DEATHS = 200
"""Children that one batch may cost. After so many, a part that kills is refused as a whole."""

START_SECONDS = 60
"""To import Arrow and to decode one record: 0.2 s on an idle machine."""

CPU_SECONDS = 3
CPU_SECONDS_PER_RECORD = 0.001
CPU_SECONDS_PER_MEGABYTE = 1.0
"""Twenty times what ordinary records take, and twice what the worst take that were found."""

WALL_FACTOR = 10
"""Seconds per second of CPU: the child waits for nothing but the CPU, on however busy a machine."""

MEMORY_BYTES = 256 * 2**20
MEMORY_BYTES_PER_RECORD = 16 * 1024
MEMORY_FACTOR = 16
"""Address space beside the bare process: fixed, per record, and per byte of envelopes."""

_ERROR_CHARACTERS = 400
_END_SECONDS = 10
_PIPE_BYTES = 1 << 20

_PROGRAM = """
import sys, types
# Arrow would load both at its first array (a second, 60 MB) and needs neither.
sys.modules.update(numpy=None, pandas=None)
# The package without its __init__, which imports what talks to S3.
package = types.ModuleType("ingestion")
package.__path__ = [sys.argv[1]]
sys.modules["ingestion"] = package
sys.modules["ingestion.secret_store"] = types.ModuleType("secret_store")
"""
_COUNTS = ("reasons", "good_days", "quarantined_days", "conflict_days", "keys")
_MAIN = "from ingestion import worker; worker.main()"


class _Died(Exception):
    """The child ended or did not end in time; carries how, in words of ours."""


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
    waiting = deque(_Part(0, envelopes, times, conflict).pieces(MAX_REQUEST_RECORDS))
    done: list[tuple[int, Derived]] = []
    deaths = 0
    while waiting:
        part = waiting.popleft()
        arguments = part.arguments(batch_seq, landed_at)
        count = len(part.envelopes)
        body = _spelled(part.envelopes)
        if count > 1 and (body is None or len(body) > MAX_REQUEST_BYTES):
            waiting.extendleft(part.halves())
            continue
        try:
            if body is None:
                # Too deep or too long a number to be spelled: refused before its token is opened.
                answer = records.derive(part.envelopes, rules, **arguments)
            else:
                answer = _ask(rules, arguments, body, count)
        except _Died as death:
            deaths += 1
            part.deaths += 1
            logger.warning("worker died seq=%d records=%d because=%s", batch_seq, count, death)
            if deaths <= MAX_DEATHS and (count > 1 or part.deaths < 2):
                waiting.extend(part.halves() if count > 1 else [part])
                continue
            answer = records.refuse(part.envelopes, rules, **arguments)
        done.append((part.start, answer))
    done.sort(key=lambda item: item[0])
    derived = _combined([answer for _, answer in done])
    records.check_rows(batch_seq, len(envelopes), derived)
    return derived


def _spelled(envelopes: Sequence[object]) -> bytes | None:
    try:
        return json.dumps(envelopes, separators=(",", ":")).encode()
    except (RecursionError, TypeError, ValueError):
        return None


def _combined(parts: Sequence[Derived]) -> Derived:
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
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in columns])


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


# ---------- one request


def _ask(rules: Rules, arguments: dict[str, Any], body: bytes, count: int) -> Derived:
    megabytes = len(body) / 2**20
    cpu = math.ceil(
        CPU_SECONDS + CPU_SECONDS_PER_RECORD * count + CPU_SECONDS_PER_MEGABYTE * megabytes
    )
    memory = MEMORY_BYTES + MEMORY_BYTES_PER_RECORD * count + MEMORY_FACTOR * len(body)
    request = {
        "rules": {
            "ring": rules.ring.document(),
            "pseudonym_key": rules.pseudonyms.reveal().hex(),
            "zone": rules.clock.zone,
            "false_z": rules.clock.false_z,
        },
        "arguments": arguments,
        "limits": (cpu, memory, cpu * WALL_FACTOR),
    }
    frames = (json.dumps(request).encode(), body)
    with _lock:
        worker = _running()
        is_worn = True
        try:
            head, blob = worker.ask(frames, cpu * WALL_FACTOR, memory)
            derived, is_worn = _answer(head, blob, count)
        finally:
            if is_worn:
                _stop()
    return derived


def _answer(head: bytes, blob: bytes, count: int) -> tuple[Derived, bool]:
    """Read an answer; it is believed as far as its form goes, like any input."""
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
        fits = (
            all(table.schema == ACCESS_LOGS.schema for table in raw)
            and quarantine.schema == QUARANTINED_RECORDS.schema
            and sum(table.num_rows for table in tables) == count
            and sum(told["reasons"].values()) == quarantine.num_rows
        )
        derived = Derived(
            raw={day: table for (day, _), table in zip(told["raw"], raw, strict=True)},
            quarantine=quarantine,
            **{name: told[name] for name in _COUNTS},
        )
    except (ValueError, LookupError, TypeError, AttributeError, pa.ArrowException):
        fits = False
    if not fits:
        raise _Died("an answer that is none")
    return derived, bool(told["is_worn"])


# ---------- the child


class _Worker:
    """A child that has said it is ready."""

    def __init__(self) -> None:
        package = Path(__file__).parent
        path = [str(package.parent), *(str(Path(entry).absolute()) for entry in sys.path if entry)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM + _MAIN, str(package)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Nothing of ours: it holds secrets, and addresses that nobody needs for decoding.
                env={
                    "PYTHONPATH": os.pathsep.join(path),
                    "PYTHONTZPATH": os.pathsep.join(zoneinfo.TZPATH),
                    # Others reserve a gigabyte of addresses at once, so a limit says nothing.
                    "ARROW_DEFAULT_MEMORY_POOL": "system",
                },
            )
        except OSError as error:
            raise WorkerUnavailable(
                f"Cannot start the process that decodes records: {error.strerror}. Look at the "
                "machine's memory and process limits, then run again."
            ) from None
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        try:
            self._frame(time.monotonic() + START_SECONDS, 100)
        except _Died as death:
            # It has not seen a record yet, so what it says quotes none.
            said = self._last_line()
            self.close()
            raise WorkerUnavailable(
                f"The process that decodes records did not start ({death}){said}. Look at the "
                "machine's memory and process limits, then run again."
            ) from None
        except BaseException:
            self.close()
            raise
        assert self._process.stderr is not None
        self._process.stderr.close()

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, frames: Iterable[bytes], seconds: int, most: int) -> tuple[bytes, bytes]:
        """Return the answer to one request.

        Raises:
            _Died: if there is none in time.
        """
        deadline = time.monotonic() + seconds
        for frame in frames:
            self._send(FRAME.pack(len(frame)), deadline)
            self._send(frame, deadline)
        return self._frame(deadline, most), self._frame(deadline, most)

    def close(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Close our ends of its pipes."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _send(self, content: bytes, deadline: float) -> None:
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        rest = memoryview(content)
        while rest:
            self._await(pipe, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                continue
            except OSError:
                raise _Died(self._how()) from None

    def _frame(self, deadline: float, most: int) -> bytes:
        size = FRAME.unpack(self._receive(FRAME.size, deadline))[0]
        if size > most:
            raise _Died("an answer that is none")
        return self._receive(size, deadline)

    def _receive(self, size: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        chunks = []
        while size:
            self._await(pipe, select.POLLIN, deadline)
            try:
                chunk = os.read(pipe, min(size, _PIPE_BYTES))
            except BlockingIOError:
                continue
            if not chunk:
                raise _Died(self._how())
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def _await(self, pipe: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1_000):
            raise _Died("time")

    def _how(self) -> str:
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed pipe"
        return f"exit {status}" if status >= 0 else signal.Signals(-status).name

    def _last_line(self) -> str:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):
            lines = os.read(self._process.stderr.fileno(), 2**16).decode("utf-8", "replace")
            if lines.strip():
                return f": {lines.strip().splitlines()[-1][:_ERROR_CHARACTERS]}"
        return ""


_lock = threading.Lock()
_current: _Worker | None = None


def _running() -> _Worker:
    global _current
    if _current is not None and not _current.is_alive:
        _stop()
    if _current is None:
        _current = _Worker()
    return _current


def _stop() -> None:
    global _current
    if _current is not None:
        _current.close()
    _current = None


def _forget() -> None:
    """Leave the parent's worker to the parent: a fork that held its pipes would keep it alive."""
    global _current, _lock
    _lock = threading.Lock()
    if _current is not None:
        _current.forget()
    _current = None


atexit.register(_stop)
os.register_at_fork(after_in_child=_forget)
