"""A drill that looks for secrets in everything that Airflow shows or keeps of a run."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import urllib3

from tests.airflow_modes.site import Site

PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-drill-aws-7c1f",
    "AIRFLOW_CONN_CANARY": "http://user:canary-of-the-drill-conn-93ab@127.0.0.1:1",
    "DBT_ENV_SECRET_CANARY": "canary-of-the-drill-dbt-55e0",
}
"""Put into the environment of every part; all three hold CANARY."""

CANARY = "canary-of-the-drill"


def nowhere(site: Site) -> list[str]:
    """Look for them, and for the lake's own secrets, in fields, XComs, logs, events and results."""
    files = [file for file in site.laptop.secrets.iterdir() if file.is_file()]
    lines = [line for file in files for line in file.read_text().split() if len(line) >= 16]
    searched, found = 0, []
    for place, text in _everything(site):
        searched += len(text)
        found += [place for secret in (CANARY, *lines) if secret in text]
    assert searched > 100_000, "it looked at almost nothing"
    return [f"a secret is in {place}" for place in sorted(set(found))]


def _everything(site: Site) -> Iterator[tuple[str, str]]:
    call = site.room.api._call
    for dag_id in site.room.dag_ids():
        for run in call("GET", f"dags/{dag_id}/dagRuns?limit=100")["dag_runs"]:
            for task in site.room.api._tasks(dag_id, run["dag_run_id"]):
                path = f"{site.room.api._run_path(dag_id, run['dag_run_id'])}/taskInstances"
                path += f"/{quote(task['task_id'], safe='')}"
                yield f"the fields of {dag_id}.{task['task_id']}", json.dumps(task)
                for entry in call("GET", f"{path}/xcomEntries?map_index=-1")["xcom_entries"]:
                    key = quote(entry["key"], safe="")
                    value = call("GET", f"{path}/xcomEntries/{key}")["value"]
                    yield f"XCom {entry['key']} of {dag_id}.{task['task_id']}", json.dumps(value)
    airflow = site.laptop.home / "airflow"
    logs = [file for file in (airflow / "logs").rglob("*") if file.is_file()]
    logs += [*(site.laptop.home / "logs").glob("*.log"), airflow.parent / "openlineage"]
    logs += (airflow.parent / "airflow").glob("openlineage*")
    for file in filter(Path.is_file, logs):
        yield str(file), file.read_text(errors="replace")
    listing = urllib3.request(
        "GET", f"{site.laptop.aws_url}/daylight-lake?list-type=2&prefix=dbt_runs/"
    ).data.decode()
    for key in listing.split("<Key>")[1:]:
        name = key.partition("</Key>")[0]
        body = urllib3.request("GET", f"{site.laptop.aws_url}/daylight-lake/{name}").data
        yield f"the lake's {name}", body.decode(errors="replace")
