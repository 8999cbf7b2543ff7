"""A batch of envelopes → Arrow tables; pure and total: no I/O, no clock, raises on no record.

Every envelope becomes a row of ``access_logs`` or a row of ``quarantined_records`` with a reason.
What one envelope becomes is ``decoding``'s matter; ``isolation`` does the same in a child process.
"""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ingestion import batches, tables
from ingestion.canonical import spell
from ingestion.decoding import (
    MAX_TOKEN_CHARACTERS,
    Good,
    Refusal,
    Rules,
    arrival_day,
    decode,
    open_token,
    record_id,
)
from ingestion.errors import ContractError
from ingestion.keys import KeyRing, is_well_formed
from ingestion.pages import Page
from ingestion.reasons import Reason, Stage

__all__ = [
    "Derived",
    "Good",
    "Refusal",
    "Rules",
    "arrival_day",
    "conflict_key",
    "decode",
    "derive",
    "identity",
    "is_readable",
    "parse",
    "plaintext_digest",
    "record_id",
    "refuse",
]


@dataclass(frozen=True, slots=True)
class Derived:
    """One batch, decoded: as many rows as there were envelopes."""

    raw: dict[str, pa.Table]
    """By event day, sorted by time and id."""
    quarantine: pa.Table
    """Refused records and conflicts."""
    reasons: dict[str, int]
    """Rows of ``quarantine``, so with ID_CONFLICT."""
    good_days: dict[str, int] = field(default_factory=dict)
    """Good rows by arrival day."""
    quarantined_days: dict[str, int] = field(default_factory=dict)
    """Refused rows by arrival day, without conflicts."""
    conflict_days: dict[str, int] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    """Rows of both sides by the key that opened them."""


def identity(envelope: object, rules: Rules) -> str:
    """Return the key of an envelope without a usable id: the same however often it is offered.

    Tokens are encrypted anew on every request, so the digest is taken over the plaintext where
    a key opens it, under the pseudonym key, because a plaintext could be guessed.
    """
    rest = envelope
    content = b""
    if isinstance(envelope, dict):
        rest = {name: value for name, value in envelope.items() if name != "data"}
        opened = open_token(envelope, rules.ring)
        token = envelope.get("data")
        content = rules.pseudonyms.digest(opened.plaintext) if opened else _digestible(token)
    return f"sha256:{hashlib.sha256(_digestible(rest) + content).hexdigest()}"


def plaintext_digest(envelope: object, rules: Rules) -> bytes | None:
    """Return 8 bytes that tell one plaintext from another; None if no key opens the token.

    Keyed, because a plaintext could be guessed; the token itself is another one on every request.
    """
    opened = open_token(envelope, rules.ring)
    return rules.pseudonyms.digest(opened.plaintext)[:8] if opened else None


def conflict_key(envelope: object, rules: Rules) -> str:
    """Return the key of an envelope that claims the id of an earlier, different record.

    It is made of the id and the whole plaintext: another envelope with the same claim is the same
    conflict, however it is encrypted, and whatever stands beside the token.
    """
    opened = open_token(envelope, rules.ring)
    if isinstance(envelope, dict):
        claim, token = envelope.get("recordId"), envelope.get("data")
    else:
        claim, token = None, envelope
    content = rules.pseudonyms.digest(opened.plaintext) if opened else _digestible(token)
    return f"sha256:{hashlib.sha256(_digestible(claim) + b':' + content).hexdigest()}"


def is_readable(envelope: object, ring: KeyRing) -> bool | None:
    """Tell whether a key opens an envelope's token; None if there is no Fernet token in it."""
    token = envelope.get("data") if isinstance(envelope, dict) else None
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS:
        return None
    if ring.open(token) is not None:
        return True
    return False if is_well_formed(token) else None


def _digestible(value: object) -> bytes:
    return spell(value, is_sorted=True).encode()


