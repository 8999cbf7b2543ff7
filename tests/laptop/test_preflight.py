import shutil
from collections import namedtuple

from laptop import preflight


def test_this_machine_is_fine(tmp_path):
    assert preflight.problems(tmp_path) == []


def test_everything_that_is_wrong_is_said_at_once(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=1.2e9))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(preflight.sys, "version_info", (3, 9, 1))

    complaints = preflight.problems(tmp_path)

    assert len(complaints) == 3
    assert "this is 3.9" in complaints[0]
    assert "No C compiler" in complaints[1]
    assert "Only 1.2 GB" in complaints[2]
