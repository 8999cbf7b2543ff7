import functools
import json
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ingestion import child, isolation, records, worker
from ingestion.errors import ContractError, WorkerUnavailable
from ingestion.keys import KeyRing
from ingestion.pool import Pool
from ingestion.privacy import Pseudonyms
from ingestion.records import Derived, Rules
from ingestion.texts import Texts
from ingestion.times import SourceClock, milliseconds
from tests.ingestion import killers
from tests.ingestion.envelopes import (
    FETCHED_AT,
    PSEUDONYM_KEY,
    envelope,
    plaintext,
    population,
)

ROOT = Path(__file__).parent.parent.parent
NEW, OLD = Fernet.generate_key().decode(), Fernet.generate_key().decode()
NOW = milliseconds(FETCHED_AT)
RULES = Rules(KeyRing([NEW, OLD]), Pseudonyms(PSEUDONYM_KEY), SourceClock("Asia/Seoul", True))
SETTINGS = {"batch_seq": 5, "landed_at": NOW, "fetched_at": NOW}
END_SECONDS = 30


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    isolation._stop()
    yield
    isolation._stop()


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_MAIN", killers.MAIN)


def marked(number: int, way: str, **changes: object) -> dict:
    return envelope(NEW, number, kill=way, **changes)


def rows(derived: Derived) -> list[dict]:
    tables = [*derived.raw.values(), derived.quarantine]
    return [row for table in tables for row in table.to_pylist()]


def same(one: Derived, other: Derived) -> bool:
    counts = ("reasons", "good_days", "quarantined_days", "conflict_days", "keys")
    return (
        one.raw == other.raw
        and one.quarantine == other.quarantine
        and all(getattr(one, name) == getattr(other, name) for name in counts)
    )


def worker_pid() -> int:
    (pid,) = isolation._pool.pids()
    return pid


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def await_end(pid: int) -> bool:
    deadline = time.monotonic() + END_SECONDS
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_derive_equals_the_same_in_this_process(monkeypatch):
    monkeypatch.setattr(isolation, "MAX_REQUEST_RECORDS", 700)
    items = population([NEW, OLD], 3_000, seed=3)
    items += [envelope(OLD, number, plaintext(number, url="/x")) for number in range(1, 26)]
    times = [NOW + number for number in range(len(items))]
    settings = {"batch_seq": 7, "landed_at": NOW, "fetched_at": times, "conflict": 25}

    assert same(
        isolation.derive(items, RULES, **settings), records.derive(items, RULES, **settings)
    )


def test_derive_splits_what_is_too_large_for_one_request(monkeypatch):
    monkeypatch.setattr(isolation, "MAX_REQUEST_BYTES", 2_000)
    items = [*population([NEW], 20, seed=4), envelope(NEW, 21, plaintext(21, url="u" * 5_000))]

    assert same(
        isolation.derive(items, RULES, **SETTINGS), records.derive(items, RULES, **SETTINGS)
    )


def test_derive_of_nothing_is_nothing():
    assert same(isolation.derive([], RULES, **SETTINGS), records.derive([], RULES, **SETTINGS))


def test_derive_refuses_arguments_that_do_not_fit():
    with pytest.raises(ContractError, match="1 records, 2 times"):
        isolation.derive(
            [envelope(NEW, 1)], RULES, batch_seq=1, landed_at=NOW, fetched_at=[NOW, NOW]
        )


def test_derive_keeps_one_worker_and_follows_the_rules():
    item = envelope(OLD, 1)
    berlin = Rules(KeyRing([OLD]), Pseudonyms(bytes(32)), SourceClock("Europe/Berlin", True))

    refused = isolation.derive([item], Rules(KeyRing([NEW]), *rest()), **SETTINGS)
    first = worker_pid()
    good = isolation.derive([item], RULES, **SETTINGS)
    elsewhere = isolation.derive([item], berlin, **SETTINGS)

    assert refused.reasons == {"TOKEN_UNKNOWN_KEY": 1}
    assert same(good, records.derive([item], RULES, **SETTINGS))
    assert same(elsewhere, records.derive([item], berlin, **SETTINGS))
    assert not same(good, elsewhere)
    assert worker_pid() == first


