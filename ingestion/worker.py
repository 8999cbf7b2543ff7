"""The child process of ``isolation``: derives batches for its parent, within limits.

Frames come in on stdin and go out on stdout: eight bytes of length, and the content. A request is
JSON and the envelopes, an answer is JSON and Arrow streams. The process says ``ready`` after it
has decoded a record under its limits, and nothing on stderr from then on, because a traceback
quotes what it failed on. It ends with its parent: when stdin ends.
"""

import contextlib
import json
import os
import resource
import signal
import struct
from typing import Any, BinaryIO

import pyarrow as pa

from ingestion import batches, records
from ingestion.keys import KeyRing
from ingestion.privacy import Pseudonyms
from ingestion.times import SourceClock

FRAME = struct.Struct(">Q")

_MAX_OPEN_FILES = 64
_WORN_BYTES = 128 * 2**20
"""A process that grew by so much is replaced: what it keeps is missing from the next limit."""

_KNOWN_KEY = "A" * 43 + "="
_KNOWN_RECORD = {
    "recordId": 1,
    "ArrivalTimeStamp": 1767225600,
    "data": "gAAAAABpVbi5AAAAAAAAAAAAAAAAAAAAANsxOAJEhXYI30dtrXKQwNLeJWIpobJ-uAOj9kxFG7xuVLbZ25"
    "OiWp3lIzaZTl-JKFIxu6kb8bjrwHzMWC1ukZlxzK5E9mU820ZMQBR7lAWi5EeyuTcLxmZ2HAq92uT2QQ==",
}
"""A good record under a key that everybody knows: whoever cannot decode it must not judge."""


class _Limits:
    """What the process may take from the machine."""

    def __init__(self) -> None:
        self._statm = -1
        with contextlib.suppress(OSError):  # only Linux has it; elsewhere memory has no limit
            self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._base = self._size()
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        # Not 0: at 0 the kernel still pipes a core, keys and plaintexts in it, into a handler
        # such as apport's; at 1 it makes none at all.
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))

    def _size(self) -> int:
        if self._statm < 0:
            return 0
        return int(os.pread(self._statm, 64, 0).split()[0]) * resource.getpagesize()

    @property
    def is_worn(self) -> bool:
        """Whether the process has grown for good."""
        return self._size() - self._base > _WORN_BYTES

    def files(self, count: int) -> None:
        """Allow so many open files; those that are open stay usable."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, min(hard, _MAX_OPEN_FILES)))

    def allow(self, cpu_seconds: float, memory_bytes: int, wall_seconds: float) -> None:
        """Allow one request so much time, and so much memory beside the bare process."""
        # Not RLIMIT_CPU: it counts from the start of the process, by a coarser clock than the one
        # that tells how much was used, and on a busy machine the two are seconds apart.
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        # The parent watches the clock too, but it may be gone.
        signal.setitimer(signal.ITIMER_REAL, wall_seconds)
        if self._statm >= 0:
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            soft = self._base + memory_bytes
            if hard != resource.RLIM_INFINITY:
                soft = min(soft, hard)
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    def rest(self) -> None:
        """Wait without a clock."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def spelled(rules: records.Rules) -> dict[str, Any]:
    """Return rules as JSON, secrets and all: for a pipe, never for a file."""
    return {
        "ring": rules.ring.document(),
        "pseudonym_key": rules.pseudonyms.reveal().hex(),
        "zone": rules.clock.zone,
        "false_z": rules.clock.false_z,
    }


def rules(spelled: dict[str, Any]) -> records.Rules:
    """Return the rules that were spelled."""
    return records.Rules(
        KeyRing.parse(spelled["ring"]),
        Pseudonyms(bytes.fromhex(spelled["pseudonym_key"])),
        SourceClock(spelled["zone"], spelled["false_z"]),
    )


def _prove() -> None:
    known = records.Rules(
        KeyRing([_KNOWN_KEY]), Pseudonyms(bytes(32)), SourceClock("UTC", false_z=False)
    )
    now = _KNOWN_RECORD["ArrivalTimeStamp"] * 1_000  # type: ignore[operator]
    many = records.parse(json.dumps([_KNOWN_RECORD] * (2 * batches.MIN_ROWS)).encode())
    # The road of the many by itself, because ``derive`` would go the other one if it failed.
    together = batches.decode_all(many, known, [now] * len(many))
    derived = records.derive(
        [_KNOWN_RECORD, None], known, batch_seq=0, landed_at=now, fetched_at=now
    )
    _, blob = _answer(derived)
    if together.rest or derived.good_days != {"2026-01-01": 1} or not blob:
        raise SystemExit("The decoder does not decode a record that is known to be good.")


def _answer(derived: records.Derived) -> tuple[dict[str, Any], bytes]:
    streams = [(day, _stream(table)) for day, table in derived.raw.items()]
    quarantine = _stream(derived.quarantine)
    head = {
        "raw": [(day, len(stream)) for day, stream in streams],
        "quarantine": len(quarantine),
        "reasons": derived.reasons,
        "good_days": derived.good_days,
        "quarantined_days": derived.quarantined_days,
        "conflict_days": derived.conflict_days,
        "keys": derived.keys,
    }
    return head, b"".join([*(stream for _, stream in streams), quarantine])


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _read(pipe: BinaryIO) -> bytes:
    head = pipe.read(FRAME.size)
    size = FRAME.unpack(head)[0] if len(head) == FRAME.size else -1
    content = pipe.read(size) if size >= 0 else b""
    if len(content) != size:
        raise SystemExit(0)  # the parent is gone
    return content


def _write(pipe: BinaryIO, *frames: bytes) -> None:
    for frame in frames:
        pipe.write(FRAME.pack(len(frame)))
        pipe.write(frame)
    pipe.flush()


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is ours
    pa.set_cpu_count(1)  # there is a child for each core already
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _prove()  # once to load what is loaded at first use,
    limits = _Limits()
    limits.files(0)
    limits.allow(60, 256 * 2**20, 60)
    _prove()  # and once to see that it can do without more
    limits.files(_MAX_OPEN_FILES)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    _write(answers, b"ready")
    told: dict[str, Any] = {}
    while True:
        limits.rest()
        request, body = json.loads(_read(requests)), _read(requests)
        limits.files(_MAX_OPEN_FILES)  # a zone is a file
        if request["rules"] != told:
            told = request["rules"]
            current = rules(told)
        limits.files(0)
        limits.allow(*request["limits"])
        envelopes = records.parse(body)
        del body
        derived = records.derive(envelopes, current, **request["arguments"])
        del envelopes
        head, blob = _answer(derived)
        del derived
        head["is_worn"] = limits.is_worn
        _write(answers, json.dumps(head).encode(), blob)