def parse(body: bytes) -> Any:
    """Return the value of a JSON text, as ``json.loads`` does, but quickly for envelopes.

    Where these have exactly the source's own form, the answer is a ``Page``, which is no list but
    holds the same.

    Raises:
        ValueError, RecursionError: as ``json.loads`` does.
    """
    page = Page.read(body)
    if page is not None:
        return page
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Not only what is broken: also NaN, half a surrogate pair, a number without end.
        return json.loads(body)


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def derive(
    envelopes: Sequence[object],
    rules: Rules,
    *,
    batch_seq: int,
    landed_at: int,
    fetched_at: int | Sequence[int],
    conflict: int = 0,
) -> Derived:
    """Decode one batch; the rows of both sides together are as many as ``envelopes``.

    ``fetched_at`` is one time for all or one for each. The last ``conflict`` envelopes claim an id
    that an earlier record has, and are not decoded.

    Raises:
        ContractError: if the arguments do not fit each other, or a row was lost or doubled: a bug.
    """
    return _derive(decode, envelopes, rules, batch_seq, landed_at, fetched_at, conflict)


def refuse(
    envelopes: Sequence[object],
    rules: Rules,
    *,
    batch_seq: int,
    landed_at: int,
    fetched_at: int | Sequence[int],
    conflict: int = 0,
) -> Derived:
    """Refuse one batch unread, RESOURCE_LIMIT each; conflicts stay conflicts.

    How far a record came that took the whole process with it is not known. The stage is the
    token: what comes after it is read nowhere else than in that process.
    """
    return _derive(_unread, envelopes, rules, batch_seq, landed_at, fetched_at, conflict)


def _unread(envelope: object, rules: Rules, fetched_at: int) -> Good | Refusal:
    day = arrival_day(envelope, rules.clock, fetched_at)
    return Refusal(Reason.RESOURCE_LIMIT, Stage.TOKEN, None, day)


def _derive(
    judge: Callable[[object, Rules, int], Good | Refusal],
    envelopes: Sequence[object],
    rules: Rules,
    batch_seq: int,
    landed_at: int,
    fetched_at: int | Sequence[int],
    conflict: int,
) -> Derived:
    count = len(envelopes)
    times = [fetched_at] * count if isinstance(fetched_at, int) else fetched_at
    check_arguments(batch_seq, count, len(times), conflict)
    first_conflict = count - conflict
    done = batches.Decoded(rest=range(first_conflict))
    if judge is decode:
        # Not expected to fail; but then, too, each record is judged, only not together.
        with contextlib.suppress(Exception):
            done = batches.decode_all(envelopes[:first_conflict], rules, times[:first_conflict])
    rows: dict[str, list[tuple[Any, ...]]] = {}
    refused: list[tuple[int, Refusal]] = done.refused
    good_days: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    for place in done.rest:
        result = judge(envelopes[place], rules, times[place])
        if isinstance(result, Refusal):
            refused.append((place, result))
            continue
        rows.setdefault(result.event_day, []).append((*result.columns, place))
        good_days[result.arrival_day] += 1
        keys[result.columns[-1]] += 1
    for place in range(first_conflict, count):
        refused.append((place, _conflict(envelopes[place], rules, times[place])))
    if done.good is not None:
        good_days.update(_counts(done.good.column("arrival_day")))
        keys.update(_counts(done.good.column("key_fingerprint")))
    rejects: list[tuple[Any, ...]] = []
    reasons: Counter[str] = Counter()
    days: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for place, refusal in sorted(refused, key=lambda item: item[0]):
        is_conflict = place >= first_conflict
        envelope, now = envelopes[place], times[place]
        rejects.append(_reject(envelope, rules, batch_seq, now, refusal, is_conflict))
        reasons[refusal.reason.value] += 1
        days[is_conflict][refusal.arrival_day] += 1
        if refusal.key_fingerprint:
            keys[refusal.key_fingerprint] += 1
    rejects.sort(key=lambda row: row[2])
    derived = Derived(
        raw=_raw(rows, done.good, batch_seq, landed_at),
        quarantine=_table(tables.QUARANTINED_RECORDS.schema, rejects),
        reasons=dict(sorted(reasons.items())),
        good_days=dict(sorted(good_days.items())),
        quarantined_days=dict(sorted(days[False].items())),
        conflict_days=dict(sorted(days[True].items())),
        keys=dict(sorted(keys.items())),
    )
    check_rows(batch_seq, count, derived)
    return derived


