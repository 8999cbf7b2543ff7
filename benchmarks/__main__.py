"""Runs the benchmark: a full run takes about ten minutes, `--small` about two."""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from benchmarks import child, data, floor, lake, stages
from benchmarks.contenders import original, ours, pandas_apply, rules, without_kernel
from benchmarks.data import Source
from benchmarks.report import machine, say, text, write

BAD_SHARE = 0.05
ORIGINAL_PAGES = 2
PANDAS_PAGES = 5
"""Thousands of records per round: what costs ten times as much is measured over fewer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    users: int
    """Of the population whose one day is decoded, and encoded whole."""
    lake_users: int
    """Of the population whose 35 days become a lake."""
    sizes: tuple[int, ...]
    batch_pages: int
    rounds: int
    at_once: int
    """Records that each of two processes decodes."""
    repeats: int
    gzip_pages: int


MIXED_USERS = 90_000
"""Of the day that the contenders share: 107,000 records, in either spelling."""

SIZES = (100_000, 300_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000)
FULL = Plan(900_000, 20_000, SIZES, 50, 15, 500_000, 11, 60)

SMALL = Plan(90_000, 1_500, (100_000, 300_000), 50, 5, 200_000, 3, 20)
TINY = Plan(1_500, 100, (1_000, 2_000), 1, 1, 1_000, 1, 1)
"""For the test: every step once, no figure worth anything."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and its last line, and write the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--small", action="store_true", help="two minutes, up to 300,000 records")
    sizes.add_argument("--tiny", action="store_true", help="every step once, for tests")
    parser.add_argument(
        "--out", type=Path, default=data.ROOT / ".daylight/bench", help="where results go"
    )
    options = parser.parse_args(arguments)
    plan = SMALL if options.small else TINY if options.tiny else FULL
    begun = time.monotonic()
    result = measure(plan, options.out)
    for path in write(result, options.out):
        say(f"wrote {path}")
    say(f"took {time.monotonic() - begun:.0f} s")
    sys.stdout.write(f"{text(result)}\n")
    return 0


def measure(plan: Plan, home: Path) -> dict[str, Any]:
    """Return everything, as the JSON file has it."""
    home.mkdir(parents=True, exist_ok=True)
    mixed_users = min(plan.users, MIXED_USERS)
    wanted = {
        "repr": ("repr", mixed_users, 1),
        "json": ("json", mixed_users, 1),
        "big": ("repr", plan.users, 1),
        "days": ("repr", plan.lake_users, 35),
    }
    say("the simulator writes its records (kept for the next run)")
    begun = {spec: data.start(home, *spec) for spec in dict.fromkeys(wanted.values())}
    if failed := [spec for spec, process in begun.items() if process and process.wait()]:
        raise SystemExit(f"error: the simulator failed for {failed}")
    sources = {name: data.finish(home, *spec) for name, spec in wanted.items()}
    pages = {kind: _first(sources[kind], plan.batch_pages) for kind in ("repr", "json")}
    cpu = _contend(plan, sources, pages)
    floors = {kind: _floor(plan, sources[kind].key, pages[kind], kind) for kind in pages}
    say("stages")
    staged = {
        kind: stages.measure(pages[kind], rules(sources[kind].key), plan.rounds) for kind in pages
    }
    with tempfile.TemporaryDirectory(dir=home) as folder:
        stored = Path(folder) / "pages"
        with stored.open("wb") as file:
            file.writelines(page + b"\n" for page in sources["big"].pages())
        grown = []
        for size in plan.sizes:
            say(f"memory and cost at {size:,} records")
            grown.append(child.run("stream", stored, sources["big"].key, size))
        say("one process and two, in turn")
        two = _at_once(plan, stored, sources["big"].key)
        say("bytes of files")
        size = child.run("bytes", stored, sources["big"].key)
        size["gzip_json"] = _gzip_json(sources["big"], stored, plan.gzip_pages)
        shutil.rmtree(home / "lake", ignore_errors=True)
        stands = lake.measure(sources["repr"], sources["days"], home, home / "lake", say)
        shutil.rmtree(home / "lake", ignore_errors=True)
    return {
        "machine": machine(),
        "batch_records": plan.batch_pages * data.PAGE,
        "rounds": plan.rounds,
        "cpu_ns": cpu,
        "floor": floors,
        "stages": staged,
        "sizes": grown,
        "two_processes": two,
        "bytes": size,
        "lake": stands,
    }


