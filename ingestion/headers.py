"""Entries of the landing log: what one says, and what is known once it has been read. No I/O.

Fields that came later have defaults, so that a log that an earlier version began goes on.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, fields
from typing import Any, Self

from ingestion.ledger import IdRanges
from ingestion.settled import Read, Settled

RECENT_IDS = 1_000
"""Ids whose digests are kept: as many as a window shows, so that every overlap is covered."""

DIGEST_BYTES = 8
"""Enough that two plaintexts of one id are told apart; the header stays at about 11 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What CAS-1 writes: a batch, by reference, and everything taken up to it."""

    seq: int
    nonce: str
    prev_sha256: str
    body: str
    body_sha256: str
    settled: list[list[int]]
    """Every record id taken by this batch or one before it, as closed ranges; see ``sealed``."""
    unidentified: list[str]
    """Keys of the newest records that have no id of their own, conflicts among them."""
    offered: int
    new: int
    """Records in the body."""
    duplicate: int
    days: list[dict[str, Any]]
    """Per arrival day: offered, duplicate, replayed."""
    source: str
    """Who brought the records: api, dumps, reconcile or replay."""
    run_id: str
    fetched_at: int
    """UTC milliseconds; the "now" of the batch, however late it is derived."""
    pages: list[dict[str, Any]]
    conflict: int = 0
    """So many records at the end of the body claim an id that another record has."""
    recent: dict[str, Any] = field(default_factory=dict)
    """``Recent.as_json``: by what an id that is offered again with another content is noticed."""
    missing: list[list[int]] = field(default_factory=list)
    """Ranges of ids that this batch overtook, where the source numbers without gaps."""
    replayed: int = 0
    """Records taken out of quarantine by this batch. Negative where a batch is derived again from
    which a later replay took records: they are no longer in its quarantine."""
    replayed_reasons: dict[str, int] = field(default_factory=dict)
    replayed_ids: list[list[int]] = field(default_factory=list)
    times: list[list[int]] = field(default_factory=list)
    """``[fetched_at, count]`` in the body's order, where records were fetched at another time
    than the batch: a record is judged by its own, however often it is derived."""
    supersedes: list[int] = field(default_factory=list)
    """The batches whose records this one derives again; readers leave those out from then on."""
    superseded: list[list[int]] = field(default_factory=list)
    """Every batch that this one or one before it supersedes, as ranges."""
    sealed: list[list[Any]] = field(default_factory=list)
    """``Settled.seals``: the taken ids that lie in objects of their own."""
    replays: list[int] = field(default_factory=list)
    """Every batch up to this one whose source is replay."""

    def to_bytes(self) -> bytes:
        """Return the bytes that the log holds."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps(told, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Read what ``to_bytes`` wrote, by this version or an earlier one."""
        return cls(**json.loads(body))

    def fetched_times(self) -> list[int]:
        """Return when each record of the body was fetched, UTC milliseconds."""
        if not self.times:
            return [self.fetched_at] * self.new
        return [at for at, count in self.times for _ in range(count)]


class Recent:
    """Digests of what the newest ids held; comparable only under the pseudonym key ``by``."""

    def __init__(self, by: str, digests: Mapping[int, bytes] | None = None) -> None:
        self.by = by
        self._digests = dict(digests or {})

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what ``as_json`` wrote, or nothing."""
        packed = base64.b64decode(stored.get("digests", ""))
        ids = [i for low, high in stored.get("ids", ()) for i in range(low, high + 1)]
        cuts = range(0, len(packed), DIGEST_BYTES)
        digests = (packed[cut : cut + DIGEST_BYTES] for cut in cuts)
        return cls(str(stored.get("by", "")), dict(zip(ids, digests, strict=True)))

    def as_json(self) -> dict[str, Any]:
        """Return ids as ranges and their digests, ascending, as one base64 text."""
        ids = sorted(self._digests)
        packed = b"".join(self._digests[i] for i in ids)
        return {
            "by": self.by,
            "ids": [list(pair) for pair in IdRanges((i, i) for i in ids)],
            "digests": base64.b64encode(packed).decode(),
        }

    def holds(self, record_id: int, by: str) -> bool:
        """Tell whether there is something to compare with under this pseudonym key."""
        return by == self.by and record_id in self._digests

    def any_of(self, ids: Set[int], by: str) -> bool:
        """Tell whether there is something to compare with for one of these ids."""
        return by == self.by and not self._digests.keys().isdisjoint(ids)

    def contradicts(self, record_id: int, digest: bytes | None) -> bool:
        """Tell whether the id is known with another content. Unreadable contradicts nothing."""
        return digest is not None and self._digests.get(record_id, digest) != digest

    def renewed(self, by: str, digests: Mapping[int, bytes]) -> Self:
        """Return these and ``digests`` together, the highest ids of them."""
        known = {**(self._digests if by == self.by else {}), **digests}
        newest = sorted(known)[-RECENT_IDS:]
        return type(self)(by, {i: known[i] for i in newest})


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends, and everything that the next batch has to know."""

    seq: int = 0
    sha256: str = ""
    settled: Settled = field(default_factory=Settled)
    unidentified: tuple[str, ...] = ()
    recent: Recent = field(default_factory=lambda: Recent(""))
    superseded: IdRanges = field(default_factory=IdRanges)
    replays: tuple[int, ...] = ()

    @classmethod
    def of(cls, header: Header, sha256: str, read: Read) -> Self:
        """Return what the newest entry of the log says; ``read`` is for sealed ids."""
        return cls(
            header.seq,
            sha256,
            Settled(header.settled, header.sealed, read),
            tuple(header.unidentified),
            Recent.from_json(header.recent),
            IdRanges(header.superseded),
            tuple(header.replays),
        )

    def active_replays(self) -> Iterator[int]:
        """Yield the replays that nothing supersedes."""
        return (seq for seq in self.replays if seq not in self.superseded)


def run_lengths(times: Iterable[int]) -> list[list[int]]:
    """Return ``[value, count]`` for each run of equal values; see ``Header.times``."""
    runs: list[list[int]] = []
    for time in times:
        if runs and runs[-1][0] == time:
            runs[-1][1] += 1
        else:
            runs.append([time, 1])
    return runs
