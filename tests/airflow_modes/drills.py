"""What happens when something breaks: ``python -m tests.airflow_modes.drills``.

A copy of the DAGs and of the dbt project, run by a real scheduler over a real lake; models and
tests are broken, processes killed. After each, every green task is held to what dbt wrote down when
it ran, and the run is mended with the one click that the runbook names: clear what failed.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from laptop.airflow_api import AirflowError
from laptop.environment import REPOSITORY, Laptop
from tests.airflow_modes import canaries, kills
from tests.airflow_modes.__main__ import build_once
from tests.airflow_modes.control_room import ControlRoom
from tests.airflow_modes.site import MODELS, OTHER, Site
from tests.servers import free_ports

DAG = "transform_warehouse"
KEPT = {"backfill_access_logs", "maintain_warehouse"}
SMALL = """from airflow.sdk import DAG

from _choosing import PARAMS, ChooseModels
from _defaults import DEFAULT_ARGS, TELLING, deadline_of
from _warehouse import warehouse

defaults = dict(default_args=DEFAULT_ARGS, deadline=deadline_of(hours=2), **TELLING)
for dag_id, mode in (("transform_warehouse", "local"), ("watch_warehouse", "watcher")):
    with DAG(dag_id, schedule=None, params=PARAMS, max_active_runs=1, **defaults):
        ChooseModels(task_id="choose", is_watched=mode == "watcher", retries=0) >> warehouse(mode)
"""
"""transform_warehouse without what comes behind its models, and one that watches."""

BROKEN = "select * from {{ ref('stg_access_logs__batches') }} where no_such_column = 1"


def main() -> int:
    """Run the drills, print a line for each, and return 1 if one went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.airflow_modes.drills")
    parser.add_argument("--home", type=Path, help="a folder to keep; otherwise a temporary one")
    parser.add_argument("--only", nargs="+", choices=list(DRILLS), default=list(DRILLS))
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        laptop = Laptop((words.home or folder / "home").resolve(), *free_ports(3))
        build_once(laptop)
        for name in ("dags", "dbt_project"):
            shutil.copytree(REPOSITORY / name, folder / name)
        make_small(folder / "dags")
        # A task whose process is gone is noticed after this long, not after five minutes.
        soon = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20"}
        soon["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_DETECTION_INTERVAL"] = "5"
        with ControlRoom(laptop, folder / "dags", **soon, **canaries.PLANTED) as room:
            site = Site(room, laptop, folder / "dbt_project")
            wrong = [problem for name in words.only for problem in drill(site, name)]
    drills, false = len(words.only), site.false_green
    sys.stdout.write(f"airflow_drills: drills={drills} false_green={false} wrong={len(wrong)}\n")
    return int(bool(wrong))


def drill(site: Site, name: str) -> list[str]:
    """Run a drill; return what was not as it should be."""
    began = time.monotonic()
    try:
        problems = DRILLS[name](site)
    except (AssertionError, AirflowError) as error:  # the others still have their turn
        problems = [str(error)]
    took = time.monotonic() - began
    sys.stdout.write(f"{name}: {'; '.join(problems) or 'as it should be'} ({took:.0f} s)\n")
    sys.stdout.flush()
    return [f"{name}: {problem}" for problem in problems]


def make_small(dags: Path) -> None:
    """Leave of the DAGs those that are drilled, and of the project a few models."""
    for other in dags.glob("[!_]*.py"):
        if other.stem not in KEPT:
            other.unlink()  # they have schedules of their own
    (dags / f"{DAG}.py").write_text(SMALL)
    source = (dags / "_warehouse.py").read_text()
    assert "exclude=NOT_TASKS" in source
    few = source.replace("exclude=NOT_TASKS", f"select={[*MODELS, OTHER]}")
    (dags / "_warehouse.py").write_text(few)


def misspelt(site: Site) -> list[str]:
    """Start with a model that there is not: red, nothing built."""
    run_id = site.start(models="int_finalty")
    run = site.room.ended(DAG, run_id)
    states = site.room.states(DAG, run_id)
    built = [name for name, state in states.items() if state not in ("failed", "upstream_failed")]
    return ([] if run["state"] == "failed" else [f"the run is {run['state']}"]) + built


