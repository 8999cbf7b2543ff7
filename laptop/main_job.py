"""The main job: history, the live window, the warehouse, the site; in whichever Airflow."""

import json
import time
from typing import Any

import urllib3

from laptop.airflow_api import AirflowApi
from laptop.environment import REPOSITORY, Laptop
from laptop.processes import Part, Processes, StartError
from laptop.world import DUMPS_BUCKET, DUMPS_PREFIX

DAGS = ["load_dumps", "ingest_access_logs", "transform_warehouse"]
LATER_DAGS = sorted(
    path.stem for path in (REPOSITORY / "dags").glob("[!_]*.py") if path.stem not in DAGS
)
"""Not part of the first cycle; ready when it is over. A DAG is called as its file."""

STARTED = time.monotonic()
SUMMARY_FIELDS = (
    "offered",
    "good",
    "quarantined",
    "duplicate",
    "models",
    "tests",
    "expectations",
    "dau",
    "wau",
    "mau",
)


def wait_for_airflow(airflow: AirflowApi, processes: Processes, server: Part) -> None:
    """Wait until Airflow is healthy and knows every DAG; make its pools.

    Raises:
        StartError: if it takes too long, or a DAG file cannot be imported.
    """
    processes.wait_until(server, airflow.is_healthy, seconds=600, every=0.5)

    def has_dags() -> bool:
        if errors := airflow.import_errors():
            raise StartError("Airflow cannot import these DAG files:\n" + "\n".join(errors))
        return airflow.has_dags([*DAGS, *LATER_DAGS])

    processes.wait_until(server, has_dags, seconds=300, every=0.5)
    for name, pool in json.loads((REPOSITORY / "dags" / "pools.json").read_text()).items():
        airflow.set_pool(name, pool)
    report(f"airflow: healthy at {airflow.url}")


def load_and_build(airflow: AirflowApi) -> None:
    """Load the dumps and what the API offers, then build the warehouse and the site.

    Safe to run again: what is loaded stays, and runs that a kill left open are closed.

    Raises:
        AirflowError: if a DAG run fails.
    """
    # Asleep until everything is loaded: it would build the warehouse once for each load.
    airflow.pause("transform_warehouse", True)
    interrupted = [
        (dag_id, run) for dag_id in (*DAGS, *LATER_DAGS) for run in airflow.unfinished_runs(dag_id)
    ]
    for dag_id, run_id in interrupted:
        airflow.fail(dag_id, run_id)
    if interrupted:
        count = len(interrupted)
        report(f"airflow: closed {count} runs that were interrupted; new runs resume them")
    airflow.pause("load_dumps", False)
    airflow.run("load_dumps", {"uri": f"s3://{DUMPS_BUCKET}/{DUMPS_PREFIX}"}, report)
    airflow.pause("ingest_access_logs", False)
    airflow.run("ingest_access_logs", {}, report)
    # Unpausing may have started the schedule's own run as well; its batch belongs to this build.
    for run_id in airflow.unfinished_runs("ingest_access_logs"):
        airflow.follow("ingest_access_logs", run_id, report)
    airflow.pause("transform_warehouse", False)
    airflow.run("transform_warehouse", {}, report)


def go_on(airflow: AirflowApi, processes: Processes) -> None:
    """Let every DAG follow its schedule, and look after the processes until Ctrl-C."""
    for dag_id in LATER_DAGS:
        airflow.pause(dag_id, False)
    report("running on schedule; Ctrl-C stops everything")
    while True:
        processes.tend()
        time.sleep(1)


def print_summary(laptop: Laptop, links: dict[str, str]) -> None:
    """Print what came out, and where people look at it."""
    site = f"{laptop.aws_url}/daylight-lake/site"
    summary: dict[str, Any] = urllib3.request("GET", f"{site}/summary.json").json()
    print(
        f"""
  records      {summary["offered"]:,} offered = {summary["good"]:,} good \
+ {summary["quarantined"]:,} quarantined + {summary["duplicate"]:,} duplicate
  warehouse    {summary["models"]} models built, {summary["tests"]} tests passed
  checks       {summary["expectations"]} expectations evaluated
  {summary["metric_date"]}   DAU {summary["dau"]:,}   WAU {summary["wau"]:,}   \
MAU {summary["mau"]:,}   (the last complete day)
"""
    )
    links = links | {
        "Metrics": f"{site}/index.html",
        "Data docs": f"{site}/data_docs/index.html",
        "dbt docs": f"{site}/dbt_docs/index.html",
    }
    print("".join(f"  {name:<12} {link}\n" for name, link in links.items()))
    print("run: " + " ".join(f"{field}={summary[field]}" for field in SUMMARY_FIELDS), flush=True)


def report(line: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:4.0f} s] {line}", flush=True)