def rest() -> tuple[Pseudonyms, SourceClock]:
    return RULES.pseudonyms, RULES.clock


@pytest.mark.parametrize(
    ("way", "because"),
    [
        ("abort", "SIGABRT"),
        ("segfault", "SIGSEGV"),
        ("leave", "exit 3"),
        ("kill", "SIGKILL"),
        ("memory", "exit 1"),
        ("arrow", "exit 1"),
        ("file", "exit 1"),
        ("shout", "exit 1"),
    ],
)
def test_a_record_that_kills_is_refused_and_its_neighbours_are_not_touched(
    deadly, caplog, capfd, way, because
):
    items = [envelope(NEW, 1), marked(2, way), envelope(NEW, 3)]

    derived = isolation.derive(items, RULES, **SETTINGS)

    (culprit,) = derived.quarantine.to_pylist()
    assert (culprit["record_id"], culprit["reason"], culprit["stage"]) == (
        2,
        "RESOURCE_LIMIT",
        "token",
    )
    assert json.loads(culprit["envelope"]) == items[1]
    assert derived.raw == records.derive([items[0], items[2]], RULES, **SETTINGS).raw
    assert f"because={because}" in caplog.text
    assert killers.SHOUT not in caplog.text + "".join(capfd.readouterr())


# Of two clocks, the parent's and the child's own, either may be first.
@pytest.mark.parametrize(("way", "because"), [("loop", "SIGPROF"), ("sleep", "time|SIGALRM")])
def test_a_record_that_takes_for_ever_is_refused(deadly, caplog, monkeypatch, way, because):
    monkeypatch.setattr(isolation, "CPU_SECONDS", 0.5)
    monkeypatch.setattr(isolation, "CPU_SECONDS_PER_RECORD", 0)
    monkeypatch.setattr(isolation, "CPU_SECONDS_PER_MEGABYTE", 0)
    # The clock must not be what ends the loop.
    monkeypatch.setattr(isolation, "WALL_FACTOR", 1 if way == "sleep" else 60)

    derived = isolation.derive([marked(1, way)], RULES, **SETTINGS)

    assert derived.reasons == {"RESOURCE_LIMIT": 1}
    assert len(re.findall(f"because=({because})\n", caplog.text)) == 2


@pytest.mark.parametrize("culprits", [(1,), (500,), (250, 251, 400)], ids=str)
def test_killers_in_a_batch_of_500_are_found_wherever_they_are(deadly, culprits):
    items = [envelope(NEW, number) for number in range(1, 501)]
    for number in culprits:
        items[number - 1]["kill"] = "abort"
    good = [item for item in items if "kill" not in item]

    derived = isolation.derive(items, RULES, **SETTINGS)

    assert derived.quarantine.column("record_id").to_pylist() == sorted(culprits, key=str)
    assert derived.reasons == {"RESOURCE_LIMIT": len(culprits)}
    assert derived.raw == records.derive(good, RULES, **SETTINGS).raw
    assert derived.quarantined_days == {"2026-11-19": len(culprits)}


def test_a_record_is_refused_only_if_it_kills_twice(deadly, monkeypatch, tmp_path):
    # Once: the record is innocent, somebody else killed the worker.
    ask = child.Child.ask
    killed = []

    def killed_once(self, *arguments):
        if not killed:
            killed.append(self._process.pid)
            os.kill(self._process.pid, signal.SIGKILL)
        return ask(self, *arguments)

    monkeypatch.setattr(child.Child, "ask", killed_once)

    derived = isolation.derive([envelope(NEW, 1)], RULES, **SETTINGS)

    assert killed
    assert derived.reasons == {}


def test_a_batch_full_of_killers_costs_no_more_than_so_many_workers(deadly, caplog, monkeypatch):
    monkeypatch.setattr(isolation, "MAX_DEATHS", 10)
    items = [marked(number, "abort") for number in range(1, 65)]

    derived = isolation.derive(items, RULES, **SETTINGS)

    assert derived.reasons == {"RESOURCE_LIMIT": 64}
    assert 10 < caplog.text.count("worker died") <= 22


