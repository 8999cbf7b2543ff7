import importlib.util
from pathlib import Path
from types import SimpleNamespace

from airflow.sdk.execution_time.supervisor import WatchedSubprocess

PRELOAD = Path(__file__).resolve().parents[2] / "laptop" / "preload" / "prompt_ends.py"


def test_a_supervisor_sleeps_for_its_tasks_words_but_not_for_its_end(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(
        WatchedSubprocess, "_service_subprocess", lambda self, longest: slept.append(longest)
    )
    spec = importlib.util.spec_from_file_location("prompt_ends", PRELOAD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    module.notice()
    for sockets in ({"a socket": "logs"}, {}):
        WatchedSubprocess._service_subprocess(SimpleNamespace(_open_sockets=sockets), 5.0)
    WatchedSubprocess._service_subprocess(SimpleNamespace(_open_sockets={}), 0.0)

    assert slept == [5.0, module.LOOK_SECONDS, 0.0]
