"""The protocol broken in one place at a time: designs that somebody would write, all refuted.

If the search did not find what each of these does wrong, it would prove nothing about the others.
"""

from __future__ import annotations

from typing import Any

from tests.chaos.explorer import IDLE, Move, Place
from tests.chaos.model import LAND, REPLAY, Lake, LandingLog, with_changes
from tests.chaos.variants import (
    EVERYTHING,
    GATE,
    ONE_ID,
    ONE_ID_TWO_REPLAYERS,
    REPLAYING,
    TWO_IDS,
    Case,
    TwoListings,
    WholePublications,
)

# ---------- broken: landing


class DataThenWatermark(LandingLog):
    def _propose(self, lake: Lake, version: int, fetched: int) -> list[Move]:
        return super()._propose(lake, version, fetched & ~lake.watermark)

    def _create(self, lake: Lake, version: int, seq: int, batch: Any) -> list[Move]:
        batch = batch._replace(settled=0)
        moves = super()._create(lake, version, seq, batch)
        on: Place = ("watermark", batch.body)
        return [(say, after, on if place == ("list",) else place) for say, after, place in moves]

    def _watermark(self, lake: Lake, version: int, body: int) -> list[Move]:
        after = lake._replace(watermark=lake.watermark | body)
        return [("advances the watermark", after, ("list",))]


class WatermarkThenData(LandingLog):
    def _propose(self, lake: Lake, version: int, fetched: int) -> list[Move]:
        moves = super()._propose(lake, version, fetched & ~lake.watermark)
        place = moves[0][2]
        if place[0] != "create":
            return moves
        seq, batch = place[1:]
        after = lake._replace(watermark=lake.watermark | batch.body)
        return [("advances the watermark", after, ("create", seq, batch._replace(settled=0)))]


class UnconditionalPut(LandingLog):
    def _create(self, lake: Lake, version: int, seq: int, batch: Any) -> list[Move]:
        if len(lake.log) < seq:
            return super()._create(lake, version, seq, batch)
        after = with_changes(lake, seq, body=batch.body, settled=batch.settled)
        return [(f"overwrites log/{seq}", after, ("list",))]


class HeadThenPut(UnconditionalPut):
    def _create(self, lake: Lake, version: int, seq: int, batch: Any) -> list[Move]:
        if len(lake.log) >= seq:
            return [(f"sees that log/{seq} is there", lake, self._after_lost(batch))]
        return [(f"sees that log/{seq} is free", lake, ("put", seq, batch))]

    def _put(self, lake: Lake, version: int, seq: int, batch: Any) -> list[Move]:
        return super()._create(lake, version, seq, batch)


class NoRollForward(LandingLog):
    def _create(self, lake: Lake, version: int, seq: int, batch: Any) -> list[Move]:
        moves = super()._create(lake, version, seq, batch)
        return [(s, after, ("stage", seq) if p == ("list",) else p) for s, after, p in moves]

    def _list(self, lake: Lake, version: int) -> list[Move]:
        return [("has published its own batch, and looks no further", lake, IDLE)]


class LostCasKeepsBody(LandingLog):
    def _after_lost(self, batch: Any) -> Place:
        return (
            ("again", batch) if batch.kind == LAND and not batch.of else super()._after_lost(batch)
        )

    def _again(self, lake: Lake, version: int, batch: Any) -> list[Move]:
        seq = len(lake.log) + 1
        return [(f"tries the same records at {seq}", lake, ("create", seq, batch))]


class NoPlanCas(LandingLog):
    def _plan(self, lake: Lake, version: int, seq: int) -> list[Move]:
        return [(f"copies its own files of {seq}", lake, ("copy_raw", seq, version))]

    def _stage(self, lake: Lake, version: int, seq: int) -> list[Move]:
        return super()._stage(with_changes(lake, seq, plan=None), version, seq)


class MarkerBeforeCopies(LandingLog):
    def _plan(self, lake: Lake, version: int, seq: int) -> list[Move]:
        moves = super()._plan(lake, version, seq)
        return [(s, a, ("early", *p[1:]) if p[0] == "copy_raw" else p) for s, a, p in moves]

    def _early(self, lake: Lake, version: int, seq: int, planned: int) -> list[Move]:
        after = with_changes(lake, seq, marked=True)
        return [(f"marks {seq} published", after, ("copy_raw", seq, planned))]