def test_conflicts_stay_conflicts_whatever_kills(deadly):
    items = [marked(1, "abort"), envelope(NEW, 2), marked(3, "abort"), marked(3, "abort")]

    derived = isolation.derive(items, RULES, **SETTINGS, conflict=1)

    assert derived.reasons == {"ID_CONFLICT": 1, "RESOURCE_LIMIT": 2}
    assert derived.conflict_days == {"2026-11-19": 1}
    assert derived.quarantined_days == {"2026-11-19": 2}


def test_a_killer_without_an_id_keeps_the_key_that_it_is_known_by(deadly):
    item = marked(1, "abort") | {"recordId": "none"}

    derived = isolation.derive([item], RULES, **SETTINGS)

    assert derived.quarantine.column("record_key").to_pylist() == [records.identity(item, RULES)]


def test_a_worker_that_lies_is_not_believed(monkeypatch, caplog):
    monkeypatch.setattr(isolation, "_MAIN", "from tests.ingestion import killers; killers.lie()")
    items = [envelope(NEW, 1), envelope(NEW, 2, b"junk")]

    derived = isolation.derive(items, RULES, **SETTINGS)

    assert derived.good_days == {"2026-11-19": 1}
    assert derived.reasons == {"RESOURCE_LIMIT": 1}
    assert "because=an answer that is none" in caplog.text


def test_what_cannot_be_sent_needs_no_worker(caplog):
    deep: object = 1
    for _ in range(5_000):
        deep = [deep]
    items = [
        envelope(NEW, 1),
        envelope(NEW, 2, more=deep),
        envelope(NEW, 10**4_400, plaintext(3)),
        envelope(NEW, 4, ArrivalTimeStamp=10**4_400),
        envelope(NEW, 5, data=deep),
        deep,
        envelope(NEW, 7),
    ]

    derived = isolation.derive(items, RULES, **SETTINGS)

    assert derived.reasons == {"ENVELOPE_SHAPE": 3, "ID_TYPE": 1, "TOKEN_TYPE": 1}
    assert derived.raw == records.derive([items[0], items[-1]], RULES, **SETTINGS).raw
    assert "worker died" not in caplog.text


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import no_such_module_of_ours", "exit 1.*No module named 'no_such_module_of_ours'"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("import time; time.sleep(60)", "time"),
        ("print('hello, this is no frame')", "an answer that is none"),
        (
            "from ingestion import records, worker; records.decode = None; worker.main()",
            "exit 1.*TypeError",
        ),
    ],
)
def test_a_worker_that_does_not_start_is_no_fault_of_a_record(monkeypatch, program, said):
    monkeypatch.setattr(isolation, "_MAIN", program)
    monkeypatch.setattr(child, "START_SECONDS", 2 if "sleep" in program else 60)

    with pytest.raises(WorkerUnavailable, match=said) as caught:
        isolation.derive([envelope(NEW, 1)], RULES, **SETTINGS)

    assert caught.value.retryable


