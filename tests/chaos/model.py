"""The landing log as a state model: what COMMIT_PROTOCOL.md promises, before any real code.

One step is one read or write of the lake. Ids and versions are bits: a version of the code (or
of the key ring) cannot read some ids and quarantines them. A bucket's keys are functions of a
batch's number, so that what overwrites what is part of the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.chaos.explorer import IDLE, Move, Place

LAND, REPLAY, REDERIVE = "land", "replay", "rederive"
"""What a run sets out to do. A re-derivation is a batch of the kind of the one it replaces."""


class Batch(NamedTuple):
    """Everything that the bucket holds about one number of the log."""

    kind: str
    body: int
    settled: int
    """The watermark, in the same object as the body's address: one write for both."""
    of: int = 0
    """The number that a re-derivation replaces."""
    taken: int = 0
    """What a replay takes out of the quarantine of batches before it, from the moment of CAS-1."""
    staged: int = 0
    """Versions that have derived this batch, each into files of its own."""
    checked: int = 0
    """Versions whose files passed the check."""
    plan: int | None = None
    raw: int = 0
    refused: int = 0
    marked: bool = False
    held: int = 0
    """Rows that a rewriter has read and not yet written; it may sleep for as long as it likes."""
    compacted: int = 0
    """Rows of raw that a rewriter has written under another name."""
    rewritten: bool = False
    """The small files were deleted: from then on a row of theirs is a row twice."""


class Lake(NamedTuple):
    """The source and the bucket."""

    offered: int = 0
    log: tuple[Batch, ...] = ()
    checkpoint: int = 0
    watermark: int = 0
    """Only where a broken protocol keeps it in a place of its own."""
    alarm: bool = False
    """A run has said that the log is damaged, which nobody ever damages here."""


