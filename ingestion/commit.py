"""The landing log: the only place where a batch becomes real (COMMIT_PROTOCOL.md).

    landing body → CAS-1 log/{seq} → staging → CAS-2 plan/{seq} → copies → CAS-3 published/{seq}

CAS-1 commits a batch's records (by reference) and the ids that are taken in one write, so that
neither can be there without the other. CAS-2 fixes one set of files per batch, whoever derives
it. CAS-3 shows it to readers. Each is a create-if-absent: one winner, and the loser goes on with
the winner's bytes. What a crash leaves undone, the next run finishes, whoever it is.

Every entry holds the hash of the one before. A run checks the newest link; all links up to a
checkpoint were checked by whoever wrote it, and nothing before it is listed or read again.
"""

import functools
import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ingestion import ledger
from ingestion.errors import ContractError
from ingestion.headers import Head, Header
from ingestion.lake import Lake
from ingestion.proposals import Entry
from ingestion.tables import SOURCE
from ingestion.texts import Texts

logger = logging.getLogger(__name__)

CHECKPOINT_EVERY = 1_000
"""Published batches between two checkpoints: a week of polls, and one page of a listing."""

_SEALED_AT_HAND = 64
_SEQ_KEY = re.compile(r"/(\d{12})\.json\Z")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is settled for ever: every batch up to ``seq`` is published, and the chain holds."""

    seq: int = 0
    sha256: str = ""
    """Of the log's entry ``seq``."""
    sums: dict[str, int] = field(default_factory=dict)
    """``ledger.tally`` over all batches up to ``seq``, superseded ones included."""


