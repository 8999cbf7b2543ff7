"""OpenLineage: where Airflow's events go, and dbt's beside them."""

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk.configuration import conf

PRODUCER = "daylight"


def events_file() -> Path | None:
    """Return the file that collects the events, or nothing if they are sent elsewhere.

    It is Airflow's own setting, ``[openlineage] transport``, because everything that runs tasks
    writes it.
    """
    transport = _transport()
    is_one_file = transport.get("type") == "file" and transport.get("append")
    return Path(transport["log_file_path"]) if is_one_file else None


def emit_dbt_events(project_dir: Path, target: Path, since: datetime | None) -> int:
    """Send the events of all models that dbt has run ``since``; return how many there were.

    ``target`` has dbt's manifest. Made once per run out of what the tasks left in the lake: Cosmos
    would make them in each task, which costs each of them a call to AWS.
    """
    if not (transport := _transport()):
        return 0
    from openlineage.client import OpenLineageClient
    from openlineage.common.provider.dbt.local import DbtLocalArtifactProcessor

    run = _merged(_stored_results(), since)
    if not run.get("results"):
        return 0
    run["args"] = {"which": "build", "profiles_dir": str(project_dir)}
    (target / "run_results.json").write_text(json.dumps(run))
    events = DbtLocalArtifactProcessor(
        producer=PRODUCER,
        project_dir=str(project_dir),
        target="prod",
        target_path=str(target),
        job_namespace=conf.get("openlineage", "namespace", fallback="default"),
    ).parse()
    client = OpenLineageClient(config={"transport": transport})
    for event in (*events.starts, *events.completes, *events.fails):
        client.emit(event)
    return len(events.completes) + len(events.fails)


def _transport() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(conf.get("openlineage", "transport", fallback="") or "{}")
    return found


def _stored_results() -> Iterable[bytes]:
    from ingestion import Settings
    from ingestion.lake import Lake

    lake = Lake(Settings.from_env())
    bodies = (lake.get(key) for key in lake.keys("dbt_runs/latest/"))
    return (body for body in bodies if body)


def _merged(bodies: Iterable[bytes], since: datetime | None) -> dict[str, Any]:
    """Return the run results of many dbt runs as those of one."""
    merged: dict[str, Any] = {}
    for body in bodies:
        run = json.loads(body)
        at = datetime.fromisoformat(run["metadata"]["generated_at"])
        if since is None or at >= since:
            merged = {**run, "results": [*merged.get("results", []), *run["results"]]}
    return merged
