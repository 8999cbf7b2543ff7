"""What needs a process of its own: a peak of memory, two at once, the whole of `land`.

python -m benchmarks.child stream <pages> <key> <records>   JSON: CPU per record, peak memory
python -m benchmarks.child wait <pages> <key> <records>     says ready, waits, works, says done
python -m benchmarks.child bytes <pages> <key>              JSON: bytes of the files of a day
python -m benchmarks.child land <dumps>                     JSON: the manifests
"""

from __future__ import annotations

import itertools
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks import contenders
from benchmarks.contenders import in_batches, ours, rules
from benchmarks.data import PAGE, ROOT


def run(*arguments: object, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run one child and return what it says, with the CPU of its whole family."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(
        _command(*arguments), cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(said.splitlines()[-1]), "family_cpu": cpu}


def seconds_at_once(processes: int, pages: Path, key: str, count: int) -> float:
    """Return the wall time in which so many processes each do ``count`` records."""
    crowd = [
        subprocess.Popen(
            _command("wait", pages, key, count),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(processes)
    ]
    for each in crowd:
        assert _line(each) == b"ready\n"
    begun = time.monotonic()
    for each in crowd:
        assert each.stdin
        each.stdin.write(b"\n")
        each.stdin.flush()
    for each in crowd:
        assert _line(each) == b"done\n"
    seconds = time.monotonic() - begun
    for each in crowd:
        each.communicate()
    return seconds


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout
    return process.stdout.readline()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.child", *map(str, arguments)]


def _stream(pages: Path, key: str, count: int) -> dict[str, Any]:
    """Decode pages from a file, over and over, until there were so many records."""
    by = rules(key)
    ours(next(in_batches(_once(pages), 2 * PAGE)), by)
    spent, seen = 0.0, 0
    for batch in in_batches(itertools.islice(_endless(pages), count // PAGE)):
        begun = time.process_time()
        rows, refused, _ = ours(batch, by)
        spent += time.process_time() - begun
        seen += rows
        assert not refused
    assert seen == count
    return {"records": seen, "cpu_ns": spent / seen * 1e9, "rss_mb": _peak_mb()}


def _wait(pages: Path, key: str, count: int) -> None:
    pa.set_cpu_count(1)  # as ingestion's children do
    by = rules(key)
    batches = list(in_batches(itertools.islice(_endless(pages), count // PAGE)))
    ours(batches[0][:2], by)
    _say("ready")
    sys.stdin.readline()
    for batch in batches:
        ours(batch, by)
    _say("done")


def _bytes(pages: Path, key: str) -> dict[str, Any]:
    from ingestion import files

    by = rules(key)
    read = in_batches(_once(pages))
    batches = [contenders.derived(batch, by, seq) for seq, batch in enumerate(read, 1)]
    small = [table for batch in batches for table in batch.raw.values()]
    count = sum(table.num_rows for table in small)
    return {
        "records": count,
        "landed": sum(len(files.encode(table)) for table in small) / count,
        "merged": sum(contenders.merged(batches)) / count,
    }


def _land(dumps: str) -> dict[str, Any]:
    from ingestion import Settings, land_dumps

    return {"manifests": land_dumps(Settings.from_env(), dumps)}


def _once(pages: Path) -> Iterator[bytes]:
    with pages.open("rb") as file:
        yield from (line.rstrip(b"\n") for line in file)


def _endless(pages: Path) -> Iterator[bytes]:
    while True:
        yield from _once(pages)


def _peak_mb() -> float:
    """Return this process's peak; getrusage's would count the parent's before the exec, too."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match
    return int(match[1]) / 1024


def main(arguments: Sequence[str]) -> None:
    """Do what one child is asked."""
    order, *rest = arguments
    if order == "wait":
        _wait(Path(rest[0]), rest[1], int(rest[2]))
        return
    orders: dict[str, Callable[[], dict[str, Any]]] = {
        "stream": lambda: _stream(Path(rest[0]), rest[1], int(rest[2])),
        "bytes": lambda: _bytes(Path(rest[0]), rest[1]),
        "land": lambda: _land(rest[0]),
    }
    _say(json.dumps(orders[order]()))


if __name__ == "__main__":
    main(sys.argv[1:])