def _first(source: Source, count: int) -> list[bytes]:
    pages = list(source.pages())
    start = (len(pages) - count) // 2  # around noon, when users are many
    return pages[start : start + count]


def _contend(
    plan: Plan, sources: dict[str, Source], pages: dict[str, list[bytes]]
) -> dict[str, float]:
    calls: dict[str, tuple[int, Callable[[], object]]] = {}
    for kind, mine in pages.items():
        key = sources[kind].key
        by, fernet, is_json = rules(key), Fernet(key), kind == "json"
        spoiled, count = data.with_bad_tokens(mine, key, BAD_SHARE, seed=1)
        rows, refused, _ = ours(mine, by)
        assert (rows, refused) == (len(mine) * data.PAGE, 0)
        assert ours(spoiled, by)[:2] == (rows, count)
        few, some = mine[:ORIGINAL_PAGES], mine[:PANDAS_PAGES]
        calls |= {
            f"ours/{kind}": (rows, lambda m=mine, b=by: ours(m, b)),
            f"ours, without the kernel/{kind}": (rows, lambda m=mine, b=by: without_kernel(m, b)),
            f"ours, 5 % bad tokens/{kind}": (rows, lambda m=spoiled, b=by: ours(m, b)),
            f"the original's way/{kind}": (
                len(few) * data.PAGE,
                lambda p=few, f=fernet, j=is_json: original(p, f, j),
            ),
            f"pandas apply/{kind}": (
                len(some) * data.PAGE,
                lambda p=some, f=fernet, j=is_json: pandas_apply(p, f, j),
            ),
        }
    return _medians(calls, plan.rounds, "contenders")


def _floor(plan: Plan, key: str, pages: list[bytes], kind: str) -> dict[str, Any]:
    ways = floor.ways(pages, key, kind == "json")
    count = len(pages) * data.PAGE
    found = _medians(
        {f"{way.part}: {way.name}": (count, way.call) for way in ways}, plan.rounds, f"floor {kind}"
    )
    parts, read = dict.fromkeys(floor.PARTS, 1e9), dict.fromkeys(floor.PARTS, 1e9)
    for way in ways:
        cost = found[f"{way.part}: {way.name}"]
        parts[way.part] = min(parts[way.part], cost)
        if not way.is_scan:
            read[way.part] = min(read[way.part], cost)
    return {
        "ways": found,
        "parts": parts,
        "parts with values": read,
        "floor": sum(parts.values()),
        "floor with values": sum(read.values()),
    }


def _medians(
    calls: dict[str, tuple[int, Callable[[], object]]], rounds: int, what: str
) -> dict[str, float]:
    """Return nanoseconds of CPU per record of each call, all of them once in every round."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        say(f"{what}: round {number} of {rounds}{' (to warm up)' if not number else ''}")
        for name, (count, call) in calls.items():
            gc.collect()
            begun = time.process_time()
            call()
            seconds = time.process_time() - begun
            if number:
                spent[name].append(seconds / count * 1e9)
    return {name: statistics.median(each) for name, each in spent.items()}


def _at_once(plan: Plan, pages: Path, key: str) -> float:
    """Return how many times the records per second two processes do that one does."""
    alone, together = [], []
    for _ in range(plan.repeats):
        alone.append(child.seconds_at_once(1, pages, key, plan.at_once))
        together.append(child.seconds_at_once(2, pages, key, plan.at_once))
    return 2 * statistics.median(alone) / statistics.median(together)


def _gzip_json(source: Source, stored: Path, count: int) -> float:
    """Return bytes per record as the original stored them, over pages spread over the day."""
    with stored.open("rb") as file:
        total = sum(1 for _ in file)
    step = max(1, total // count)
    size = seen = 0
    with stored.open("rb") as file:
        for number, page in enumerate(file):
            if number % step == step // 2:
                (body,) = original([page], Fernet(source.key), is_json=False)
                size += len(body)
                seen += len(json.loads(gzip.decompress(body)))
    return size / seen


if __name__ == "__main__":
    raise SystemExit(main())
