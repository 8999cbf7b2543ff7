"""Lakes from nothing to 400 days, and every row of every table against the oracle.

The oracle is asked after steps, not only at the end: what is mended later was wrong before.
"""

from __future__ import annotations

from datetime import date

from tests import oracle
from tests.oracle import Lake, Run
from tests.proof import real_log
from tests.proof.differences import from_oracle
from tests.proof.figures import Figures, Report
from tests.proof.shipping import Batch, Shipper, cut, put_right
from tests.proof.visitors import Recipe, arrivals
from tests.proof.world import Warehouse, World
from tests.real_log import LOG

LEAP_YEAR = date(2024, 1, 15)
SEED = 6


def run(scale: float, report: Report) -> Figures:
    """Tell all stories."""
    figures = Figures(report)
    with World() as world:
        ninety_days(world, figures, scale)
        replayed_log(world, figures)
        empty_lake(world, figures)
        single_record(world, figures)
        many_days_at_once(world, figures, scale)
    return figures


def ninety_days(world: World, figures: Figures, scale: float) -> None:
    """Build 90 days in six runs: late, duplicate, out of order, refused, replayed, put right."""
    recipe = Recipe(SEED, LEAP_YEAR, 90, max(20, round(150 * scale)), quiet_days=(40, 41, 42))
    batches = cut(arrivals(recipe), 30, SEED)
    shipper = world.lake("ninety-days")
    warehouse = world.warehouse(shipper, "proof")
    runs: list[Run] = []

    # History first grows backwards: what comes first is not the oldest.
    for batch in batches[3:12]:
        shipper.ship(batch)
    build(warehouse, shipper, figures, "90 days: begun in the middle", runs)
    for batch in [*batches[:3], *batches[12:17]]:
        shipper.ship(batch)
    build(warehouse, shipper, figures, "90 days: earlier ones come", runs)
    shipper.replay()
    for batch in batches[17:22]:
        shipper.ship(batch)
    build(warehouse, shipper, figures, "90 days: quarantine is replayed", runs)
    # Batch 10 is none of those that a replay took records from.
    shipper.ship(
        put_right(without_locked(batches[22]), shipper.ship(without_locked(batches[22])), SEED)
    )
    build(warehouse, shipper, figures, "90 days: a batch is derived again, unseen before", runs)
    seq = shipper.ship(without_locked(batches[23]))
    for batch in batches[24:]:
        shipper.ship(batch)
    build(warehouse, shipper, figures, "90 days: the rest", runs)
    shipper.ship(put_right(without_locked(batches[23]), seq, SEED + 1))
    shipper.replay()
    build(warehouse, shipper, figures, "90 days: put right and replayed once more", runs)
    of_the_runs(warehouse, shipper, figures, runs)


def without_locked(batch: Batch) -> Batch:
    """Return the batch with every record readable, so that no replay takes any out of it."""
    return Batch(good=batch.good, conflicts=batch.conflicts, duplicates=batch.duplicates)


def replayed_log(world: World, figures: Figures) -> None:
    """Land a real web server's log through the encrypted API, and build it."""
    if not LOG.exists():
        figures.skipped.append("the real log is not part of the project")
        figures.report("     skipped: the replayed real log, which is not part of the project")
        return
    with figures.step("real log: landed and published"):
        lake = real_log.land(world, "real-log")
    warehouse = Warehouse(world, "real_log", "real-log", "real_log_raw", "UTC", "UTC")
    with figures.step("real log: built"):
        warehouse.dbt("run")
    compare(warehouse, lake, figures, "real log")


def empty_lake(world: World, figures: Figures) -> None:
    """Build tables out of nothing, twice."""
    shipper = world.lake("empty")
    warehouse = world.warehouse(shipper, "proof")
    build(warehouse, shipper, figures, "an empty lake")
    build(warehouse, shipper, figures, "an empty lake, again")


def single_record(world: World, figures: Figures) -> None:
    """Build tables of one record."""
    shipper = world.lake("single")
    shipper.ship(Batch(good=arrivals(Recipe(SEED, LEAP_YEAR, 2, 5)).slice(0, 1)))
    build(world.warehouse(shipper, "proof"), shipper, figures, "a single record")


def many_days_at_once(world: World, figures: Figures, scale: float) -> None:
    """Load 400 days in one batch: more than the 100 partitions that one query may write."""
    recipe = Recipe(SEED, date(2023, 2, 1), 400, max(5, round(40 * scale)))
    shipper = world.lake("at-once")
    shipper.ship(Batch(good=arrivals(recipe)))
    build(world.warehouse(shipper, "proof"), shipper, figures, "400 days in one load")


def build(
    warehouse: Warehouse,
    shipper: Shipper,
    figures: Figures,
    name: str,
    runs: list[Run] | None = None,
) -> None:
    """Run dbt, compare with the oracle, and remember what the run saw."""
    with figures.step(f"{name}: built"):
        warehouse.dbt("run")
    expected = compare(warehouse, shipper.lake, figures, name)
    if runs is not None:
        runs.append(Run(shipper.lake.copy(), expected["metrics_daily_active"], "hash"))


def compare(
    warehouse: Warehouse, lake: Lake, figures: Figures, name: str
) -> dict[str, list[oracle.Row]]:
    """Count every row that differs from the oracle's."""
    with figures.step(f"{name}: compared with the oracle ({len(lake.records)} records)"):
        expected = oracle.warehouse(lake, warehouse.metric_zone, warehouse.source_zone)
        _count(warehouse, expected, figures, name)
    return expected


def of_the_runs(warehouse: Warehouse, shipper: Shipper, figures: Figures, runs: list[Run]) -> None:
    """Compare what was recorded run by run: final values, and why they changed."""
    with figures.step("90 days: history of values and restatements compared"):
        built = warehouse.rows("fct_metric_history")
        hashes = {row["definition_hash"] for row in built}
        if len(hashes) > 1:
            figures.complain(f"one definition has {len(hashes)} hashes")
        runs = [Run(r.lake, r.daily_active, next(iter(hashes), "")) for r in runs]
        history = oracle.metric_history(runs)
        dates = oracle.warehouse(shipper.lake, warehouse.metric_zone, warehouse.source_zone)
        restated = oracle.restatements(history, dates["dim_dates"])
        if not restated:
            figures.complain("nothing was ever restated, so restatements prove nothing")
        _count(
            warehouse,
            {"fct_metric_history": history, "metrics_restatement": restated},
            figures,
            "90 days",
        )


def _count(
    warehouse: Warehouse,
    expected: dict[str, list[oracle.Row]],
    figures: Figures,
    name: str,
) -> None:
    found = from_oracle(warehouse, expected)
    figures.compared |= set(expected)
    figures.oracle_rows += sum(map(len, expected.values()))
    figures.mismatches += sum(difference.count for difference in found)
    for difference in found:
        figures.complain(f"{name}: {difference}")
