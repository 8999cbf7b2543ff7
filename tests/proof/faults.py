"""Mistakes that people make with metrics, each planted into a copy of the models.

One small lake shows them all: records that come late for an old day, a batch that is put right, a
user who turns out to be older than thought. A fault is seen when a table is no longer the oracle's.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests import oracle
from tests.oracle import Row
from tests.proof.differences import from_oracle
from tests.proof.figures import Figures, Report
from tests.proof.shipping import Batch, Shipper, cut, put_right
from tests.proof.visitors import DAY, Recipe, arrivals, numbered
from tests.proof.world import PROJECT, Warehouse, World

SEED = 666
FIRST_DAY = date(2024, 2, 5)
DAYS = 40
LATE_FOR_DAY = 5


@dataclass(frozen=True)
class Fault:
    """One mistake: what stands in a file, what somebody might have written, and where it shows."""

    name: str
    file: str
    right: str
    wrong: str
    model: str
    with_models: str = ""
    """Models that are built beside the one that is compared."""
    is_incremental: bool = False
    """It shows only in a table that stood before the last batches came."""


FAULTS = (
    Fault(
        "a window of 29 days",
        "models/marts/fct_user_activity_bits.sql",
        "{% set days_after_in_window = 27 %}",
        "{% set days_after_in_window = 28 %}",
        "fct_user_activity_bits",
    ),
    Fault(
        "a distinct count that is a sum of distinct counts",
        "models/metrics/users/metrics_daily_active.sql",
        "coalesce(windows_counted.mau, 0) as mau",
        "coalesce(dates_summed.dau_sum, 0) as mau",
        "metrics_daily_active",
    ),
    Fault(
        "no tombstones",
        "macros/with_tombstones.sql",
        "full outer join",
        "left join",
        "metrics_endpoint_daily",
        is_incremental=True,
    ),
    Fault(
        "days of UTC",
        "models/staging/stg_access_logs__records.sql",
        "{{ utc_to_date('occurred_at', var('metric_time_zone')) }}",
        "{{ utc_to_date('occurred_at', 'UTC') }}",
        "metrics_activity_daily",
        with_models="stg_access_logs__records",
    ),
    Fault(
        "a look-back of three days instead of dirty dates",
        "macros/dirty_dates.sql",
        "where {{ differences | join(' or ') }}",
        "where ({{ differences | join(' or ') }})\n"
        "            and coalesce(calendar.metric_date, standing.metric_date)\n"
        "            > (select date_add('day', -3, max(metric_date)) from standing)",
        "metrics_activity_daily",
        is_incremental=True,
    ),
    Fault(
        "31 minutes of silence within a session",
        "models/marts/fct_sessions.sql",
        "{% set silence_milliseconds = 30 * 60 * 1000 %}",
        "{% set silence_milliseconds = 31 * 60 * 1000 %}",
        "fct_sessions",
    ),
    Fault(
        "a first day that never moves back",
        "models/metrics/users/metrics_activation.sql",
        "    'max(new_user_count)': 'new_user_count',\n",
        "",
        "metrics_activation",
        is_incremental=True,
    ),
    Fault(
        "completeness without the ids that never came",
        "models/marts/fct_arrivals_daily.sql",
        "coalesce(missing_id_count, 0)",
        "0",
        "fct_arrivals_daily",
    ),
    Fault(
        "a numerator outside its denominator",
        "models/metrics/users/metrics_growth_accounting.sql",
        "cast(retained_user_count as double)",
        "cast(active_user_count as double)",
        "metrics_growth_accounting",
    ),
    Fault(
        "a funnel in any order",
        "models/metrics/traffic/metrics_funnel_daily.sql",
        "activity = 'purchase' and event_number > cart_number",
        "activity = 'purchase'",
        "metrics_funnel_daily",
    ),
    Fault(
        "final a day too early",
        "models/marts/dim_dates.sql",
        "calendar.metric_date < finality.first_open_date",
        "calendar.metric_date <= finality.first_open_date",
        "dim_dates",
    ),
)


def run(scale: float, report: Report, faults: Sequence[Fault] = FAULTS) -> Figures:
    """Plant every fault; the project as it is has to be right about the same lake."""
    figures = Figures(report)
    with World() as world:
        trial = Trial(world, figures, faults)
        trial.prepare()
        for fault in faults:
            trial.judge(fault)
    figures.seeded = len(faults)
    return figures


class Trial:
    """One lake, the warehouse that is right about it, and one schema per fault."""

    def __init__(self, world: World, figures: Figures, faults: Sequence[Fault]) -> None:
        self.world = world
        self.figures = figures
        self.faults = faults
        self.shipper = world.lake("faults")
        self.right = world.warehouse(self.shipper, "right")
        self.control = world.warehouse(self.shipper, "control")
        self.of = {
            fault.name: world.warehouse(
                self.shipper, f"fault{number}", project=planted(fault, world.folder, number)
            )
            for number, fault in enumerate(faults)
        }
        self.expected: dict[str, list[Row]] = {}

    def prepare(self) -> None:
        """Build before and after the last batches; what is right has to be the oracle's."""
        models = sorted({name for f in self.faults for name in (f.model, f.with_models) if name})
        upstream = [f"+{model}" for model in models]
        ship_first(self.shipper)
        with self.figures.step("the project as it is, before the last batches"):
            self.right.dbt("run", "--select", *upstream)
            self._build(self.control, *models)
        for fault in self.faults:
            if fault.is_incremental:
                with self.figures.step(f"{fault.name}: before the last batches"):
                    self._build(self.of[fault.name], fault.model)
        ship_last(self.shipper)
        with self.figures.step("the project as it is, with the last batches"):
            self.right.dbt("run", "--select", *upstream)
            self._build(self.control, *models)
        self.expected = oracle.warehouse(self.shipper.lake, "Asia/Seoul", "Asia/Seoul")
        for warehouse in (self.right, self.control):
            rows = {name: self.expected[name] for name in warehouse.built() & set(self.expected)}
            self.figures.compared |= set(rows)
            self.figures.oracle_rows += sum(map(len, rows.values()))
            for difference in from_oracle(warehouse, rows):
                self.figures.mismatches += difference.count
                self.figures.complain(f"no fault is planted, yet {difference}")

    def judge(self, fault: Fault) -> None:
        """Build with the fault, and see whether anybody would notice."""
        with self.figures.step(f"{fault.name}: {fault.model}"):
            warehouse = self.of[fault.name]
            try:
                self._build(warehouse, fault.model, *fault.with_models.split())
            except RuntimeError as error:  # a fault that does not run would be seen by anybody
                self.figures.complain(f"{fault.name} does not build: {error}")
                return
            found = from_oracle(warehouse, {fault.model: self.expected[fault.model]})
        if found:
            self.figures.seen += 1
            self.figures.report(f"           seen: {str(found[0])[:200]}")
        else:
            self.figures.complain(f"nobody saw the fault: {fault.name}")

    def _build(self, warehouse: Warehouse, *models: str) -> None:
        """Build these models, upon the tables of the warehouse that is right."""
        state = self.world.folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        shutil.copy(self.right.target / "manifest.json", state)
        upstream = ("--defer", "--favor-state", "--state", str(state))
        warehouse.dbt("run", "--select", *models, *upstream)


