"""What a run offers, judged against the head of the log: new, duplicate or conflict. Pure."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ingestion import records
from ingestion.headers import RECENT_IDS, Head, Header
from ingestion.ledger import IdRanges
from ingestion.records import Rules
from ingestion.tables import SOURCE

MAX_UNIDENTIFIED = 1_000
"""Envelopes without a usable id are remembered by digest; the window shows no more than these."""

Entry = tuple[Header, bytes]
"""A header, and the body that it points to."""


@dataclass(frozen=True, slots=True)
class Offered:
    """One record that the source offered, and the key that it is known by."""

    key: int | str
    envelope: object
    day: str


@dataclass(slots=True)
class Candidate:
    """Records on their way into one batch. It only grows; ``propose`` judges it."""

    source: str
    run_id: str
    fetched_at: int
    is_consecutive: bool
    """Ids have no gaps by themselves, so that a gap is something missing."""
    records: list[Offered] = field(default_factory=list)
    duplicates: Counter[str] = field(default_factory=Counter)
    pages: list[dict[str, Any]] = field(default_factory=list)


def entry(head: Head, envelopes: Sequence[object], **fields: Any) -> Entry:
    """Return the entry that follows ``head``; what ``fields`` does not say goes on as it was."""
    seq, nonce = head.seq + 1, uuid.uuid4().hex
    body = json.dumps(envelopes, separators=(",", ":")).encode()
    header = Header(
        **{
            "seq": seq,
            "nonce": nonce,
            "prev_sha256": head.sha256,
            "body": f"landing/{SOURCE}/{seq:012d}/{nonce}.json",
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "settled": as_lists(head.settled),
            "unidentified": list(head.unidentified),
            "recent": head.recent.as_json(),
            "superseded": as_lists(head.superseded),
            "replays": list(head.replays),
            "new": len(envelopes),
            **fields,
        }
    )
    return header, body


def propose(head: Head, candidate: Candidate, rules: Rules) -> Entry | None:
    """Return the batch of what is new in ``candidate``; None if nothing is."""
    new: dict[int | str, Offered] = {}
    conflicts: dict[str, Offered] = {}
    taken = set(head.unidentified)
    duplicates = Counter(candidate.duplicates)
    for record in candidate.records:
        key = record.key
        is_known = key in head.settled if isinstance(key, int) else key in taken
        if not is_known and key not in new:
            new[key] = record
        elif is_contradiction(head, record, new.get(key), rules):
            contested = records.conflict_key(record.envelope, rules)
            if contested in taken or contested in conflicts:
                duplicates[record.day] += 1
            else:
                conflicts[contested] = record
        else:
            duplicates[record.day] += 1
    body = [*new.values(), *conflicts.values()]
    if not body:
        return None
    offered = duplicates + Counter(record.day for record in body)
    ids = [key for key in new if isinstance(key, int)]
    settled = head.settled.union(ids)
    unidentified = [key for key in new if isinstance(key, str)]
    mark = rules.pseudonyms.fingerprint
    known = {
        identifier: digest
        for identifier in sorted(ids)[-RECENT_IDS:]
        if (digest := records.plaintext_digest(new[identifier].envelope, rules)) is not None
    }
    return entry(
        head,
        [record.envelope for record in body],
        settled=as_lists(settled),
        unidentified=[*head.unidentified, *unidentified, *conflicts][-MAX_UNIDENTIFIED:],
        recent=head.recent.renewed(mark, known).as_json(),
        missing=as_lists(settled.gaps_beyond(head.settled)) if candidate.is_consecutive else [],
        conflict=len(conflicts),
        offered=offered.total(),
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


def is_contradiction(head: Head, record: Offered, first: Offered | None, rules: Rules) -> bool:
    """Tell whether a record's id is known with another plaintext, here or at the head.

    Only where both can be read: a record that no key opens may well be the same one.
    """
    if not isinstance(record.key, int):
        return False  # its key is its content
    if first is None and not head.recent.holds(record.key, rules.pseudonyms.fingerprint):
        return False
    digest = records.plaintext_digest(record.envelope, rules)
    if first is None:
        return head.recent.contradicts(record.key, digest)
    other = records.plaintext_digest(first.envelope, rules)
    return digest is not None and other is not None and digest != other


def as_lists(ranges: IdRanges | Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return ranges as JSON holds them."""
    return [[low, high] for low, high in ranges]
