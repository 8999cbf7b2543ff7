"""The landing log: the only place where a batch becomes real (COMMIT_PROTOCOL.md).

    landing body → CAS-1 log/{seq} → staging → CAS-2 plan/{seq} → copies → CAS-3 published/{seq}

CAS-1 commits a batch's records (by reference) and the ids that are taken in one write, so that
neither can be there without the other. CAS-2 fixes one set of files per batch, whoever derives
it. CAS-3 shows it to readers. Each is a create-if-absent: one winner, and the loser goes on with
the winner's bytes. What a crash leaves undone, the next run finishes, whoever it is.
"""

import hashlib
import json
import re
import uuid
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from ingestion.errors import ContractError
from ingestion.lake import Lake
from ingestion.ledger import IdRanges
from ingestion.tables import SOURCE

MAX_UNIDENTIFIED = 1_000
"""Envelopes without a usable id are remembered by digest; the window shows no more than these."""

_SEQ_KEY = re.compile(r"/(\d{12})\.json\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What CAS-1 writes: a batch, by reference, and everything taken up to it."""

    seq: int
    nonce: str
    prev_sha256: str
    body: str
    body_sha256: str
    settled: list[list[int]]
    """Every record id taken by this batch or one before it, as closed ranges."""
    unidentified: list[str]
    offered: int
    new: int
    duplicate: int
    days: list[dict[str, Any]]
    source: str
    run_id: str
    fetched_at: int
    """UTC milliseconds; the "now" of the batch, however late it is derived."""
    pages: list[dict[str, Any]]

    def to_bytes(self) -> bytes:
        """Return the bytes that the log holds."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> "Header":
        """Read what ``to_bytes`` wrote."""
        return cls(**json.loads(body))


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends."""

    seq: int = 0
    sha256: str = ""
    settled: IdRanges = field(default_factory=IdRanges)
    unidentified: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offered:
    """One record that the source offered, and the key that it is known by."""

    key: int | str
    envelope: object
    day: str


@dataclass(slots=True)
class Candidate:
    """Records on their way into one batch. It only grows; ``LandingLog.append`` judges it."""

    source: str
    run_id: str
    fetched_at: int
    records: list[Offered] = field(default_factory=list)
    duplicates: Counter[str] = field(default_factory=Counter)
    pages: list[dict[str, Any]] = field(default_factory=list)


class LandingLog:
    """The log of one source in one lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    @staticmethod
    def key(kind: str, seq: int) -> str:
        """Return the key of a batch's entry: ``log``, ``plan`` or ``published``."""
        return f"{kind}/{SOURCE}/{seq:012d}.json"

    def seqs(self, kind: str) -> list[int]:
        """Return the batches that have an entry of this kind, in order."""
        found = (_SEQ_KEY.search(key) for key in self._lake.keys(f"{kind}/{SOURCE}/"))
        return [int(match[1]) for match in found if match]

    def unpublished(self) -> list[int]:
        """Return the batches that are in the log and not yet published, in order.

        Raises:
            ContractError: if the log has a hole: somebody deleted from it.
        """
        logged = self.seqs("log")
        if logged != list(range(1, len(logged) + 1)):
            missing = min(set(range(1, logged[-1] + 1)) - set(logged))
            raise ContractError(
                f"The landing log has no entry {missing}, but later ones: it was deleted. Restore "
                f"{self._lake.uri(self.key('log', missing))} from the bucket's versions."
            )
        published = set(self.seqs("published"))
        if surplus := published - set(logged):
            raise ContractError(
                f"Batch {min(surplus)} is published, but the landing log has no such entry. "
                f"Restore {self._lake.uri(self.key('log', min(surplus)))}."
            )
        return [seq for seq in logged if seq not in published]

    def header(self, seq: int) -> Header:
        """Return a batch's header, after checking that it continues the one before it.

        Raises:
            ContractError: if it does not.
        """
        header, _ = self._entry(seq)
        before = hashlib.sha256(self._bytes(seq - 1)).hexdigest() if seq > 1 else ""
        if header.prev_sha256 != before or header.seq != seq:
            raise ContractError(
                f"Entry {seq} of the landing log does not continue entry {seq - 1}: one of them "
                "was changed. Restore both from the bucket's versions."
            )
        return header

    def head(self) -> Head:
        """Return the end of the log."""
        logged = self.seqs("log")
        if not logged:
            return Head()
        header, body = self._entry(logged[-1])
        self.header(logged[-1])
        return Head(
            header.seq,
            hashlib.sha256(body).hexdigest(),
            IdRanges(header.settled),
            tuple(header.unidentified),
        )

    def envelopes(self, header: Header) -> list[object]:
        """Return the records of a batch, still encrypted.

        Raises:
            ContractError: if they are gone or were changed.
        """
        body = self._lake.get(header.body)
        if body is None or hashlib.sha256(body).hexdigest() != header.body_sha256:
            raise ContractError(
                f"The records of batch {header.seq} at {self._lake.uri(header.body)} are gone or "
                "changed. Restore them from the bucket's versions: the log promises them."
            )
        envelopes = json.loads(body)
        if len(envelopes) != header.new:
            raise ContractError(
                f"Batch {header.seq} promises {header.new} records, not "
                f"{len(envelopes)}. This is a bug; nothing was published."
            )
        return list(envelopes)

    def append(self, candidate: Candidate) -> Header | None:
        """Commit what is new in ``candidate``; None if nothing is.

        Safe to race: whoever loses CAS-1 leaves out what the winner took and tries the next
        place. Safe to kill: a batch is either in the log, with its records, or it is not.
        """
        while True:
            head = self.head()
            header, body = self._propose(head, candidate)
            if not header.new:
                return None
            self._lake.put(header.body, body, "application/json")
            if self._lake.create(self.key("log", header.seq), header.to_bytes()):
                return header

    def _propose(self, head: Head, candidate: Candidate) -> tuple[Header, bytes]:
        seen: set[int | str] = set(head.unidentified)
        new: list[Offered] = []
        duplicates = Counter(candidate.duplicates)
        for record in candidate.records:
            if record.key in seen or (isinstance(record.key, int) and record.key in head.settled):
                duplicates[record.day] += 1
            else:
                seen.add(record.key)
                new.append(record)
        offered = duplicates + Counter(record.day for record in new)
        ids = [record.key for record in new if isinstance(record.key, int)]
        digests = [record.key for record in new if isinstance(record.key, str)]
        seq, nonce = head.seq + 1, uuid.uuid4().hex
        body = json.dumps([record.envelope for record in new], separators=(",", ":")).encode()
        header = Header(
            seq=seq,
            nonce=nonce,
            prev_sha256=head.sha256,
            body=f"landing/{SOURCE}/{seq:012d}/{nonce}.json",
            body_sha256=hashlib.sha256(body).hexdigest(),
            settled=[[low, high] for low, high in head.settled.union(ids)],
            unidentified=[*head.unidentified, *digests][-MAX_UNIDENTIFIED:],
            offered=offered.total(),
            new=len(new),
            duplicate=duplicates.total(),
            days=[
                {"arrived_date": day, "offered": offered[day], "duplicate": duplicates[day]}
                for day in sorted(offered)
            ],
            source=candidate.source,
            run_id=candidate.run_id,
            fetched_at=candidate.fetched_at,
            pages=candidate.pages,
        )
        return header, body

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

    def _entry(self, seq: int) -> tuple[Header, bytes]:
        body = self._bytes(seq)
        return Header.from_bytes(body), body

    def _bytes(self, seq: int) -> bytes:
        return self._bytes_at(self.key("log", seq))

    def _bytes_at(self, key: str) -> bytes:
        body = self._lake.get(key)
        if body is None:
            raise ContractError(
                f"{self._lake.uri(key)} was there and is gone. Restore it from the bucket's "
                "versions: nothing below log, plan and published may ever be deleted."
            )
        return body