def planted(fault: Fault, folder: Path, number: int) -> Path:
    """Return a copy of the project with the fault in it; what it replaces must be there once."""
    copy = folder / f"planted-{number}" / "dbt_project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    file = copy / fault.file
    text = file.read_text("utf-8")
    if text.count(fault.right) != 1:
        raise RuntimeError(
            f"{fault.file} holds {text.count(fault.right)} times what {fault.name!r} replaces:\n"
            f"{fault.right}\nIf the model was rewritten, write the fault again."
        )
    file.write_text(text.replace(fault.right, fault.wrong), "utf-8")
    return copy


def ship_first(shipper: Shipper) -> None:
    """Ship all days in order, the last three in a batch of their own."""
    recipe = Recipe(SEED, FIRST_DAY, DAYS, 45)
    log = arrivals(recipe)
    # What would come later has not come yet: so the newest days are still open.
    log = log.filter(pc.less_equal(log["arrived_at"], pc.max(log["occurred_at"])))
    at = log["occurred_at"].cast(pa.int64())
    last_days = pc.greater_equal(at, pc.add(pc.min(at), (DAYS - 3) * DAY))
    for batch in cut(log.filter(pc.invert(last_days)), 6, SEED):
        shipper.ship(batch)
    shipper.ship(Batch(good=log.filter(last_days)))


def ship_last(shipper: Shipper) -> None:
    """Put the last days right, and ship records that are five weeks late."""
    seq = len(shipper.shipped)
    shipper.ship(put_right(shipper.shipped[-1], seq, SEED))
    shipper.ship(Batch(good=late_records(shipper), landed_at=shipper.landed_at + 1))


def late_records(shipper: Shipper) -> pa.Table:
    """Return a first record, long ago, of two users who were thought to have come much later."""
    log = pa.concat_tables([batch.good for batch in shipper.shipped[:-2]])
    log = log.filter(pc.not_equal(pc.fill_null(log["level_name"], ""), "ERROR"))
    first = log.group_by("user_id").aggregate([("occurred_at", "min")])
    begun = np.asarray(log["occurred_at"].cast(pa.int64())).min()
    lateness = np.asarray(first["occurred_at_min"].cast(pa.int64())) - begun
    users = first["user_id"].filter(pa.array((lateness > 16 * DAY) & (lateness < 26 * DAY)))[:2]
    if len(users) < 2:
        raise RuntimeError("The lake of the faults has nobody who came late: take another seed.")
    like = log.slice(0, len(users))
    newest = max(high for _, high in shipper.settled)
    changed = {
        "user_id": users,
        "level_name": pa.array(["INFO"] * len(users)),
        "extra_fields": pa.nulls(len(users), pa.string()),
        "occurred_at": _times([begun + LATE_FOR_DAY * DAY + 3_600_000] * len(users)),
        "arrived_at": _times([shipper.landed_at - 1000] * len(users)),
    }
    for name, values in changed.items():
        like = like.set_column(like.schema.get_field_index(name), name, values)
    return numbered(like, newest + 1)


def _times(instants: Sequence[int]) -> pa.Array:
    return pa.array(np.array(instants, "int64")).cast(pa.timestamp("ms"))
