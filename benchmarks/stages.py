"""Where our time goes: the functions that a batch passes through, timed as it does."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.contenders import ours
from ingestion.records import Rules

STAGES = (
    ("page JSON in C", "ingestion.kernel", "Library.scan"),
    ("page JSON", "ingestion.records", "parse"),
    ("envelopes: members, ids, arrival times", "ingestion.batches", "_offered"),
    ("arrival days", "ingestion.batches", "_days"),
    ("tokens: base64 in C", "ingestion.kernel", "Library.decode"),
    ("tokens: MAC of each in C", "ingestion.kernel", "Library.verify"),
    ("tokens: AES", "ingestion.keys", "Halves.decrypt_into"),
    ("tokens: the rest", "ingestion.tokens", "open_all"),
    ("plaintexts", "ingestion.plaintexts", "Reader.read"),
    ("one at a time", "ingestion.records", "decode"),
    ("rows to tables", "ingestion.batches", "_table"),
    ("decoding: the rest", "ingestion.batches", "decode_all"),
    ("days, sums, order", "ingestion.records", "derive"),
    ("parts of a batch as one", "ingestion.isolation", "combined"),
    ("Parquet", "ingestion.files", "encode"),
)
"""What, module, function; each without those of its callees that are listed, too."""


def measure(pages: Sequence[bytes], by: Rules, rounds: int) -> dict[str, float]:
    """Return nanoseconds per record of each stage: the least of the rounds, one by one."""
    best: dict[str, float] = {}
    count = 0
    for _ in range(rounds):
        with _timed() as own:
            begun = time.process_time()
            count = ours(pages, by)[0]
            whole = time.process_time() - begun
        own["all else"] = whole - sum(own.values())
        for name, seconds in own.items():
            best[name] = min(best.get(name, seconds), seconds)
    return {name: seconds / count * 1e9 for name, seconds in best.items()}


@contextlib.contextmanager
def _timed() -> Iterator[Counter[str]]:
    """Put a clock around every stage that this version of ingestion has."""
    own: Counter[str] = Counter()
    running: list[float] = []

    def clocked(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            running.append(0.0)
            begun = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                spent = time.process_time() - begun
                own[name] += spent - running.pop()
                if running:
                    running[-1] += spent

        return timed

    undone: list[tuple[Any, str, Any]] = []
    try:
        for name, module, path in STAGES:
            place: Any = importlib.import_module(module)
            *outer, last = path.split(".")
            for step in outer:
                place = getattr(place, step, None)
            if call := getattr(place, last, None):
                undone.append((place, last, call))
                setattr(place, last, clocked(name, call))
        yield own
    finally:
        for place, last, call in reversed(undone):
            setattr(place, last, call)
