"""What one late record costs in a year of them: bytes and seconds beside the full rebuild's.

The bytes are Athena's own, from its history; the model is named by the query's comment.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from tests.proof.figures import Figures, Report
from tests.proof.shipping import Batch, Shipper
from tests.proof.visitors import Recipe, days, numbered
from tests.proof.world import Outcome, Warehouse, World

BYTES_SHARE = 1 / 20
SECONDS_SHARE = 1 / 4
FIRST_DAY = date(2024, 1, 1)
DAYS = 365
_PEOPLE = 26_500
_EVENTS_PER_SESSION = 5.2
"""With the habits of visitors.py 30,000 records a day, 7.3 of each user who comes: as many as the
simulator's users make."""

_SHOWN = 5
_NODE = re.compile(r'"node_id": "model\.\w+\.(\w+)"')


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    seconds: float
    bytes_of: Counter[str]
    queries_of: Counter[str]
    seconds_of: dict[str, float]

    @property
    def bytes(self) -> int:
        return self.bytes_of.total()

    def __str__(self) -> str:
        return f"{self.bytes:,} bytes in {self.queries_of.total()} queries, {self.seconds:.1f} s"


def run(scale: float, report: Report) -> Figures:
    """Build a year whole, then with one late record in the middle, and one on the last day."""
    figures = Figures(report)
    with World() as world:
        shipper = world.lake("year", remembers=False)
        with figures.step("a year of records shipped"):
            count = _ship_year(shipper, scale)
        report(f"    {count:,} records in {len(shipper.shipped)} batches")
        warehouse = world.warehouse(shipper, "cost")
        measured = Measured(world, warehouse)
        with figures.step("the first build"):
            first = measured.run()
        _show(report, "full rebuild", first)
        with figures.step("nothing new"):
            fixed = measured.run()
        _show(report, "nothing new, which is dbt's fixed cost", fixed)
        # 1 July, the worst case: two months' partitions hold what it touches.
        for name, day in (("a day in the middle", DAYS // 2), ("the last day", DAYS - 1)):
            shipper.ship(Batch(good=_late_record(shipper, day)))
            with figures.step(f"one late record on {name}"):
                late = measured.run()
            _show(report, f"one late record on {name}", late)
            _judge(figures, name, first, fixed, late)
    return figures


@dataclass
class Measured:
    """A warehouse, and the queries that were there before."""

    world: World
    warehouse: Warehouse

    def run(self) -> Cost:
        before = set(self._ids())
        outcome = self.warehouse.dbt("run")
        return self._cost(outcome, [name for name in self._ids() if name not in before])

    def _ids(self) -> list[str]:
        pages = self.world.athena.get_paginator("list_query_executions").paginate()
        return [name for page in pages for name in page["QueryExecutionIds"]]

    def _cost(self, outcome: Outcome, ids: list[str]) -> Cost:
        scanned: Counter[str] = Counter()
        queries: Counter[str] = Counter()
        for start in range(0, len(ids), 50):
            answer = self.world.athena.batch_get_query_execution(
                QueryExecutionIds=ids[start : start + 50]
            )
            for execution in answer["QueryExecutions"]:
                node = _NODE.search(execution["Query"])
                name = node[1] if node else "(no model)"
                scanned[name] += execution["Statistics"].get("DataScannedInBytes", 0)
                queries[name] += 1
        seconds = {name.rpartition(".")[2]: took for name, took in outcome.seconds_of.items()}
        return Cost(outcome.seconds, scanned, queries, seconds)


def _judge(figures: Figures, name: str, full: Cost, fixed: Cost, late: Cost) -> None:
    figures.report(
        f"    {name}: {_ratio(full.bytes, late.bytes)} of the bytes (at least 1/20), "
        f"{_ratio(full.seconds, late.seconds)} of the time (at least 1/4); "
        f"{fixed.seconds:.1f} s of {late.seconds:.1f} s are dbt's own"
    )
    if late.bytes > full.bytes * BYTES_SHARE:
        figures.complain(f"{name}: {late.bytes:,} of {full.bytes:,} bytes is more than 1/20")
    if late.seconds > full.seconds * SECONDS_SHARE:
        figures.complain(f"{name}: {late.seconds:.1f} of {full.seconds:.1f} s is more than 1/4")


def _ratio(whole: float, part: float) -> str:
    return f"1/{whole / part:.1f}" if part else "none"


def _show(report: Report, name: str, cost: Cost) -> None:
    report(f"    {name}: {cost}")
    for model, count in cost.bytes_of.most_common(_SHOWN):
        report(
            f"      {count:>14,} bytes {cost.seconds_of.get(model, 0):6.1f} s "
            f"{cost.queries_of[model]:3} queries  {model}"
        )
    slowest = sorted(cost.seconds_of.items(), key=lambda item: -item[1])[:_SHOWN]
    listed = ", ".join(f"{model} {seconds:.1f} s" for model, seconds in slowest)
    report(f"      slowest: {listed}")


def _ship_year(shipper: Shipper, scale: float) -> int:
    recipe = Recipe(
        7,
        FIRST_DAY,
        DAYS,
        max(30, round(_PEOPLE * scale)),
        events_per_session=_EVENTS_PER_SESSION,
        is_punctual=True,
    )
    count = 0
    for table in days(recipe):
        order = np.argsort(np.asarray(table["arrived_at"].cast(pa.int64())), kind="stable")
        shipper.ship(Batch(good=numbered(table.take(pa.array(order)), 1 + count)))
        count += table.num_rows
    return count


def _late_record(shipper: Shipper, day: int) -> pa.Table:
    """Return a record of a known user on that day, which arrives after all the others.

    It arrives a minute after them: were it a day, that day's finality would be news, too.
    """
    like = shipper.shipped[day].good.slice(0, 1)
    newest = max(high for _, high in shipper.settled)
    at = pa.array([shipper.landed_at]).cast(pa.timestamp("ms"))
    place = like.schema.get_field_index("arrived_at")
    return numbered(like, newest + 1).set_column(place, "arrived_at", at)
