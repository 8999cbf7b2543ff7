"""How fast it is, in ratios that hold on any machine: ``python -m local_aws.tests.bench``.

Each pair of figures comes from interleaved rounds on one server; the median of the rounds counts.
Ends in one line; exit 1 if a ratio or the overhead is beyond its limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb

from local_aws.tests.athena import Athena
from local_aws.tests.bench.lake import FILES, PARTITIONS, fill
from local_aws.tests.conftest import Server

Work = Callable[[], object]

PRUNED = 3.0
"""Most that one partition of a thousand may cost, in terms of one that is alone."""

COUNTED = 2.0
"""Most that a count over many files may cost, in terms of DuckDB on the same files."""

OVERHEAD = 50.0
"""Most milliseconds of a small query, from the request to its rows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill a lake, measure, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m local_aws.tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of each measurement; default 15")
    rounds = parser.parse_args(arguments).rounds
    with tempfile.TemporaryDirectory(prefix="local_aws_") as folder:
        server = Server(Path(folder))
        try:
            figures = _figures(server, rounds)
        finally:
            server.stop()
    print(
        "bench of local_aws: " + " ".join(f"{name}={value}" for name, (value, _) in figures.items())
    )
    beyond = [name for name, (value, limit) in figures.items() if value > limit]
    for name in beyond:
        print(f"PROBLEM {name} is {figures[name][0]}, more than {figures[name][1]}")
    return 1 if beyond else 0


def _figures(server: Server, rounds: int) -> dict[str, tuple[float, float]]:
    """Every figure with its limit."""
    begun = time.monotonic()
    paths = fill(server)
    athena = Athena(server, "bench", "bench")
    print(f"{PARTITIONS:,} partitions and {FILES} files in {time.monotonic() - begun:.0f} s")
    figures: dict[str, tuple[float, float]] = {}
    for kind in ("glue", "projected", "iceberg"):
        names = f"{kind}_alone", f"{kind}_of_many"
        alone, of_many = _medians(
            rounds,
            *(_asked(athena, f"select count(*), sum(x) from {n} where p = 500") for n in names),
        )
        print(f"{kind}: one partition alone {alone:.1f} ms, of {PARTITIONS:,} {of_many:.1f} ms")
        figures[f"{kind}_pruned"] = (round(of_many / alone, 2), PRUNED)
    listed = ", ".join(f"'{path}'" for path in paths)
    for name, items in (("count", "count(*)"), ("sum", "count(*), sum(x), max(t)")):
        direct, ours = _medians(
            rounds,
            _direct(f"select {items} from read_parquet([{listed}])"),
            _asked(athena, f"select {items} from files"),
        )
        print(f"{items} over {FILES} files: DuckDB {direct:.1f} ms, local_aws {ours:.1f} ms")
        figures[f"{name}_files"] = (round(ours / direct, 2), COUNTED)
    direct, ours = _medians(10 * rounds, _direct("select 1"), _asked(athena, "select 1"))
    print(f"select 1: DuckDB {direct:.1f} ms, local_aws {ours:.1f} ms")
    figures["overhead_ms"] = (round(ours - direct, 1), OVERHEAD)
    return figures


def _asked(athena: Athena, sql: str) -> Work:
    return lambda: athena.rows(sql)


def _direct(sql: str) -> Work:
    database = duckdb.connect(config={"threads": 2})
    return lambda: database.execute(sql).fetchall()


def _medians(rounds: int, *works: Work) -> list[float]:
    """Milliseconds of each, after one round that does not count."""
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, times in zip(works, taken, strict=True):
            begun = time.perf_counter()
            work()
            if number:
                times.append((time.perf_counter() - begun) * 1000)
    return [statistics.median(times) for times in taken]


if __name__ == "__main__":
    sys.exit(main())
