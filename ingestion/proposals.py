"""What a run offers, judged against the head of the log: new, duplicate or conflict. Pure."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, cast

from ingestion import records
from ingestion.digests import plaintext_digests
from ingestion.headers import RECENT_IDS, Head, Header
from ingestion.ledger import IdRanges
from ingestion.records import Rules
from ingestion.tables import SOURCE
from ingestion.texts import Plain, Texts

MAX_UNIDENTIFIED = 1_000
"""Envelopes without a usable id are remembered by digest; the window shows no more than these."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A header, the records that it is about, and the body that it points to: their array."""

    header: Header
    envelopes: Texts
    body: bytes
    sealed: Mapping[str, bytes]
    """Objects by their hash, which the header names."""


@dataclass(slots=True)
class Candidate:
    """Records on their way into one batch. It only grows; ``propose`` judges it."""

    source: str
    run_id: str
    fetched_at: int
    is_consecutive: bool
    """Ids have no gaps by themselves, so that a gap is something missing."""
    keys: list[int | str] = field(default_factory=list)
    """What each record is known by: its id, or a digest where it has none."""
    spelled: list[bytes] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    places: dict[int | str, int] = field(default_factory=dict)
    """Where each key came first."""
    has_digests: bool = False
    """Whether any key is one."""
    size: int = 0
    """Bytes of the records' texts."""
    duplicates: Counter[str] = field(default_factory=Counter)
    pages: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, key: int | str, text: bytes, day: str) -> None:
        """Take one record."""
        self.places.setdefault(key, len(self.keys))
        self.has_digests |= isinstance(key, str)
        self.keys.append(key)
        self.spelled.append(text)
        self.days.append(day)
        self.size += len(text)

    def extend(self, plain: Plain, days: Sequence[str]) -> None:
        """Take records whose ids are neither here yet nor twice among themselves."""
        self.places.update(zip(plain.ids, range(len(self), len(self) + len(plain)), strict=True))
        self.keys += plain.ids
        self.spelled += plain.spelled
        self.days += days
        self.size += sum(map(len, plain.spelled))


def entry(head: Head, envelopes: Sequence[object], ids: Iterable[int] = (), **fields: Any) -> Entry:
    """Return the entry that follows ``head`` and takes ``ids``.

    What ``fields`` does not say goes on as it was.
    """
    settled = head.settled.union(ids) if ids else head.settled
    seq, nonce = head.seq + 1, uuid.uuid4().hex
    texts = envelopes if isinstance(envelopes, Texts) else Texts.of(envelopes)
    body = texts.array()
    header = Header(
        **{
            "seq": seq,
            "nonce": nonce,
            "prev_sha256": head.sha256,
            "body": f"landing/{SOURCE}/{seq:012d}/{nonce}.json",
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "settled": settled.ranges(),
            "sealed": settled.seals(),
            "unidentified": list(head.unidentified),
            "recent": head.recent.as_json(),
            "superseded": as_lists(head.superseded),
            "replays": list(head.replays),
            "new": len(envelopes),
            **fields,
        }
    )
    return Entry(header, texts, body, settled.objects)


def propose(head: Head, candidate: Candidate, rules: Rules) -> Entry | None:
    """Return the batch of what is new in ``candidate``; None if nothing is."""
    new, conflicts, repeated = _judged(head, candidate, rules)
    if not new and not conflicts:
        return None
    duplicates = candidate.duplicates + repeated
    if len(new) == len(candidate):  # all of them, in their order
        spelled, kept_days = candidate.spelled, Counter(candidate.days)
    else:
        places = [*new.values(), *conflicts.values()]
        spelled = [candidate.spelled[place] for place in places]
        kept_days = Counter(candidate.days[place] for place in places)
    offered = duplicates + kept_days
    ids = _ids(candidate, new)
    unidentified = [key for key in new if isinstance(key, str)] if candidate.has_digests else []
    mark = rules.pseudonyms.fingerprint
    newest = {each: candidate.spelled[new[each]] for each in sorted(ids)[-RECENT_IDS:]}
    known = plaintext_digests(newest, rules)
    return entry(
        head,
        Texts(spelled),
        ids,
        unidentified=[*head.unidentified, *unidentified, *conflicts][-MAX_UNIDENTIFIED:],
        recent=head.recent.renewed(mark, known).as_json(),
        missing=as_lists(head.settled.overtaken(ids)) if candidate.is_consecutive else [],
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


def _judged(
    head: Head, candidate: Candidate, rules: Rules
) -> tuple[dict[int | str, int], dict[str, int], Counter[str]]:
    """Return the places of new records and of conflicts by their keys, and duplicates by day."""
    taken = set(head.unidentified)
    known = head.settled.known(_ids(candidate, candidate.places))
    if not known and taken.isdisjoint(candidate.places) and len(candidate.places) == len(candidate):
        return candidate.places, {}, Counter()
    new: dict[int | str, int] = {}
    conflicts: dict[str, int] = {}
    duplicates: Counter[str] = Counter()
    for place, key in enumerate(candidate.keys):
        text = candidate.spelled[place]
        is_known = key in known if isinstance(key, int) else key in taken
        if not is_known and key not in new:
            new[key] = place
            continue
        first = candidate.spelled[new[key]] if key in new else None
        if is_contradiction(head, key, text, first, rules):
            contested = records.conflict_key(json.loads(text), rules)
            if contested not in taken and contested not in conflicts:
                conflicts[contested] = place
                continue
        duplicates[candidate.days[place]] += 1
    return new, conflicts, duplicates


def _ids(candidate: Candidate, keys: Mapping[int | str, int]) -> Set[int]:
    if candidate.has_digests:
        return {key for key in keys if isinstance(key, int)}
    return cast(Set[int], keys.keys())


def is_contradiction(
    head: Head, key: int | str, text: bytes, first: bytes | None, rules: Rules
) -> bool:
    """Tell whether a record's id is known with another plaintext, here or at the head.

    Only where both can be read: a record that no key opens may well be the same one.
    """
    if not isinstance(key, int):
        return False  # its key is its content
    if first is None and not head.recent.holds(key, rules.pseudonyms.fingerprint):
        return False
    digest = _digest(text, rules)
    if first is None:
        return head.recent.contradicts(key, digest)
    other = _digest(first, rules)
    return digest is not None and other is not None and digest != other


def _digest(text: bytes, rules: Rules) -> bytes | None:
    return records.plaintext_digest(json.loads(text), rules)


def as_lists(ranges: IdRanges | Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return ranges as JSON holds them."""
    return [[low, high] for low, high in ranges]
