"""Explores a protocol exhaustively: every interleaving of its runners, crashes and lost replies.

A protocol is a function from (lake, runner, where that runner stands) to what may happen next.
Lakes and places are interned and moves remembered, so a state is one integer and costs about a
microsecond; the search is breadth-first, so that the counterexample printed is a shortest one.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol as Shape

Lake = Hashable
Place = tuple
Move = tuple[str, Lake, Place]
"""What happens, the lake after it, and where the runner stands then."""

IDLE: Place = ("idle",)
_LONGEST_RUN = 300


class Modelled(Shape):
    """What the explorer asks of a protocol."""

    def start(self) -> Lake: ...

    def moves(self, lake: Lake, runner: int, place: Place) -> list[Move]:
        """Return what may happen next; the first is what does when nothing goes wrong."""

    def weather(self, lake: Lake) -> list[tuple[str, Lake]]:
        """Return what may happen without any runner."""

    def wrong(self, lake: Lake) -> str: ...

    def broken_by(self, before: Lake, after: Lake) -> str: ...

    def unfinished(self, lake: Lake) -> str:
        """Say what is missing in a lake in which one run has just ended well."""

    @property
    def finishers(self) -> tuple[int, ...]:
        """Runners each of which has to complete everything, alone, in one run."""


@dataclass(slots=True)
class Exploration:
    """What was found."""

    states: int = 0
    transitions: int = 0
    seconds: float = 0.0
    is_whole: bool = True
    fault: str = ""
    trace: list[str] = field(default_factory=list)
    """The shortest way to the fault."""


def explore(model: Modelled, runners: int, most: int = 10_000_000) -> Exploration:
    """Visit every state that ``runners`` can reach, each killed at any step, any number of times.

    A killed runner begins anew, and runs are not counted, so neither are crashes: to bound them
    would only make more states of the same kind. A runner that nobody kills may sleep for as long
    as it likes, so each is a zombie too.
    """
    gc.disable()  # millions of tuples and no cycle among them: to look for some takes half the time
    try:
        return _Search(model, runners, most).run()
    finally:
        gc.enable()


_BITS = 16
_MASK = (1 << _BITS) - 1


class _Search:
    """States are integers: the lake's number, and below it one field for each runner's place.

    So a move is the difference of two states, known once and for all for a lake and a place.
    """

    def __init__(self, model: Modelled, runners: int, most: int) -> None:
        self._model = model
        self._runners = runners
        self._most = most
        self._shift = _BITS * runners
        self._lakes: list[Lake] = []
        self._lake_ids: dict[Lake, int] = {}
        self._places: list[Place] = [IDLE]
        self._place_ids: dict[Place, int] = {IDLE: 0}
        self._steps: list[dict[int, list[int]]] = [{} for _ in range(runners)]
        self._weather: dict[int, list[int]] = {}
        self._fault = ""
        self._alone: list[str] = []

    def run(self) -> Exploration:
        begun = time.monotonic()
        first = self._lake(self._model.start()) << self._shift
        parents: dict[int, int] = {first: -1}
        found = Exploration()
        level = [first]
        last = -1
        while level and last < 0 and len(parents) <= self._most:
            following: list[int] = []
            for state in level:
                steps = self._steps_from(state)
                found.transitions += len(steps)
                for step in steps:
                    after = state + step
                    if after not in parents:
                        parents[after] = state
                        following.append(after)
                if self._fault:
                    last = state + steps[-1]  # the step after which the search was stopped
                    parents.setdefault(last, state)
                    break
            level = following
        if last >= 0:
            found.trace = self._trace(parents, last)
        found.is_whole = not level or last >= 0
        found.fault = self._fault
        found.states = len(parents)
        found.seconds = time.monotonic() - begun
        return found

    def _steps_from(self, state: int) -> list[int]:
        """Return every difference to a following state; the faulty one last, if there is one."""
        lake = state >> self._shift
        weather = self._weather.get(lake)
        if weather is None:
            weather = self._weather[lake] = self._learn(
                lake, 0, 0, [(*move, IDLE) for move in self._model.weather(self._lakes[lake])]
            )
            if self._fault:
                return weather
        steps = weather
        for runner in range(self._runners):
            key = lake << _BITS | (state >> _BITS * runner) & _MASK
            known = self._steps[runner].get(key)
            if known is None:
                place = key & _MASK
                moves = self._model.moves(self._lakes[lake], runner, self._places[place])
                known = self._learn(lake, place, _BITS * runner, moves)
                if self._fault:
                    return known
                if place:
                    known.append(-place << _BITS * runner)  # killed: a run begins anew
                self._steps[runner][key] = known
            steps = steps + known
        return steps

    def _learn(self, lake: int, place: int, shift: int, moves: list[Move]) -> list[int]:
        steps = []
        for _, after, place_after in moves:
            lake_after = self._lake(after, lake)
            moved = self._place(place_after) - place
            steps.append((lake_after - lake << self._shift) + (moved << shift))
            if self._fault:
                break
        return steps

    def _place(self, place: Place) -> int:
        if place not in self._place_ids:
            self._place_ids[place] = len(self._places)
            self._places.append(place)
        return self._place_ids[place]

    def _lake(self, lake: Lake, before: int | None = None) -> int:
        """Return the number of a lake, and judge it the first time it is seen."""
        known = self._lake_ids.get(lake)
        if known is None:
            known = self._lake_ids[lake] = len(self._lakes)
            self._lakes.append(lake)
            if not self._fault:
                self._fault = self._model.wrong(lake) or self._incomplete(lake)
        if before is not None and not self._fault:
            self._fault = self._model.broken_by(self._lakes[before], lake)
        return known

    def _incomplete(self, lake: Lake) -> str:
        """Let one run go alone from here, and say what it leaves undone."""
        for runner in self._model.finishers:
            after, place = lake, IDLE
            self._alone = []
            for _ in range(_LONGEST_RUN):
                label, after, place = self._model.moves(after, runner, place)[0]
                self._alone.append(f"runner {runner}, a new run, alone: {label}")
                if place == IDLE:
                    break
            else:
                return f"a run of runner {runner}, alone from here, does not end"
            if fault := self._model.wrong(after) or self._model.unfinished(after):
                return fault
        self._alone = []
        return ""

    def _trace(self, parents: dict[int, int], last: int) -> list[str]:
        path = [last]
        while (parent := parents[path[-1]]) >= 0:
            path.append(parent)
        path.reverse()
        labels = [self._label(a, b) for a, b in itertools.pairwise(path)]
        return labels + self._alone

    def _label(self, before: int, after: int) -> str:
        lake, lake_after = (self._lakes[state >> self._shift] for state in (before, after))
        for runner in range(self._runners):
            place, place_after = (
                self._places[state >> _BITS * runner & _MASK] for state in (before, after)
            )
            if before - after == self._place(place) << _BITS * runner and place != IDLE:
                return f"runner {runner} is killed"
            if lake == lake_after and place == place_after:
                continue
            for label, *result in self._model.moves(lake, runner, place):
                if result == [lake_after, place_after]:
                    return f"runner {runner} {label}"
        for label, result in self._model.weather(lake):
            if result == lake_after:
                return label
        raise AssertionError("unreachable: every transition is a move, a crash or weather")
