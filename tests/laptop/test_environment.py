import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from laptop.environment import Laptop

# What a scheduler does for every task that it queues.
COUNTING = """
from airflow.sdk.observability.metrics import stats_utils
from airflow.sdk.observability import stats
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
stats.timing("task.queued_duration", 1500, tags={"dag_id": "d", "task_id": "t"})
"""


@pytest.fixture
def laptop(tmp_path):
    return Laptop(tmp_path, 4566, 4567, 8080)


@pytest.fixture
def collector():
    """An OpenTelemetry collector on loopback: its address, and the names that arrived."""
    arrived: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/metrics":
                request = ExportMetricsServiceRequest.FromString(body)
                for resource in request.resource_metrics:
                    for scope in resource.scope_metrics:
                        arrived.extend(metric.name for metric in scope.metrics)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", arrived
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_variable_sends_airflows_metrics_to_a_collector(laptop, collector, monkeypatch):
    address, arrived = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)

    subprocess.run([sys.executable, "-c", COUNTING], env=laptop.shell(), check=True)

    assert "airflow.task.queued_duration" in arrived


def test_without_it_nothing_is_measured(laptop, monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)

    assert "AIRFLOW__METRICS__OTEL_ON" not in laptop.shell()