class LandingLog:
    """The protocol as it is meant."""

    ids = 3
    unreadable = (0b100, 0)
    """By version; runner 0 runs version 0, runner 1 version 1, and so on in turn."""
    programs: tuple[str, ...] = (LAND,)
    """What a runner may set out to do; the first is what it does to complete a lake."""
    has_gate = False
    has_checkpoint = False
    has_compaction = False
    most_operations = 3
    """Replays and re-derivations together; they could go on for ever, where landing cannot."""
    finishers: tuple[int, ...] = (0, 1)

    # ---------- one step of a runner

    def start(self) -> Lake:
        return Lake()

    def moves(self, lake: Lake, runner: int, place: Place) -> list[Move]:
        step = getattr(self, f"_{place[0]}")
        moves: list[Move] = step(lake, runner % len(self.unreadable), *place[1:])
        return moves

    def _idle(self, lake: Lake, version: int) -> list[Move]:
        landing: list[Move] = [("fetches", lake, ("propose", lake.offered))]
        return landing + [
            (f"sets out to {program}", lake, (program,)) for program in self.programs[1:]
        ]

    def _propose(self, lake: Lake, version: int, fetched: int) -> list[Move]:
        settled = lake.log[-1].settled if lake.log else 0
        new = fetched & ~settled
        if not new:
            return [("reads the head: nothing is new", lake, ("list",))]
        batch = Batch(LAND, new, settled | new)
        return [(f"reads the head: {ids_of(new)} new", lake, ("create", len(lake.log) + 1, batch))]

    def _create(self, lake: Lake, version: int, seq: int, batch: Batch) -> list[Move]:
        if len(lake.log) >= seq:
            return [(f"loses CAS-1 of {seq}", lake, self._after_lost(batch))]
        after = lake._replace(log=(*lake.log, batch))
        return [
            (f"wins CAS-1 of {seq} with {ids_of(batch.body)}", after, ("list",)),
            (f"wins CAS-1 of {seq}, but the reply is lost", after, ("doubt", seq, batch)),
            (f"wins CAS-1 of {seq}, but gives up without a reply", after, IDLE),
        ]

    def _after_lost(self, batch: Batch) -> Place:
        if batch.of:
            return (REDERIVE, batch.of)
        return (REPLAY,) if batch.kind == REPLAY else ("propose", batch.body)

    def _doubt(self, lake: Lake, version: int, seq: int, batch: Batch) -> list[Move]:
        return [(f"finds its own bytes at log/{seq}", lake, ("list",))]

    def _list(self, lake: Lake, version: int) -> list[Move]:
        """Recover: the first batch without a marker is the next to finish, whoever began it."""
        for seq in range(lake.checkpoint + 1, len(lake.log) + 1):
            if not lake.log[seq - 1].marked:
                return [(f"lists: {seq} is unpublished", lake, ("stage", seq))]
        after: Place = ("save", len(lake.log)) if self.has_checkpoint else IDLE
        return [("lists: nothing is unpublished", lake, after)]

    def _save(self, lake: Lake, version: int, seq: int) -> list[Move]:
        return [(f"saves checkpoint {seq}", lake._replace(checkpoint=seq), IDLE)]

    def _stage(self, lake: Lake, version: int, seq: int) -> list[Move]:
        batch = lake.log[seq - 1]
        on: Place = ("check" if self.has_gate else "plan", seq)
        if batch.plan is not None:
            return [(f"finds a plan of {seq}", lake, ("plan", seq))]
        after = with_changes(lake, seq, staged=batch.staged | 1 << version)
        return [(f"stages {seq}", after, on)]

    def _check(self, lake: Lake, version: int, seq: int) -> list[Move]:
        batch = lake.log[seq - 1]
        if batch.body & self.unreadable[version]:
            forced = ("plan", seq)
            return [
                (f"sees the check of {seq} fail", lake, IDLE),
                (f"publishes {seq} all the same", lake, forced),
            ]
        after = with_changes(lake, seq, checked=batch.checked | 1 << version)
        return [(f"approves its files of {seq}", after, ("plan", seq))]

    def _plan(self, lake: Lake, version: int, seq: int) -> list[Move]:
        batch = lake.log[seq - 1]
        if batch.plan is not None:
            planned, saying, after = batch.plan, "adopts the plan", lake
        elif self.has_gate and not batch.checked & 1 << version:
            return [(f"is refused: its files of {seq} are unchecked", lake, IDLE)]
        else:
            planned, saying = version, "wins CAS-2"
            after = with_changes(lake, seq, plan=version)
        moves: list[Move] = [
            (f"{saying} of {seq}", after, ("copy_raw", seq, planned)),
        ]
        if batch.plan is None:
            moves += [
                (f"wins CAS-2 of {seq}, but the reply is lost", after, ("plan", seq)),
                (f"wins CAS-2 of {seq}, but gives up without a reply", after, IDLE),
            ]
        return moves

    def _copy_raw(self, lake: Lake, version: int, seq: int, planned: int) -> list[Move]:
        batch = lake.log[seq - 1]
        if not batch.staged & 1 << planned:
            return [(f"finds the staged files of {seq} gone", lake, IDLE)]
        raw = batch.body & ~self.unreadable[planned]
        on = ("copy_refused", seq, planned)
        return [(f"copies raw of {seq}: {ids_of(raw)}", with_changes(lake, seq, raw=raw), on)]

    def _copy_refused(self, lake: Lake, version: int, seq: int, planned: int) -> list[Move]:
        batch = lake.log[seq - 1]
        if not batch.staged & 1 << planned:
            return [(f"finds the staged files of {seq} gone", lake, IDLE)]
        refused = batch.body & self.unreadable[planned]
        after = with_changes(lake, seq, refused=refused)
        return [(f"copies quarantine of {seq}: {ids_of(refused)}", after, ("mark", seq))]

    def _mark(self, lake: Lake, version: int, seq: int) -> list[Move]:
        after = with_changes(lake, seq, marked=True)
        return [(f"marks {seq} published", after, ("list",))]

    # ---------- replay and re-derivation: proposals made of the head, like every other

    def _replay(self, lake: Lake, version: int) -> list[Move]:
        body = self._in_quarantine(lake) & ~self.unreadable[version]
        if not body or self._is_long(lake):
            return [("finds nothing to replay", lake, ("list",))]
        batch = Batch(REPLAY, body, lake.log[-1].settled, taken=body)
        return [(f"wants to replay {ids_of(body)}", lake, ("create", len(lake.log) + 1, batch))]

    def _in_quarantine(self, lake: Lake) -> int:
        """Return what is refused and published, and not taken by a replay that is in the log."""
        replaced = superseded(lake.log)
        found = 0
        for seq, batch in enumerate(lake.log, 1):
            if batch.marked and seq not in replaced:
                found |= batch.refused & ~self._taken(lake, seq)
        return found

    def _rederive(self, lake: Lake, version: int, of: int = 0) -> list[Move]:
        """Replace a published batch; what a later replay took out of it stays with the replay."""
        replaced = superseded(lake.log)
        moves: list[Move] = []
        for seq, old in enumerate(lake.log, 1):
            if of not in (0, seq) or seq in replaced or not old.marked:
                continue
            if not self._is_long(lake):
                body = old.body & ~(old.refused & self._taken(lake, seq))
                new = Batch(old.kind, body, lake.log[-1].settled, seq, old.taken & body)
                place = ("create", len(lake.log) + 1, new)
                moves.append((f"wants to derive {seq} again: {ids_of(body)}", lake, place))
        return moves or [("finds nothing to derive again", lake, ("list",))]

    def _is_long(self, lake: Lake) -> bool:
        return sum(b.kind == REPLAY or b.of > 0 for b in lake.log) >= self.most_operations

    def _taken(self, lake: Lake, seq: int) -> int:
        replaced = superseded(lake.log)
        return union([b.taken for n, b in enumerate(lake.log, 1) if n > seq and n not in replaced])

    # ---------- what happens without a runner

    def weather(self, lake: Lake) -> list[tuple[str, Lake]]:
        found = [
            (f"id {i} appears in the source", lake._replace(offered=lake.offered | 1 << i))
            for i in range(self.ids)
            if not lake.offered & 1 << i
        ]
        if self.has_compaction:
            for seq, batch in enumerate(lake.log, 1):
                found += self._maintain(lake, seq, batch)
        return found

    def _maintain(self, lake: Lake, seq: int, batch: Batch) -> list[tuple[str, Lake]]:
        """Rewrite a published batch: its staged files go first, so that no zombie copies them.

        Rewriters may race and sleep: what one has read it may write at any later time.
        """
        if not batch.marked:
            return []
        if batch.staged:
            return [(f"maintenance deletes staging of {seq}", with_changes(lake, seq, staged=0))]
        found = []
        if batch.raw and batch.held != batch.raw:
            after = with_changes(lake, seq, held=batch.raw)
            found.append((f"a rewriter reads raw of {seq}", after))
        if batch.held and batch.compacted != batch.held:
            after = with_changes(lake, seq, compacted=batch.held)
            found.append((f"a rewriter writes the merged rows of {seq}", after))
        if batch.raw and batch.compacted == batch.raw:
            after = with_changes(lake, seq, raw=0, rewritten=True)
            found.append((f"a rewriter deletes the small files of {seq}", after))
        return found

    # ---------- what must be true

    def readers_view(self, lake: Lake) -> tuple[list[int], list[int]]:
        """Return the rows of raw and of quarantine by file, as the tables' readers count them.

        A refused row counts until a later replay has the record, in raw or once more in quarantine.
        While a batch is rewritten its rows are there twice; the view above raw takes a record once.
        """
        published = [batch if batch.marked else None for batch in lake.log]
        replaced = superseded(batch for batch in published if batch)
        shown = {n: b for n, b in enumerate(published, 1) if b and n not in replaced}
        raw = [
            rows
            for b in shown.values()
            for rows in ((b.raw, b.compacted) if b.rewritten else (b.raw | b.compacted,))
            if rows
        ]
        refused = []
        for seq, batch in shown.items():
            later = [
                b.raw | b.compacted | b.refused for n, b in shown.items() if n > seq and b.taken
            ]
            if rows := batch.refused & ~union(later):
                refused.append(rows)
        return raw, refused

    def wrong(self, lake: Lake) -> str:
        """Judge what a reader sees: batches with a marker, each exactly its records."""
        if lake.alarm:
            return "false alarm"
        raw, refused = self.readers_view(lake)
        seen = 0
        for rows in raw + refused:
            if seen & rows:
                return f"{ids_of(seen & rows)} doubled"
            seen |= rows
        for seq, batch in enumerate(lake.log, 1):
            if batch.marked and batch.body & ~seen:
                return (
                    f"{ids_of(batch.body & ~seen)} lost: in batch {seq}, published, and not there"
                )
            if self.has_gate and batch.marked and not batch.checked & 1 << (batch.plan or 0):
                return f"batch {seq} published unchecked"
        return ""

    def broken_by(self, before: Lake, after: Lake) -> str:
        """Judge a step: what is in the log or before a reader's eyes stays."""
        if after.log is before.log:
            return ""
        for seq, (old, new) in enumerate(zip(before.log, after.log, strict=False), 1):
            if old[:4] != new[:4]:
                return f"batch {seq} overwritten: {ids_of(old.body)} gone for {ids_of(new.body)}"
        raw, refused = map(union, self.readers_view(before))
        raw_after, refused_after = map(union, self.readers_view(after))
        if gone := (raw | refused) & ~(raw_after | refused_after):
            return f"{ids_of(gone)} lost: a reader saw it before"
        if changed := raw & refused_after | refused & raw_after:
            shown = [new for old, new in zip(before.log, after.log, strict=False) if old != new]
            if not any(batch.kind == REPLAY or batch.of for batch in shown):
                return f"{ids_of(changed)} changed sides before a reader's eyes"
        return ""

    def unfinished(self, lake: Lake) -> str:
        raw, refused = self.readers_view(lake)
        if lost := lake.offered & ~(union(raw) | union(refused)):
            return f"{ids_of(lost)} lost: one run, alone, completed and does not show it"
        if not all(batch.marked for batch in lake.log):
            return "one run, alone, leaves a batch unpublished"
        return ""


def superseded(log: Iterable[Batch]) -> set[int]:
    return {batch.of for batch in log if batch.of}


def with_changes(lake: Lake, seq: int, **changes: object) -> Lake:
    batch = lake.log[seq - 1]._replace(**changes)  # type: ignore[arg-type]
    return lake._replace(log=(*lake.log[: seq - 1], batch, *lake.log[seq:]))


def union(sets: list[int]) -> int:
    united = 0
    for one in sets:
        united |= one
    return united


def ids_of(bits: int) -> str:
    return "{" + ",".join(str(i) for i in range(bits.bit_length()) if bits >> i & 1) + "}"
