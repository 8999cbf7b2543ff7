"""The protocol's variants that must hold, each with the bounds in which it is explored whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.explorer import IDLE, Exploration, Move, explore
from tests.chaos.model import LAND, REDERIVE, REPLAY, Lake, LandingLog, with_changes


@dataclass(frozen=True, slots=True)
class Case:
    """One exploration."""

    name: str
    protocol: Callable[[], LandingLog]
    runners: int = 2
    bounds: dict[str, Any] = field(default_factory=dict)
    quick: dict[str, Any] = field(default_factory=dict)
    """What is smaller where there is no time for the whole."""
    refuted_by: str = ""
    """A word of the fault that has to be found; empty where there must be none."""

    def explore(self, is_quick: bool = False) -> Exploration:
        protocol = self.protocol()
        for name, value in {**self.bounds, **(self.quick if is_quick else {})}.items():
            setattr(protocol, name, value)
        return explore(protocol, self.runners)


class Takes412ForLost(LandingLog):
    """Does not compare bytes after a lost reply: an extra look, because nothing is new then."""

    def _doubt(self, lake: Lake, version: int, seq: int, batch: Any) -> list[Move]:
        return [(f"takes its own log/{seq} for a winner's", lake, ("propose", batch.body))]


class TwoListings(LandingLog):
    """Lists published batches, then the log: two looks, and a twin may act between them."""

    def _list(self, lake: Lake, version: int) -> list[Move]:
        marked = tuple(seq for seq, batch in enumerate(lake.log, 1) if batch.marked)
        return [("lists what is published", lake, ("listed", marked))]

    def _listed(self, lake: Lake, version: int, marked: tuple[int, ...]) -> list[Move]:
        return self._compared(lake, marked, len(lake.log))

    def _compared(self, lake: Lake, marked: tuple[int, ...], end: int) -> list[Move]:
        if marked and marked[-1] > end:
            return [("finds a marker without an entry", lake._replace(alarm=True), IDLE)]
        for seq in range(1, end + 1):
            if seq not in marked:
                return [(f"lists: {seq} is unpublished", lake, ("stage", seq))]
        return [("lists: nothing is unpublished", lake, IDLE)]


class WholePublications(LandingLog):
    """Publishes in one step, for logs that are longer than single steps allow."""

    def _stage(self, lake: Lake, version: int, seq: int) -> list[Move]:
        batch = lake.log[seq - 1]
        if batch.marked:
            return [(f"finds {seq} published", lake, ("list",))]
        refused = batch.body & self.unreadable[version]
        raw = batch.body & ~refused
        after = with_changes(lake, seq, plan=version, raw=raw, refused=refused, marked=True)
        return [(f"publishes {seq}, as version {version} reads it", after, ("list",))]


ONE_ID = {"ids": 1, "unreadable": (1, 0)}
TWO_IDS = {"ids": 2, "unreadable": (2, 0)}
ONE_ID_TWO_REPLAYERS = {"ids": 1, "unreadable": (1, 0, 0), "most_operations": 2}
GATE = {"has_gate": True, "finishers": (1,)}
REPLAYING = {"programs": (LAND, REPLAY)}
EVERYTHING = {"programs": (LAND, REPLAY, REDERIVE)}

RIGHT = (
    Case("landing log, three ids, version skew", LandingLog),
    Case("three runners", LandingLog, 3, TWO_IDS, quick=ONE_ID),
    Case("a 412 is always taken for a lost race", Takes412ForLost, quick=TWO_IDS),
    Case("compaction", LandingLog, 2, {"has_compaction": True}, quick=TWO_IDS),
    Case("checkpoint", LandingLog, 2, {"has_checkpoint": True}, quick=TWO_IDS),
    Case("two listings", TwoListings, 2, TWO_IDS),
    Case("the gate of the check", LandingLog, 2, GATE, TWO_IDS),
    Case("replay", LandingLog, 2, TWO_IDS | REPLAYING, {"most_operations": 2}),
    Case(
        "two replayers",
        WholePublications,
        3,
        ONE_ID_TWO_REPLAYERS | REPLAYING | {"most_operations": 3},
        {"most_operations": 2},
    ),
    Case("replay and re-derivation", LandingLog, 2, ONE_ID | EVERYTHING, {"most_operations": 2}),
    Case(
        "long logs of replays and re-derivations",
        WholePublications,
        2,
        ONE_ID | EVERYTHING | {"most_operations": 5},
        {"most_operations": 4},
    ),
    Case(
        "long logs of two ids",
        WholePublications,
        2,
        TWO_IDS | EVERYTHING,
        {"most_operations": 2},
    ),
)