class LandingLog:
    """The log of one source in one lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._sealed = functools.lru_cache(_SEALED_AT_HAND)(self._read_sealed)

    @staticmethod
    def key(kind: str, seq: int) -> str:
        """Return a batch's key: ``log``, ``plan``, ``published`` or ``checkpoint``."""
        return f"{kind}/{SOURCE}/{seq:012d}.json"

    @functools.cached_property
    def checkpoint(self) -> Checkpoint:
        """The newest checkpoint when it was first asked for; older ones are right as well."""
        keys = list(self._lake.keys(f"checkpoint/{SOURCE}/"))
        return Checkpoint(**json.loads(self._bytes_at(keys[-1]))) if keys else Checkpoint()

    def seqs(self, kind: str) -> list[int]:
        """Return the batches behind the checkpoint that have an entry of this kind, in order."""
        start = self.key(kind, self.checkpoint.seq)
        found = (_SEQ_KEY.search(key) for key in self._lake.keys(f"{kind}/{SOURCE}/", start))
        return [int(match[1]) for match in found if match]

    def unpublished(self) -> list[int]:
        """Return the batches that are in the log and not yet published, in order.

        Raises:
            ContractError: if the log has a hole: somebody deleted from it.
        """
        # Published first: a batch that a twin commits and publishes between the two looks is
        # then in the log without a marker, and not the other way about.
        published = set(self.seqs("published"))
        logged = self._logged()
        if surplus := published - set(logged):
            raise ContractError(
                f"Batch {min(surplus)} is published, but the landing log has no such entry. "
                f"Restore {self._lake.uri(self.key('log', min(surplus)))}."
            )
        return [seq for seq in logged if seq not in published]

    def _logged(self) -> list[int]:
        logged = self.seqs("log")
        first = self.checkpoint.seq + 1
        if logged != list(range(first, first + len(logged))):
            missing = min(set(range(first, logged[-1] + 1)) - set(logged))
            raise ContractError(
                f"The landing log has no entry {missing}, but later ones: it was deleted. Restore "
                f"{self._lake.uri(self.key('log', missing))} from the bucket's versions."
            )
        return logged

    def header(self, seq: int) -> Header:
        """Return a batch's header, after checking that it continues the one before it.

        Raises:
            ContractError: if it does not.
        """
        return self._linked(seq)[0]

    def head(self) -> Head:
        """Return the end of the log."""
        logged = self._logged()
        seq = logged[-1] if logged else self.checkpoint.seq
        if not seq:
            return Head()
        header, body = self._linked(seq)
        return self.head_of(header, hashlib.sha256(body).hexdigest())

    def head_of(self, header: Header, sha256: str = "") -> Head:
        """Return what a header says as the end of the log, whose hash is given."""
        return Head.of(header, sha256, self._sealed)

    def _linked(self, seq: int) -> tuple[Header, bytes]:
        body = self._bytes(seq)
        header = Header.from_bytes(body)
        if seq == self.checkpoint.seq:
            is_whole = hashlib.sha256(body).hexdigest() == self.checkpoint.sha256
        else:
            before = hashlib.sha256(self._bytes(seq - 1)).hexdigest() if seq > 1 else ""
            is_whole = header.prev_sha256 == before
        if not is_whole or header.seq != seq:
            raise ContractError(
                f"Entry {seq} of the landing log does not continue entry {seq - 1}: one of them "
                "was changed. Restore both from the bucket's versions."
            )
        return header, body

    def envelopes(self, header: Header) -> Texts:
        """Return the records of a batch, still encrypted.

        Raises:
            ContractError: if they are gone or were changed.
        """
        body = self._lake.get(header.body)
        if body is None or hashlib.sha256(body).hexdigest() != header.body_sha256:
            raise ContractError(
                f"The records of batch {header.seq} at {self._lake.uri(header.body)} are gone or "
                "changed. Restore them from the bucket's versions; `expire` removes those of "
                "published batches after KEEP_LANDING_DAYS."
            )
        envelopes = Texts.read(body)
        if len(envelopes) != header.new:
            raise ContractError(
                f"Batch {header.seq} promises {header.new} records, not "
                f"{len(envelopes)}. This is a bug; nothing was published."
            )
        return envelopes

    def append(self, propose: Callable[[Head], Entry | None]) -> Entry | None:
        """Commit what ``propose`` makes of the head of the log; None if it has nothing to say.

        Safe to race: whoever loses CAS-1 is asked again, with the winner as its head. Safe to
        kill: a batch is either in the log, with its records, or it is not.
        """
        lost: Entry | None = None
        while True:
            proposal = propose(self.head())
            if proposal is None:
                return None
            if lost is not None and proposal.body == lost.body:
                # The winner took none of these records: the body that was put for nothing serves.
                proposal = replace(proposal, header=replace(proposal.header, body=lost.header.body))
            else:
                self._lake.put(proposal.header.body, proposal.body, "application/json")
            for sha256, ids in proposal.sealed.items():
                self._lake.put(f"settled/{SOURCE}/{sha256}.json", ids, "application/json")
            header = proposal.header
            if self._lake.create(self.key("log", header.seq), header.to_bytes()):
                return proposal
            lost = proposal

    def _read_sealed(self, sha256: str) -> bytes:
        key = f"settled/{SOURCE}/{sha256}.json"
        body = self._bytes_at(key)
        if hashlib.sha256(body).hexdigest() != sha256:
            raise ContractError(
                f"{self._lake.uri(key)} was changed. Restore it from the bucket's versions."
            )
        return body

    def plan(self, seq: int, manifest: bytes) -> dict[str, Any]:
        """Fix the files of a batch, CAS-2, and return what stands: ours or an earlier winner's."""
        key = self.key("plan", seq)
        if not self._lake.create(key, manifest):
            manifest = self._bytes_at(key)
        fixed: dict[str, Any] = json.loads(manifest)
        return fixed

    def planned(self, seq: int) -> dict[str, Any] | None:
        """Return the fixed files of a batch, if there are any yet."""
        body = self._lake.get(self.key("plan", seq))
        return None if body is None else dict(json.loads(body))

    def mark(self, marker: dict[str, Any]) -> dict[str, Any]:
        """Show a batch to readers, CAS-3, and return the marker that stands."""
        key = self.key("published", marker["seq"])
        body = json.dumps(marker, separators=(",", ":")).encode() + b"\n"
        if not self._lake.create(key, body):
            body = self._bytes_at(key)
        standing: dict[str, Any] = json.loads(body)
        return standing

    def marker(self, seq: int) -> dict[str, Any] | None:
        """Return a batch's marker, if it is published."""
        body = self._lake.get(self.key("published", seq))
        return None if body is None else dict(json.loads(body))

    def advance_checkpoint(self, published: int) -> None:
        """Write a checkpoint if every batch up to ``published``, enough of them, is published.

        Its content follows from what is published, so whoever races writes the same bytes.

        Raises:
            ContractError: if the chain is broken anywhere behind the last checkpoint.
        """
        while published - self.checkpoint.seq >= CHECKPOINT_EVERY:
            seq = self.checkpoint.seq + CHECKPOINT_EVERY
            reached = self.verified(self.checkpoint, seq)
            body = json.dumps(asdict(reached), separators=(",", ":")).encode()
            self._lake.create(self.key("checkpoint", seq), body)
            self.__dict__["checkpoint"] = reached
            logger.info("wrote checkpoint=%d", seq)

    def verified(self, before: Checkpoint, end: int) -> Checkpoint:
        """Return the checkpoint at ``end``, after checking every link from ``before`` on.

        Raises:
            ContractError: at the first entry that does not continue the one before it.
        """
        sha256, sums = before.sha256, Counter(before.sums)
        for seq in range(before.seq + 1, end + 1):
            body = self._bytes(seq)
            if Header.from_bytes(body).prev_sha256 != sha256:
                raise ContractError(
                    f"Entry {seq} of the landing log does not continue entry {seq - 1}: one of "
                    "them was changed. Restore both from the bucket's versions."
                )
            sha256 = hashlib.sha256(body).hexdigest()
            sums.update(ledger.tally([self.marked(seq)]))
        return Checkpoint(end, sha256, dict(sorted(sums.items())))

    def marked(self, seq: int) -> dict[str, Any]:
        """Return the marker of a batch that is known to be published."""
        return dict(json.loads(self._bytes_at(self.key("published", seq))))

    def _bytes(self, seq: int) -> bytes:
        return self._bytes_at(self.key("log", seq))

    def _bytes_at(self, key: str) -> bytes:
        body = self._lake.get(key)
        if body is None:
            raise ContractError(
                f"{self._lake.uri(key)} was there and is gone. Restore it from the bucket's "
                "versions: nothing below log, plan, published and settled may ever be deleted."
            )
        return body
