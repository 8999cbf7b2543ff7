"""Short forms of ``make proof``: what it finds, it would find, and a kill leaves nothing behind."""

from collections.abc import Iterator

import pytest

from tests.proof.differences import except_all, from_oracle
from tests.proof.faults import FAULTS, Fault, Trial, planted
from tests.proof.figures import Figures
from tests.proof.world import World

SHOWN = [
    fault
    for fault in FAULTS
    if fault.model in ("fct_user_daily", "metrics_endpoint_daily", "fct_user_activity_bits")
]
UPSTREAM = [f"+{fault.model}" for fault in SHOWN]


@pytest.fixture(scope="module")
def trial(world: World) -> Iterator[Trial]:
    trial = Trial(world, Figures(print), SHOWN)
    trial.prepare()
    return trial


def test_the_project_as_it_is_equals_the_oracle(trial: Trial):
    assert trial.figures.problems == []
    assert {"fct_sessions", "fct_user_daily", "dim_dates"} <= trial.figures.compared


@pytest.mark.parametrize("fault", SHOWN, ids=lambda fault: fault.name)
def test_a_seeded_fault_is_seen(fault: Fault, trial: Trial):
    before = trial.figures.seen

    trial.judge(fault)

    assert trial.figures.seen == before + 1


def test_a_run_that_was_killed_is_resumed_and_leaves_no_trace(trial: Trial):
    killed = trial.world.warehouse(trial.shipper, "killed")

    outcome = killed.dbt("run", "--select", *UPSTREAM, dies_after=8)
    killed.dbt("run", "--select", *UPSTREAM)

    assert outcome.was_killed
    models = sorted(trial.right.built() & set(trial.right.models()))
    assert len(models) > 12
    assert except_all(trial.right, killed, models=models) == (len(models), [])


def test_except_all_sees_a_row_that_was_doubled_and_one_that_changed(trial: Trial):
    table = "metrics_endpoint_daily"
    world, right = trial.world, trial.right
    other = world.warehouse(trial.shipper, "other")
    world.query(f"create schema {other.schema}", other.bucket)
    columns = ", ".join(right.columns(table))
    changed = columns.replace("warning_count", "warning_count + 1 as warning_count")
    first = f"select {columns} from {right.schema}.{table} order by 1, 2, 3 limit 1"
    world.query(
        f"create table {other.schema}.{table} with (table_type = 'iceberg', is_external = false, "
        f"location = 's3://{other.bucket}/other/', format = 'parquet') as "
        f"with first as ({first}), rest as (select {columns} from {right.schema}.{table} "
        f"except select * from first) "
        f"select {columns} from rest union all select * from rest where metric_date = "
        f"(select max(metric_date) from rest) union all select {changed} from first",
        other.bucket,
    )
    day = f"select count(*) as n from {right.schema}.{table} where metric_date = " + (
        f"(select max(metric_date) from {right.schema}.{table})"
    )
    doubled = int(world.query(day, right.bucket)[0]["n"])

    count, found = except_all(right, other, models=[table])

    assert count == 1
    assert [(difference.surplus, difference.lacking) for difference in found] == [(1, doubled + 1)]
    assert from_oracle(other, {table: trial.expected[table]})


def test_a_fault_whose_place_is_gone_is_an_error(trial: Trial):
    with pytest.raises(RuntimeError, match="write the fault again"):
        planted(
            Fault("nothing", "models/marts/dim_dates.sql", "not there", "", "dim_dates"),
            trial.world.folder,
            99,
        )
