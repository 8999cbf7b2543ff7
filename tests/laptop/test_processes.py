import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from laptop.processes import Processes, StartError, assert_ports_free, stop_leftovers

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
def processes(tmp_path):
    started = Processes(os.environ, tmp_path, tmp_path / "logs")
    yield started
    started.stop()


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text()


def test_a_taken_port_is_named_with_the_variable_that_moves_it(monkeypatch):
    monkeypatch.setattr("laptop.processes.PORT_SECONDS", 0.1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StartError, match=f"AWS_PORT={port}.*make run AWS_PORT={port + 1}"):
            assert_ports_free({"AWS_PORT": port})


def test_a_port_that_is_free_a_moment_later_is_no_error():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    threading.Timer(0.5, taken.close).start()

    assert_ports_free({"AWS_PORT": taken.getsockname()[1]})

    assert taken.fileno() == -1  # it was waited for


def test_a_part_that_dies_while_it_is_waited_for_shows_its_last_words(processes):
    part = processes.start("part", [sys.executable, "-c", "print('no such key'); exit(3)"])

    with pytest.raises(StartError, match=r"part ended with exit code 3(.|\n)*no such key"):
        processes.wait_until(part, lambda: False, seconds=20)


def test_a_job_may_end_while_another_part_is_waited_for_if_it_ends_well(processes):
    part = processes.start("part", SLEEPER)
    well = processes.start("well", [sys.executable, "-c", ""], is_job=True)
    well.process.wait()

    processes.wait_until(part, iter([False, False, True]).__next__, seconds=20)
    processes.finish(well)

    badly = processes.start("badly", [sys.executable, "-c", "exit(4)"], is_job=True)
    badly.process.wait()
    with pytest.raises(StartError, match="badly ended with exit code 4"):
        processes.wait_until(part, lambda: False, seconds=20)


def test_what_a_part_started_is_killed_with_it_when_it_does_not_stop(processes, monkeypatch):
    monkeypatch.setattr("laptop.processes.STOP_SECONDS", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    inner = f"{deaf} print('up', flush=True); time.sleep(60)"
    outer = f"{deaf} import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', "
    outer += f'"""{inner}"""]); print(child.pid, flush=True); time.sleep(60)'
    part = processes.start("part", [sys.executable, "-c", outer])
    processes.wait_until(part, lambda: "up" in part.log.read_text(), seconds=20)
    child = next(int(line) for line in part.log.read_text().split() if line.isdigit())
    assert is_running(child)

    processes.stop()

    assert not is_running(part.process.pid)
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def test_a_part_that_is_never_ready_is_reported_after_the_time_is_up(processes):
    part = processes.start("part", SLEEPER)

    with pytest.raises(StartError, match="part was not ready after 1 s"):
        processes.wait_until(part, lambda: False, seconds=1)


def test_stop_leaves_no_process_even_if_it_ignores_the_request(processes, monkeypatch):
    monkeypatch.setattr("laptop.processes.STOP_SECONDS", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    deaf += "print('up', flush=True); time.sleep(60)"
    parts = [
        processes.start("kind", SLEEPER),
        processes.start("deaf", [sys.executable, "-c", deaf]),
    ]
    for part in parts:
        processes.wait_until(part, lambda part=part: "up" in part.log.read_text(), seconds=20)

    processes.stop()

    assert not any(is_running(part.process.pid) for part in parts)


def test_a_part_that_is_kept_is_started_again_and_said_so(tmp_path):
    told: list[str] = []
    processes = Processes(os.environ, tmp_path, tmp_path / "logs", told.append)
    part = processes.start("kept", SLEEPER, is_kept=True)
    first = part.process.pid

    part.kill_tree()
    processes.tend()

    assert part.process.pid != first
    assert is_running(part.process.pid)
    assert told == ["kept ended with -9 and is started again"]
    processes.stop()
    assert not is_running(part.process.pid)


def test_a_part_that_dies_on_and_on_is_given_up_with_its_last_words(processes):
    part = processes.start("kept", [sys.executable, "-c", "exit('no such key')"], is_kept=True)

    with pytest.raises(StartError, match=r"kept died 6 times within 120 s(.|\n)*no such key"):
        processes.wait_until(part, lambda: False, seconds=120, every=0.01)


def test_servers_are_stopped_behind_those_who_need_them(processes, tmp_path):
    last_words = "import signal, sys, time; from pathlib import Path\n"
    last_words += "def end(*_): open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit()\n"
    last_words += "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(60)"
    ends = tmp_path / "ends"
    for name, is_server in (("server ", True), ("part ", False)):
        command = [sys.executable, "-c", last_words, ends, name]
        part = processes.start(name.strip(), command, is_server=is_server)
        processes.wait_until(part, lambda part=part: "up" in part.log.read_text(), seconds=20)

    processes.stop()

    assert ends.read_text() == "part server "


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_leftover_without_its_environment_is_known_by_its_output(tmp_path):
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs" / "worker.log").open("w") as output:
        worker = subprocess.Popen(SLEEPER, env={}, stdout=output)  # Celery writes over its own

    try:
        assert stop_leftovers(tmp_path) == 1
        assert worker.wait(5) == -signal.SIGKILL
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_leftovers_of_the_same_home_are_killed_and_nobody_else(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(60)", "airflow"]
    ours, other, shell = (
        subprocess.Popen(words, env={"DAYLIGHT_HOME": home})
        for words, home in (
            (command, str(tmp_path)),
            (command, str(tmp_path) + "-2"),
            (command[:3], str(tmp_path)),
        )
    )
    time.sleep(0.3)

    try:
        count = stop_leftovers(tmp_path)

        assert count == 1
        assert ours.wait(5) == -signal.SIGKILL
        assert other.poll() is None
        assert shell.poll() is None
    finally:
        for process in (ours, other, shell):
            process.kill()
            process.wait()