class CompactionKeepsStaging(LandingLog):
    has_compaction = True

    def _maintain(self, lake: Lake, seq: int, batch: Any) -> list[tuple[str, Lake]]:
        return super()._maintain(lake, seq, batch._replace(staged=0))


class CompactionDeletesFirst(LandingLog):
    has_compaction = True

    def _maintain(self, lake: Lake, seq: int, batch: Any) -> list[tuple[str, Lake]]:
        found = super()._maintain(lake, seq, batch)
        if batch.raw and batch.held == batch.raw:
            after = with_changes(lake, seq, raw=0, rewritten=True)
            found.append((f"a rewriter deletes the small files of {seq}, all read", after))
        return found


class CompactionMergesWhatIsLeft(LandingLog):
    """A second rewriter does not ask whether all the files are there that it was to merge."""

    has_compaction = True

    def _maintain(self, lake: Lake, seq: int, batch: Any) -> list[tuple[str, Lake]]:
        found = super()._maintain(lake, seq, batch)
        if batch.rewritten and batch.compacted != batch.raw:
            after = with_changes(lake, seq, compacted=batch.raw)
            found.append((f"a second rewriter merges what is left of {seq}", after))
        return found


# ---------- broken: checkpoint, listings, gate


class CheckpointAtHead(LandingLog):
    has_checkpoint = True

    def _save(self, lake: Lake, version: int, seq: int) -> list[Move]:
        return super()._save(lake, version, len(lake.log))


class LogListedFirst(TwoListings):
    def _list(self, lake: Lake, version: int) -> list[Move]:
        return [("lists the log", lake, ("listed", len(lake.log)))]

    def _listed(self, lake: Lake, version: int, end: Any) -> list[Move]:
        marked = tuple(seq for seq, batch in enumerate(lake.log, 1) if batch.marked)
        return self._compared(lake, marked, end)


class PublishesUnchecked(LandingLog):
    def _plan(self, lake: Lake, version: int, seq: int) -> list[Move]:
        checked = lake.log[seq - 1].checked
        moves = super()._plan(with_changes(lake, seq, checked=3), version, seq)
        return [(say, with_changes(after, seq, checked=checked), on) for say, after, on in moves]


class ApprovesTheBatch(PublishesUnchecked):
    """The approval names the batch and not its files, so it serves for anybody's files."""

    def _plan(self, lake: Lake, version: int, seq: int) -> list[Move]:
        if not lake.log[seq - 1].checked:
            return LandingLog._plan(self, lake, version, seq)
        return super()._plan(lake, version, seq)


# ---------- broken: replay and re-derivation


class ReplayBeforeRecovery(LandingLog):
    """Looks at what readers see, and not at a replay that is committed and not yet published."""

    def _in_quarantine(self, lake: Lake) -> int:
        shown = [batch if batch.marked else batch._replace(taken=0) for batch in lake.log]
        return super()._in_quarantine(lake._replace(log=tuple(shown)))


class ReplayIgnoresLostCas(LandingLog):
    def _after_lost(self, batch: Any) -> Place:
        is_replay = batch.kind == REPLAY and not batch.of
        return ("again", batch) if is_replay else super()._after_lost(batch)

    def _again(self, lake: Lake, version: int, batch: Any) -> list[Move]:
        seq = len(lake.log) + 1
        new = batch._replace(settled=lake.log[-1].settled)
        return [(f"tries the same records at {seq}", lake, ("create", seq, new))]


class ReplayRefusalsCountTwice(LandingLog):
    """Readers leave out a refusal only if a replay made it good; one may refuse it once more."""

    def readers_view(self, lake: Lake) -> tuple[list[int], list[int]]:
        without = [b._replace(refused=0) if b.taken else b for b in lake.log]
        raw, refused = super().readers_view(lake._replace(log=tuple(without)))
        return raw, refused + [b.refused for b in lake.log if b.taken and b.marked and b.refused]


class RederiveKeepsReplayed(LandingLog):
    def _rederive(self, lake: Lake, version: int, of: int = 0) -> list[Move]:
        found = []
        for say, after, place in super()._rederive(lake, version, of):
            if place[0] == "create":
                old = lake.log[place[2].of - 1]
                place = ("create", place[1], place[2]._replace(body=old.body, taken=old.taken))
            found.append((say, after, place))
        return found