def test_a_python_that_is_gone_is_no_fault_of_a_record(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(WorkerUnavailable, match="No such file"):
        isolation.derive([envelope(NEW, 1)], RULES, **SETTINGS)


def test_a_worker_that_died_while_idle_is_replaced(caplog):
    isolation.derive([envelope(NEW, 1)], RULES, **SETTINGS)
    os.kill(worker_pid(), signal.SIGKILL)
    os.waitid(os.P_PID, worker_pid(), os.WEXITED | os.WNOWAIT)

    derived = isolation.derive([envelope(NEW, 1)], RULES, **SETTINGS)

    assert derived.reasons == {}
    assert "worker died" not in caplog.text


def test_a_worker_that_has_grown_is_replaced(monkeypatch):
    monkeypatch.setattr(
        isolation, "_MAIN", "from ingestion import worker; worker._WORN_BYTES = -1; worker.main()"
    )
    isolation.derive([envelope(NEW, 1)], RULES, **SETTINGS)

    assert isolation._pool.pids() == []
    assert isolation.derive([envelope(NEW, 1)], RULES, **SETTINGS).reasons == {}


def test_an_interrupted_request_leaves_no_worker_that_answers_it_later(monkeypatch):
    def interrupted(self, size, deadline):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        isolation.derive([envelope(NEW, 1)], RULES, **SETTINGS)
        patch.setattr(child.Child, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            isolation.derive([envelope(NEW, 2)], RULES, **SETTINGS)

    derived = isolation.derive([envelope(NEW, 3)], RULES, **SETTINGS)

    assert [row["record_id"] for row in rows(derived)] == [3]


def test_parts_of_a_batch_are_derived_by_several_children_at_once(monkeypatch):
    monkeypatch.setattr(isolation, "_pool", Pool(isolation._pool._start, 3))
    monkeypatch.setattr(isolation, "MAX_REQUEST_RECORDS", 50)
    ask, at_once, most = child.Child.ask, set(), []
    met = threading.Barrier(3)

    def counted(self, *arguments):
        at_once.add(self.pid)
        most.append(len(at_once))
        if len(most) <= 3:
            met.wait(END_SECONDS)
        try:
            return ask(self, *arguments)
        finally:
            at_once.discard(self.pid)

    monkeypatch.setattr(child.Child, "ask", counted)
    items = population([NEW, OLD], 1_000, seed=8)

    derived = isolation.derive(items, RULES, **SETTINGS)

    assert same(derived, records.derive(items, RULES, **SETTINGS))
    assert (len(most), max(most), len(isolation._pool.pids())) == (20, 3, 3)
    isolation._stop()


@pytest.mark.parametrize("culprits", [(1,), (777,), (250, 251, 900)], ids=str)
def test_killers_among_several_children_cost_only_themselves(deadly, monkeypatch, culprits):
    monkeypatch.setattr(isolation, "_pool", Pool(isolation._pool._start, 3))
    monkeypatch.setattr(isolation, "MAX_REQUEST_RECORDS", 100)
    items = [envelope(NEW, number) for number in range(1, 1_001)]
    for number in culprits:
        items[number - 1]["kill"] = "abort"
    good = [item for item in items if "kill" not in item]

    derived = isolation.derive(items, RULES, **SETTINGS)
    isolation._stop()

    assert derived.quarantine.column("record_id").to_pylist() == sorted(culprits, key=str)
    assert derived.raw == records.derive(good, RULES, **SETTINGS).raw


def test_an_error_of_one_part_ends_the_others_at_once(deadly, monkeypatch):
    monkeypatch.setattr(isolation, "_pool", Pool(isolation._pool._start, 2))
    monkeypatch.setattr(isolation, "MAX_REQUEST_RECORDS", 1)
    ask, asked = child.Child.ask, threading.Event()

    def interrupted(self, *arguments):
        if threading.current_thread() is not threading.main_thread():
            asked.set()
            return ask(self, *arguments)
        assert asked.wait(END_SECONDS)
        time.sleep(0.5)
        raise KeyboardInterrupt

    monkeypatch.setattr(child.Child, "ask", interrupted)
    began = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        isolation.derive([marked(1, "sleep"), marked(2, "sleep")], RULES, **SETTINGS)

    assert time.monotonic() - began < END_SECONDS, "the other child slept on for ten minutes"
    assert isolation._pool.pids() == []


def test_texts_are_derived_as_what_they_spell(monkeypatch):
    monkeypatch.setattr(isolation, "MAX_REQUEST_RECORDS", 70)
    items = population([NEW, OLD], 300, seed=9)

    derived = isolation.derive(Texts.of(items), RULES, **SETTINGS)

    assert same(derived, records.derive(items, RULES, **SETTINGS))


def derive_elsewhere(spelled: dict, items: list) -> Derived:
    return records.derive(items, worker.rules(spelled), **SETTINGS)


def test_an_executor_that_maps_batches_gives_the_same_rows():
    items = population([NEW, OLD], 400, seed=10)
    batches = [items[begin : begin + 100] for begin in range(0, len(items), 100)]
    derive = functools.partial(derive_elsewhere, worker.spelled(RULES))

    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        mapped = list(executor.map(derive, batches))

    assert same(isolation.combined(mapped), records.derive(items, RULES, **SETTINGS))


def test_threads_share_a_worker():
    found: dict[int, list[int]] = {}

    def run(first: int) -> None:
        items = [envelope(NEW, number) for number in range(first, first + 50)]
        for _ in range(5):
            derived = isolation.derive(items, RULES, **SETTINGS)
            found[first] = sorted(row["record_id"] for row in rows(derived))

    threads = [threading.Thread(target=run, args=(first,)) for first in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {first: list(range(first, first + 50)) for first in (100, 200, 300)}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_worker_has_its_limits_and_no_secret_where_others_can_read_it(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-the-environment")
    isolation.derive([envelope(NEW, 1)], RULES, **SETTINGS)
    proc = Path(f"/proc/{worker_pid()}")

    limits = {
        line[:26].strip(): line[26:].split()[0]
        for line in (proc / "limits").read_text().splitlines()
    }
    seen = (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()

    assert int(limits["Max open files"]) == 0
    assert int(limits["Max file size"]) == 0
    assert int(limits["Max core file size"]) == 1
    assert 2**28 < int(limits["Max address space"]) < 2**30
    for secret in (NEW, OLD, PSEUDONYM_KEY.hex(), "canary-of-the-environment"):
        assert secret.encode() not in seen
    assert {str((proc / f"fd/{stream}").readlink()) for stream in (0, 1, 2)} == {os.devnull}


# ---------- processes of their own, as Airflow's


def memory_limit(pid: int) -> str:
    return re.search("Max address space +([0-9]+)", Path(f"/proc/{pid}/limits").read_text())[1]


BEGIN = f"""
import json, os, sys, time
from tests.ingestion.test_isolation import *
logging.basicConfig()
isolation._MAIN = {killers.MAIN!r}
def derive(*items):
    derived = isolation.derive([*items], RULES, **SETTINGS)
    return [row["record_id"] for row in rows(derived)]
assert derive(envelope(NEW, 1)) == [1]
print(worker_pid(), memory_limit(worker_pid()), flush=True)
"""


def start(script: str, folder: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_working_directory_does_not_matter(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('not the module that was meant')")

    with start("print(derive(envelope(NEW, 2)))", tmp_path / "..") as process:
        lines = process.communicate()[0].splitlines()

    assert lines[1:] == ["[2]"]
    assert await_end(int(lines[0].split()[0]))


@pytest.mark.parametrize(
    "busy",
    [
        "time.sleep(600)",
        "derive(marked(2, 'loop'))",
        "isolation.WALL_FACTOR = 1; derive(marked(2, 'sleep'))",
        # A fork that goes on living must not keep the pipe open.
        "pid = os.fork()\nif pid: print(pid, flush=True)\ntime.sleep(600)",
    ],
)
def test_no_worker_outlives_its_killed_parent(tmp_path, busy):
    script = f"isolation.CPU_SECONDS = 1\n{busy}"
    process = start(script, tmp_path)
    assert process.stdout is not None
    pid, limit = process.stdout.readline().split()
    pid = int(pid)
    fork = int(process.stdout.readline()) if "fork" in busy else None
    while "derive" in busy and memory_limit(pid) == limit:  # the second request is larger
        time.sleep(0.05)
    assert is_running(pid)

    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    try:
        assert await_end(pid)
        assert fork is None or is_running(fork)
    finally:
        if fork:
            os.kill(fork, signal.SIGKILL)
        process.stdout.close()


def test_a_fork_of_the_parent_has_a_worker_of_its_own(tmp_path):
    script = """
pid = os.fork()
if pid == 0:
    assert isolation._pool.pids() == []
    print(derive(envelope(NEW, 2)), worker_pid(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(derive(envelope(NEW, 3)), worker_pid())
"""
    with start(script, tmp_path) as process:
        first, forked, again = process.communicate()[0].splitlines()

    first = first.split()[0]
    assert process.returncode == 0
    assert forked.startswith("[2] ")
    assert again == f"[3] {first}"
    assert forked.split()[1] != first
    assert await_end(int(first))
    assert await_end(int(forked.split()[1]))


def test_only_counts_and_signals_reach_the_log(deadly, caplog):
    caplog.set_level(logging.DEBUG)

    isolation.derive([marked(4711, "abort")], RULES, **SETTINGS)

    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["worker died seq=5 records=1 because=SIGABRT"] * 2
