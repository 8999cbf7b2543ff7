"""Worlds at work side by side: each takes the next case, and all are counted together."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from tests.chaos import scenes
from tests.chaos.audit import Audit
from tests.chaos.proxy import Request
from tests.chaos.scenes import Scene
from tests.chaos.world import World

Report = Callable[[str], None]

WORLDS = 2
"""Worlds at the same time; each keeps about one core busy."""

_WORTH_A_WORLD = 16
"""Fewer cases than this are done before a second world has started."""

_COUNTED = ("kills", "faults", "races", "overtaken", "lost", "doubled", "wrong")


@dataclass(slots=True)
class Tally:
    """What many cases came to."""

    cases: int = 0
    kills: int = 0
    faults: int = 0
    races: int = 0
    overtaken: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    hit: set[str] = field(default_factory=set)
    """Kinds of request that were met by a fault."""
    contested: int = 0
    """Races in which somebody lost a CAS."""
    lost_cas: Counter[str] = field(default_factory=Counter)
    """Conditional writes that another runner had won, by what they wrote."""
    complaints: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _COUNTED}

    def add(self, other: Tally) -> None:
        for name in ("cases", "contested", *_COUNTED):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.hit |= other.hit
        self.lost_cas += other.lost_cas
        self.complaints += other.complaints

    def judge(self, what: object, found: Audit) -> None:
        """Count what an audit found."""
        self.lost += len(found.lost)
        self.doubled += len(found.doubled)
        self.wrong += len(found.wrong)
        if found:
            self.complaints.append(f"{what}: {found}")

    def complain(self, what: object, text: str) -> None:
        """Count something that is neither lost nor doubled, and not as it must be."""
        self.wrong += 1
        self.complaints.append(f"{what}: {text}")

    def __str__(self) -> str:
        return " ".join(f"{name}={n}" for name, n in self.as_dict().items() if n or name == "lost")


class Harness:
    """One world, and the scenes that were set up in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._made: dict[str, Any] = {}
        self._lengths: dict[str, list[Request]] = {}

    def once(self, make: Callable[[World], Any]) -> Any:
        """Return what ``make`` makes of this world, made once."""
        if make.__name__ not in self._made:
            self._made[make.__name__] = make(self.world)
        return self._made[make.__name__]

    def scene(self, name: str) -> Scene:
        found: Scene = self.once(getattr(scenes, name))
        return found

    def requests(self, name: str) -> list[Request]:
        """Return what the scene's job asks for when nothing happens to it."""
        if name not in self._lengths:
            _, job, _ = self.scene(name).play(self.world)
            outcome = self.world.run({**job, "has_child": False})
            assert outcome.code == 0, outcome.told
            self._lengths[name] = outcome.watch.requests
        return self._lengths[name]


def play(
    harness: Harness,
    cases: Sequence[Any],
    take: Callable[[Harness, Any, Tally], None],
    report: Report,
) -> Tally:
    """Take all cases, some of them in a second world, and return what they came to."""
    work: SimpleQueue[Any] = SimpleQueue()
    for case in cases:
        work.put(case)
    tally = Tally()
    lock = threading.Lock()
    stop = threading.Event()
    every = max(25, len(cases) // 10)

    def serve(mine: Harness) -> None:
        while not stop.is_set():
            try:
                case = work.get_nowait()
            except Empty:
                break
            one = Tally(cases=1)
            take(mine, case, one)
            with lock:
                tally.add(one)
                if tally.cases % every == 0:
                    report(f"  {tally.cases} of {len(cases)} cases: {tally}")
        if orphans := mine.world.zygote.orphans():
            with lock:
                tally.complain("at the end", f"{orphans} children of killed runners live on")

    def serve_elsewhere() -> None:
        with World(len(harness.world.proxies)) as world:
            serve(Harness(world))

    with ThreadPoolExecutor(WORLDS) as pool:
        try:
            tasks = [pool.submit(serve, harness)]
            if len(cases) >= _WORTH_A_WORLD:
                tasks += [pool.submit(serve_elsewhere) for _ in range(WORLDS - 1)]
            for task in tasks:
                task.result()
        finally:
            stop.set()
    for complaint in tally.complaints[:20]:
        report(f"  WRONG {complaint}")
    return tally


def spread(scale: float, cases: Sequence[Any]) -> list[Any]:
    """Return a share of the cases, spread over all of them."""
    if scale >= 1:
        return list(cases)
    count = max(1, int(len(cases) * scale))
    return [cases[place * len(cases) // count] for place in range(count)]