def broken(site: Site, text: str) -> list[str]:
    """Break a model: it is red, what depends on it waits, the others go on; mend it; clear."""
    good = site.model.read_text()
    site.model.write_text(text)
    try:
        run_id = site.start()
        site.room.ended(DAG, run_id)
        states = site.states(run_id)
    finally:
        site.model.write_text(good)
    expected = dict(zip(MODELS, ("failed", "upstream_failed", "success", "success"), strict=True))
    problems = [] if states == expected else [f"states are {states}"]
    return problems + site.not_run(states) + site.mended(run_id)


def failing_model(site: Site) -> list[str]:
    """A model whose SQL is wrong."""
    return broken(site, BROKEN)


def failing_test(site: Site) -> list[str]:
    """A model that is built, and whose test is red."""
    return broken(
        site,
        "with one as (\n" + site.model.read_text() + "\n)\nselect * from one\n"
        "union all\nselect * from one\n",
    )


def full_refresh(site: Site) -> list[str]:
    """Ask for a full refresh: it waits; rejected, nothing is built; approved, everything is."""
    problems = []
    for answer, expected in (("Reject", {"skipped"}), ("Approve", {"success"})):
        run_id = site.start(full_refresh=True)
        while site.room.states(DAG, run_id)["choose"] != "awaiting_input":
            time.sleep(0.5)
        # Nobody answers at once. Airflow 3.3 takes an answer that overtakes the news that the
        # question was put for a lost task, and makes it red.
        time.sleep(15)
        waiting = set(site.states(run_id).values())
        path = f"{site.room.api._run_path(DAG, run_id)}/taskInstances/choose/-1/hitlDetails"
        site.room.api._call("PATCH", path, {"chosen_options": [answer], "params_input": {}})
        site.room.ended(DAG, run_id)
        states = site.states(run_id)
        problems += [f"built before approval: {waiting}"] if waiting - {None, "scheduled"} else []
        problems += [] if set(states.values()) == expected else [f"{answer}: {states}"]
        problems += site.not_run(states)
    return problems


def backfill(site: Site) -> list[str]:
    """Load three days that are in the lake, and one of which there is no dump."""
    api, dag_id = site.room.api, "backfill_access_logs"
    api.pause(dag_id, False)
    days = {"from_date": "2026-02-27T00:00:00+09:00", "to_date": "2026-03-02T00:00:00+09:00"}
    asked = {"dag_id": dag_id, "max_active_runs": 2, "reprocess_behavior": "none"} | days
    number = api._call("POST", "backfills", asked)["id"]
    while not api._call("GET", f"backfills/{number}")["completed_at"]:
        time.sleep(1)
    runs = api._call("GET", f"dags/{dag_id}/dagRuns?limit=100")["dag_runs"]
    ended = {
        run["data_interval_start"][:10]: (run["state"], site.room.states(dag_id, run["dag_run_id"]))
        for run in runs
        if run["run_type"] == "backfill"
    }
    # Midnight in Seoul is the UTC day before.
    there = {"land": "skipped", "check": "skipped", "publish": "skipped"}
    missing = {"land": "failed", "check": "upstream_failed", "publish": "upstream_failed"}
    expected = {f"2026-02-{day}": ("success", there) for day in (26, 27, 28)}
    expected["2026-03-01"] = ("failed", missing)
    return [] if ended == expected else [f"days are {ended}"]


def maintain(site: Site) -> list[str]:
    """Rewrite and clear up all Iceberg tables."""
    run_id = site.room.start("maintain_warehouse")
    run = site.room.ended("maintain_warehouse", run_id)
    tasks = site.room.api._tasks("maintain_warehouse", run_id)
    statements = [task for task in tasks if task["task_id"] in ("optimize", "vacuum")]
    done = [task for task in statements if task["state"] == "success"]
    problems = [] if run["state"] == "success" else [f"the run is {run['state']}"]
    return problems + ([] if len(done) > 10 else [f"{len(done)} statements were run"])


DRILLS = {
    "maintain": maintain,  # first: it leaves alone what is not published, as after the others
    "misspelt": misspelt,
    "failing_model": failing_model,
    "failing_test": failing_test,
    "full_refresh": full_refresh,
    "backfill": backfill,
    "killed_task": kills.task,
    "killed_scheduler": kills.scheduler,
    "killed_api_server": kills.api_server,
    "killed_dag_processor": kills.dag_processor,
    "killed_triggerer": kills.triggerer,
    "killed_producer": kills.producer,
    "no_secrets": canaries.nowhere,  # last: it reads what the others left behind
}

if __name__ == "__main__":
    sys.exit(main())
