"""dbt's OpenLineage events, made from a real manifest and what tasks leave in the lake."""

import json
from datetime import UTC, datetime

import pytest

SINCE = datetime(2026, 11, 21, 10, tzinfo=UTC)


def result(name: str, status: str = "success") -> dict:
    timing = {
        "started_at": "2026-11-21T10:00:01.000000Z",
        "completed_at": "2026-11-21T10:00:05.000000Z",
    }
    return {
        "unique_id": f"model.daylight.{name}",
        "status": status,
        "timing": [{"name": "compile", **timing}, {"name": "execute", **timing}],
        "thread_id": "Thread-1",
        "execution_time": 4.0,
        "adapter_response": {},
        "message": None,
        "failures": None,
    }


def run_results(at: str, *results: dict) -> bytes:
    metadata = {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json",
        "dbt_version": "1.11.16",
        "generated_at": at,
        "invocation_id": "7d0c0a3e-0000-4000-8000-000000000000",
    }
    body = {"metadata": metadata, "results": results, "elapsed_time": 1, "args": {"which": "build"}}
    return json.dumps(body).encode()


@pytest.fixture
def lineage(dags, monkeypatch, tmp_path):
    """The module, with a file for its events and a few results in the lake."""
    import _lineage

    transport = {"type": "file", "log_file_path": str(tmp_path / "events"), "append": True}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__NAMESPACE", "daylight")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is asked who we are
    bodies = [
        run_results("2026-11-21T10:00:06.000000Z", result("dim_users")),
        run_results("2026-11-21T10:00:07.000000Z", result("metrics_activation", "error")),
        run_results("2026-11-20T10:00:00.000000Z", result("fct_sessions")),  # an earlier run's
    ]
    monkeypatch.setattr(_lineage, "_stored_results", lambda: bodies)
    return _lineage


def test_each_model_of_this_run_has_its_events_with_the_tables_of_the_manifest(
    lineage, manifest, tmp_path
):
    from _parsed_project import DBT_PROJECT

    (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    assert lineage.emit_dbt_events(DBT_PROJECT, tmp_path, SINCE) == 2

    events = [json.loads(line) for line in lineage.events_file().read_text().splitlines()]
    ended = {
        event["job"]["name"].split(".")[3]: event
        for event in events
        if event["eventType"] != "START"
    }
    assert {name: event["eventType"] for name, event in ended.items()} == {
        "dim_users": "COMPLETE",
        "metrics_activation": "FAIL",
    }
    for name, event in ended.items():
        parents = manifest["nodes"][f"model.daylight.{name}"]["depends_on"]["nodes"]
        inputs = {one["name"].rsplit(".", 1)[-1] for one in event["inputs"]}
        assert inputs == {parent.rsplit(".", 1)[-1] for parent in parents}
    (made,) = ended["dim_users"]["outputs"]
    schema = manifest["nodes"]["model.daylight.dim_users"]["schema"]
    assert made["name"].endswith(f".{schema}.dim_users")


def test_without_a_transport_nothing_is_made(lineage, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", "")

    assert lineage.emit_dbt_events(tmp_path, tmp_path, SINCE) == 0
    assert lineage.events_file() is None


def test_events_that_go_elsewhere_are_not_collected(lineage, monkeypatch):
    elsewhere = {"type": "http", "url": "http://marquez.example.com"}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(elsewhere))

    assert lineage.events_file() is None
