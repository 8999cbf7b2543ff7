import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from laptop.airflow_api import AirflowApi, AirflowError


@pytest.fixture
def hesitant() -> Iterator[tuple[str, Counter[str]]]:
    """An Airflow that hangs up on the first two requests for each path, and answers the third."""
    asked: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = f"{self.command} {self.path}"
            asked[path] += 1
            if asked[path] < 3:
                self.close_connection = True
                return
            body = b'{"access_token": "t", "dag_runs": [{"dag_run_id": "one"}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_question_is_asked_again_when_airflow_hangs_up(hesitant, tmp_path: Path):
    url, asked = hesitant

    airflow = AirflowApi(url, tmp_path)
    airflow.pause("a_dag", is_paused=True)
    assert airflow.unfinished_runs("a_dag") == ["one"]
    assert asked["GET /api/v2/dags/a_dag/dagRuns?state=running&state=queued"] == 3


def test_a_run_is_asked_for_once(hesitant, tmp_path: Path):
    url, asked = hesitant

    with pytest.raises(AirflowError, match=r"does not answer POST dags/a_dag/dagRuns \(Protocol"):
        AirflowApi(url, tmp_path).run("a_dag", {}, print)

    assert asked["POST /api/v2/dags/a_dag/dagRuns"] == 1


def test_a_mapped_task_is_told_by_its_index_and_its_log_is_found(monkeypatch, tmp_path: Path):
    airflow = AirflowApi("http://127.0.0.1:9", tmp_path)
    tasks = [
        {"dag_id": "d", "task_id": "land", "map_index": n, "state": state, "try_number": 2}
        for n, state in enumerate(["success", "failed"])
    ]
    tasks.append(tasks[0] | {"task_id": "list", "map_index": -1})
    answers = {"dags/d/dagRuns/r": {"state": "failed"}}
    page = {"task_instances": tasks, "total_entries": 3}
    monkeypatch.setattr(airflow, "_call", lambda _, path: answers.get(path, page))
    told: list[str] = []

    with pytest.raises(AirflowError) as error:
        airflow.follow("d", "r", told.append)

    assert told == ["d 1/3 land[0]: success", "d 2/3 land[1]: failed", "d 3/3 list: success"]
    log = tmp_path / "dag_id=d" / "run_id=r" / "task_id=land" / "map_index=1" / "attempt=2.log"
    assert f"land[1]: {log}" in str(error.value)