class RederiveIgnoresLostCas(LandingLog):
    def _after_lost(self, batch: Any) -> Place:
        return ("again", batch) if batch.of else super()._after_lost(batch)

    def _again(self, lake: Lake, version: int, batch: Any) -> list[Move]:
        seq = len(lake.log) + 1
        new = batch._replace(settled=lake.log[-1].settled)
        return [(f"tries the same records at {seq}", lake, ("create", seq, new))]


class RederiveSeesPublishedOnly(LandingLog):
    """Asks readers whether a batch is replaced already, and not the log."""

    def _rederive(self, lake: Lake, version: int, of: int = 0) -> list[Move]:
        shown = [batch if batch.marked else batch._replace(of=0) for batch in lake.log]
        moves = super()._rederive(lake._replace(log=tuple(shown)), version, of)
        return [(say, lake, place) for say, _, place in moves]


class RederivedReplayClaimsAll(WholePublications):
    """Claims what the old replay took, also what a later replay has taken from it."""

    def _rederive(self, lake: Lake, version: int, of: int = 0) -> list[Move]:
        found = []
        for say, after, place in super()._rederive(lake, version, of):
            if place[0] == "create":
                old = lake.log[place[2].of - 1]
                place = ("create", place[1], place[2]._replace(taken=old.taken))
            found.append((say, after, place))
        return found


BROKEN = (
    Case("data, then watermark", DataThenWatermark, refuted_by="doubled"),
    Case("watermark, then data", WatermarkThenData, refuted_by="lost"),
    Case("unconditional PUT", UnconditionalPut, refuted_by="overwritten"),
    Case("HEAD, then PUT", HeadThenPut, refuted_by="overwritten"),
    Case("no roll-forward", NoRollForward, refuted_by="lost"),
    Case("the same records again after a lost CAS-1", LostCasKeepsBody, refuted_by="doubled"),
    Case("no plan CAS under version skew", NoPlanCas, refuted_by="doubled"),
    Case("marker before copies", MarkerBeforeCopies, refuted_by="lost"),
    Case("compaction without deleting staging", CompactionKeepsStaging, refuted_by="doubled"),
    Case("compaction that deletes before it writes", CompactionDeletesFirst, refuted_by="lost"),
    Case("compaction that merges what is left", CompactionMergesWhatIsLeft, refuted_by="lost"),
    Case("checkpoint past an unpublished batch", CheckpointAtHead, refuted_by="lost"),
    Case("the log listed before what is published", LogListedFirst, refuted_by="false alarm"),
    Case("publish asks for no approval", PublishesUnchecked, 2, GATE, {}, "unchecked"),
    Case("an approval names no files", ApprovesTheBatch, 2, GATE, {}, "unchecked"),
    Case(
        "replay proposed before recovery",
        ReplayBeforeRecovery,
        2,
        TWO_IDS | REPLAYING,
        {},
        "doubled",
    ),
    Case(
        "replay ignores a lost CAS-1",
        ReplayIgnoresLostCas,
        3,
        ONE_ID_TWO_REPLAYERS | REPLAYING,
        {},
        "doubled",
    ),
    Case(
        "a replay's refusals count beside the old ones",
        ReplayRefusalsCountTwice,
        2,
        TWO_IDS | REPLAYING,
        {},
        "doubled",
    ),
    Case(
        "re-derivation of replayed records",
        RederiveKeepsReplayed,
        2,
        TWO_IDS | EVERYTHING,
        {},
        "doubled",
    ),
    Case(
        "re-derivation ignores a lost CAS-1",
        RederiveIgnoresLostCas,
        2,
        ONE_ID | EVERYTHING,
        {},
        "doubled",
    ),
    Case(
        "re-derivation of what is being replaced",
        RederiveSeesPublishedOnly,
        2,
        ONE_ID | EVERYTHING,
        {},
        "doubled",
    ),
    Case(
        "a re-derived replay claims all it once took",
        RederivedReplayClaimsAll,
        2,
        ONE_ID | EVERYTHING | {"most_operations": 5},
        {},
        "lost",
    ),
)
