"""Ways to the same numbers: ``EXCEPT ALL``, both ways, over every table and column."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from tests.proof.differences import except_all
from tests.proof.figures import Figures, Report
from tests.proof.shipping import Batch, Shipper, cut, put_right
from tests.proof.visitors import DAY, SEOUL, Recipe, arrivals
from tests.proof.world import Warehouse, World

SEED = 66
FIRST_DAY = date(2024, 2, 10)
SLICE = 600_000
"""Ten minutes, as the schedule has it."""

_RUNS = 8
"""Runs of the warehouse that is never interrupted: after every so many groups of batches."""


def run(scale: float, report: Report) -> Figures:
    """Go all ways, and compare where they end."""
    figures = Figures(report)
    with World() as world:
        shipper = world.lake("ways")
        batches = _batches(scale)
        calm = world.warehouse(shipper, "incremental")
        killed = world.warehouse(shipper, "killed")
        count, killed_after = go(figures, shipper, batches, calm, killed, scale)
        once = world.warehouse(shipper, "once")
        with figures.step(f"a full refresh of {len(shipper.shipped)} batches"):
            once.dbt("run")
        same(figures, once, calm, f"incremental in {count} runs, in random order")
        same(figures, once, killed, f"killed {killed_after} times and resumed")
        twice(figures, once, world.warehouse(shipper, "twice"))
    return figures


def _batches(scale: float) -> list[Batch]:
    """Return 24 days in random order: three of them in slices of ten minutes, late ones whole."""
    recipe = Recipe(SEED, FIRST_DAY, 36, max(15, round(60 * scale)), quiet_days=(20,))
    log = arrivals(recipe)
    arrived = np.asarray(log["arrived_at"].cast(pa.int64()))
    day = (arrived + SEOUL) // DAY
    day -= day[0]
    sliced = np.isin(day, [6, 17, 29])
    batches = cut(log.filter(pa.array(~sliced)), 40, SEED)
    for number in np.unique(arrived[sliced] // SLICE):
        batches.append(Batch(good=log.filter(pa.array(sliced & (arrived // SLICE == number)))))
    order = np.random.default_rng(SEED).permutation(len(batches))
    return [batches[place] for place in order]


def go(
    figures: Figures,
    shipper: Shipper,
    batches: list[Batch],
    calm: Warehouse,
    killed: Warehouse,
    scale: float,
) -> tuple[int, int]:
    """Publish group after group; run one warehouse now and then, kill another after each model."""
    groups = max(2, round(_RUNS * min(1, scale)))
    calm_runs = kills = 0
    _ship(shipper, batches[: len(batches) // 4])
    with figures.step(f"{len(shipper.shipped)} batches, both warehouses begun"):
        calm.dbt("run")
        calm_runs += 1
        # The first build is interrupted, too: in the middle, with most tables not there yet.
        kills += killed.dbt("run", dies_after=9).was_killed
    rest = batches[len(batches) // 4 :]
    models = [name for name in calm.models()]
    every = max(1, round(1 / scale))
    points = list(range(1, len(models) + 1, every))
    for number, point in enumerate(points):
        mine = rest[number * len(rest) // len(points) : (number + 1) * len(rest) // len(points)]
        with figures.step(f"{len(mine)} batches, killed after model {point} of {len(models)}"):
            _ship(shipper, mine)
            if number == len(points) // 2:
                shipper.ship(put_right(shipper.shipped[2], 3, SEED))
                shipper.replay()
            outcome = killed.dbt("run", dies_after=point)
            kills += outcome.was_killed
            if (number + 1) % max(1, len(points) // groups) == 0:
                calm.dbt("run")
                calm_runs += 1
    if kills != 1 + len(points):
        figures.complain(f"{kills} runs were killed, not all {1 + len(points)}")
    with figures.step("resumed, and the last batches of the other"):
        killed.dbt("run")
        calm.dbt("run")
    return calm_runs + 1, kills


def twice(figures: Figures, once: Warehouse, other: Warehouse) -> None:
    """Build anew and run again without any news."""
    with figures.step("built, and run once more without any news"):
        other.dbt("run")
        other.dbt("run")
    # Recorded values, too: a second run has nothing to record.
    same(figures, once, other, "one run and two", leaving_out=())


def same(
    figures: Figures,
    left: Warehouse,
    right: Warehouse,
    name: str,
    **more: tuple[str, ...],
) -> None:
    """Count the rows that only one side has."""
    with figures.step(f"EXCEPT ALL both ways: {name}"):
        count, found = except_all(left, right, **more)
    figures.except_all += sum(difference.count for difference in found)
    for difference in found:
        figures.complain(f"{name}: {difference}")
    if not count:
        figures.complain(f"{name}: nothing was compared")


def _ship(shipper: Shipper, batches: list[Batch]) -> None:
    for batch in batches:
        shipper.ship(batch)