def _reject(
    envelope: object,
    rules: Rules,
    batch_seq: int,
    fetched_at: int,
    refusal: Refusal,
    is_conflict: bool,
) -> tuple[Any, ...]:
    identifier = record_id(envelope)
    known = not isinstance(identifier, Reason)
    if is_conflict:
        record_key = conflict_key(envelope, rules)
    else:
        record_key = str(identifier) if known else identity(envelope, rules)
    return (
        batch_seq,
        identifier if known else None,
        record_key,
        refusal.reason.value,
        refusal.stage.value,
        spell(envelope),
        refusal.key_fingerprint,
        refusal.arrival_day,
        fetched_at,  # its own time, which a replay has to judge it by
    )


def _raw(
    rows: dict[str, list[tuple[Any, ...]]], good: pa.Table | None, batch_seq: int, landed_at: int
) -> dict[str, pa.Table]:
    """Return all good rows by day: those decoded one by one, and those decoded together."""
    tables_of = _by_day(good) if good is not None else {}
    raw = {}
    for day in sorted(rows.keys() | tables_of.keys()):
        parts = [tables_of[day]] if day in tables_of else []
        if day in rows:
            parts.append(_table(_PLACED, rows[day]))
        table = parts[0]
        if day in rows:
            table = pa.concat_tables(parts).sort_by(
                [(name, "ascending") for name in ("occurred_at", "record_id", "place")]
            )
        columns = table.columns[:-1]
        for value, kind in zip((batch_seq, landed_at), _LANDED, strict=True):
            columns.append(pa.repeat(pa.scalar(value, kind.type), table.num_rows))
        raw[day] = pa.table(columns, schema=tables.ACCESS_LOGS.schema)
    return raw


_LANDED = [tables.ACCESS_LOGS.schema.field(name) for name in ("batch_seq", "landed_at")]
_PLACED = pa.schema(
    [field for field in tables.ACCESS_LOGS.schema if field not in _LANDED]
    + [pa.field("place", pa.int32(), nullable=False)]
)


def _by_day(good: pa.Table) -> dict[str, pa.Table]:
    """Return the parts of a table that is sorted by day."""
    placed = good.select(_PLACED.names).cast(_PLACED)
    days = good.column("event_day").combine_chunks()
    names = days.dictionary.to_pylist()
    ends = pc.run_end_encode(days.indices)
    found = {}
    begin = 0
    for end, code in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
        found[names[code]] = placed.slice(begin, end - begin)
        begin = end
    return found


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist()}


def check_arguments(batch_seq: int, count: int, times: int, conflict: int) -> None:
    """Refuse what does not fit each other.

    Raises:
        ContractError: naming the three numbers.
    """
    if times != count or not 0 <= conflict <= count:
        raise ContractError(
            f"Batch {batch_seq} has {count} records, {times} times of fetching and {conflict} "
            "conflicts, which do not fit. This is a bug; nothing was published."
        )


def check_rows(batch_seq: int, count: int, derived: Derived) -> None:
    """Assert that every record became one row.

    Raises:
        ContractError: if not.
    """
    made = sum(table.num_rows for table in derived.raw.values()) + derived.quarantine.num_rows
    if made != count:
        raise ContractError(
            f"Batch {batch_seq} has {count} records, but {made} rows were made of them. "
            "This is a bug; nothing was published."
        )


def _conflict(envelope: object, rules: Rules, fetched_at: int) -> Refusal:
    opened = open_token(envelope, rules.ring)
    mark = opened.key_fingerprint if opened else None
    day = arrival_day(envelope, rules.clock, fetched_at)
    return Refusal(Reason.ID_CONFLICT, Stage.ENVELOPE, mark, day)


def _table(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pa.table(
        [pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)],
        schema=schema,
    )
