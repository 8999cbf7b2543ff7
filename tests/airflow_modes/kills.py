"""Drills that kill: a task, each of Airflow's processes, and the one that runs dbt for all.

Each in the middle of a run. No task may be green whose model dbt did not run, and the one click
that the runbook names must mend the run and do nothing twice.
"""

import os
import signal
import time

from tests.airflow_modes.site import DAG, MODELS, WATCHED, Site, task_of

PRODUCER = "warehouse.dbt_producer_watcher"


def task(site: Site) -> list[str]:
    """Kill the process of a task in the middle of its model."""
    run_id = site.start()
    site.until(DAG, run_id, task_of(MODELS[0]), "running")
    os.kill(site.work(DAG, run_id, task_of(MODELS[0])), signal.SIGKILL)
    site.room.ended(DAG, run_id)
    states = site.states(run_id)
    problems = [] if "failed" in states.values() else [f"nothing is red: {states}"]
    return problems + site.not_run(states) + site.mended(run_id)


def _part(site: Site, name: str) -> list[str]:
    """Kill one of Airflow's processes and all below it, start it again, wait for the run's end."""
    run_id = site.start()
    site.until(DAG, run_id, task_of(MODELS[0]), "running")
    site.room.kill_part(name)
    site.room.start_part(name)
    site.room.wait_until_healthy()
    state = site.room.ended(DAG, run_id)["state"]
    states = site.states(run_id)
    problems = site.not_run(states) + site.not_asked(states)
    return problems + (site.mended(run_id) if state == "failed" else [])


def scheduler(site: Site) -> list[str]:
    """Kill the scheduler with its tasks."""
    return _part(site, "airflow-scheduler")


def api_server(site: Site) -> list[str]:
    """Kill the API server, to which the tasks report."""
    return _part(site, "airflow-api-server")


def dag_processor(site: Site) -> list[str]:
    """Kill the process that reads the DAG files: no run needs it."""
    return _part(site, "airflow-dag-processor")


def triggerer(site: Site) -> list[str]:
    """Kill the triggerer while a run waits for a person's answer."""
    run_id = site.start(full_refresh=True)
    site.until(DAG, run_id, "choose", "awaiting_input", "deferred")
    site.room.kill_part("airflow-triggerer")
    time.sleep(15)  # see full_refresh: Airflow makes too quick an answer red
    path = f"{site.room.api._run_path(DAG, run_id)}/taskInstances/choose/-1/hitlDetails"
    site.room.api._call("PATCH", path, {"chosen_options": ["Approve"], "params_input": {}})
    site.room.start_part("airflow-triggerer")
    state = site.room.ended(DAG, run_id)["state"]
    states = site.states(run_id)
    problems = [] if state == "success" else [f"the run is {state}: {states}"]
    return problems + site.not_run(states)


def producer(site: Site) -> list[str]:
    """Kill the task that runs dbt for those that watch it."""
    run_id = site.watch()
    site.until(WATCHED, run_id, PRODUCER, "running")
    site.until(WATCHED, run_id, f"warehouse.{MODELS[0]}.run", "running")
    os.kill(site.work(WATCHED, run_id, PRODUCER), signal.SIGKILL)
    state = site.room.ended(WATCHED, run_id)["state"]

    def built() -> dict[str, str]:
        states = site.room.states(WATCHED, run_id)
        return {model: states[f"warehouse.{model}.run"] for model in MODELS}

    problems = [] if state == "failed" else [f"the run is {state}, its producer was killed"]
    problems += site.not_asked(built())
    problems += site.mended(run_id, WATCHED) if state == "failed" else []
    return problems + site.not_asked(built())
