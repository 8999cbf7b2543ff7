import math
import os
import threading
import time
from pathlib import Path

import pytest

from ingestion import pool
from ingestion.errors import WorkerUnavailable
from ingestion.pool import Pool, usable_cores


class Idle:
    """Stands in a child's place."""

    made = 0

    def __init__(self) -> None:
        Idle.made += 1
        self.pid = Idle.made
        self.is_alive = True
        self.ends: list[str] = []

    def kill(self) -> None:
        self.is_alive = False
        self.ends.append("kill")

    def close(self) -> None:
        self.ends.append("close")

    def forget(self) -> None:
        self.ends.append("forget")


@pytest.fixture(autouse=True)
def _from_one() -> None:
    Idle.made = 0


def test_a_child_that_came_back_is_lent_again_and_no_other_is_started():
    children = Pool(Idle, 3)
    for _ in range(5):
        children.give_back(children.take(), is_worn=False)

    assert Idle.made == 1
    assert children.pids() == [1]


def test_a_worn_or_dead_child_is_replaced():
    children = Pool(Idle, 1)
    worn = children.take()
    children.give_back(worn, is_worn=True)
    dead = children.take()
    dead.is_alive = False
    children.give_back(dead, is_worn=False)

    assert children.take().pid == 3
    assert (worn.ends, dead.ends) == (["close"], ["close"])


def test_no_more_children_are_lent_than_the_pool_is_large():
    children = Pool(Idle, 2)
    first, _ = children.take(), children.take()
    got: list[int] = []
    waiter = threading.Thread(target=lambda: got.append(children.take().pid))
    waiter.start()
    time.sleep(0.2)
    assert got == []

    children.give_back(first, is_worn=False)
    waiter.join(30)

    assert got == [first.pid]


def test_a_child_that_does_not_start_keeps_no_place():
    def fail() -> Idle:
        raise WorkerUnavailable("no")

    children = Pool(fail, 1)
    for _ in range(3):
        with pytest.raises(WorkerUnavailable):
            children.take()


def test_stop_ends_the_idle_and_kills_the_lent_under_their_users():
    children = Pool(Idle, 2)
    lent, idle = children.take(), children.take()
    children.give_back(idle, is_worn=False)

    children.stop()

    assert (lent.ends, idle.ends) == (["kill"], ["close"])


def test_forget_closes_no_more_than_our_ends():
    children = Pool(Idle, 2)
    lent, idle = children.take(), children.take()
    children.give_back(idle, is_worn=False)

    children.forget()

    assert lent.ends == idle.ends == ["forget"]


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, math.inf),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "rubbish"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
    ],
)
def test_a_quota_is_read_from_either_version_of_cgroups(
    tmp_path: Path, files: dict[str, str], quota: float
):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert pool._quota(tmp_path) == quota


@pytest.mark.parametrize(
    ("cores", "quota", "usable"), [(8, math.inf, 8), (8, 2.5, 3), (2, 64, 2), (4, 0.1, 1)]
)
def test_usable_cores_are_those_of_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, cores: int, quota: float, usable: int
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(pool, "_quota", lambda _: quota)

    assert usable_cores() == usable
