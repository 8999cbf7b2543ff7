"""Envelope → token → plaintext → typed row; pure and total: no I/O, no clock, never raises.

Every envelope becomes a row of ``access_logs`` or a row of ``quarantined_records`` with a reason.
No text of an exception is kept on the way: it may quote a plaintext.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ingestion import fields, tables
from ingestion.canonical import spell
from ingestion.errors import ContractError
from ingestion.fields import Refuse
from ingestion.keys import KeyRing, Opened, is_well_formed
from ingestion.privacy import Pseudonyms
from ingestion.reasons import Reason, Stage
from ingestion.times import SourceClock, day_start

MAX_TOKEN_CHARACTERS = 1_000_000
MAX_PLAINTEXT_BYTES = 256 * 1024
TOKEN_CLOCK_SLACK_SECONDS = 300
MAX_ID = 2**63 - 1

_DAY = 86_400_000
_FIRST_EVENT = day_start(tables.FIRST_EVENT_DAY)


@dataclass(frozen=True, slots=True)
class Rules:
    """What decoding depends on, beside the record itself."""

    ring: KeyRing
    pseudonyms: Pseudonyms
    clock: SourceClock


@dataclass(frozen=True, slots=True)
class Good:
    """A decoded record: the columns of ``access_logs`` up to ``key_fingerprint``, in order."""

    columns: tuple[Any, ...]
    event_day: str
    arrival_day: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that goes to quarantine."""

    reason: Reason
    stage: Stage
    key_fingerprint: str | None
    arrival_day: str


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

    @property
    def key_fingerprints(self) -> tuple[str, ...]:
        """The keys that opened anything."""
        return tuple(sorted(self.keys))


def record_id(envelope: object) -> int | Reason:
    """Return an envelope's id, or why it has none that identifies it.

    Only a JSON integer from 0 to 2^63-1 does: ``"7"``, ``7.0`` and ``true`` may be anything.
    """
    if not isinstance(envelope, dict):
        return Reason.ENVELOPE_SHAPE
    value = envelope.get("recordId")
    if value is None or value == "":
        return Reason.ID_MISSING
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ID:
        return Reason.ID_TYPE
    return int(value)


def identity(envelope: object, rules: Rules) -> str:
    """Return the key of an envelope without a usable id: the same however often it is offered.

    Tokens are encrypted anew on every request, so the digest is taken over the plaintext where
    a key opens it, under the pseudonym key, because a plaintext could be guessed.
    """
    rest = envelope
    content = b""
    if isinstance(envelope, dict):
        rest = {name: value for name, value in envelope.items() if name != "data"}
        opened = _opened(envelope, rules.ring)
        token = envelope.get("data")
        content = rules.pseudonyms.digest(opened.plaintext) if opened else _digestible(token)
    return f"sha256:{hashlib.sha256(_digestible(rest) + content).hexdigest()}"


def plaintext_digest(envelope: object, rules: Rules) -> bytes | None:
    """Return 8 bytes that tell one plaintext from another; None if no key opens the token.

    Keyed, because a plaintext could be guessed; the token itself is another one on every request.
    """
    opened = _opened(envelope, rules.ring)
    return rules.pseudonyms.digest(opened.plaintext)[:8] if opened else None


def conflict_key(envelope: object, rules: Rules) -> str:
    """Return the key of an envelope that claims the id of an earlier, different record.

    It is made of the id and the whole plaintext: another envelope with the same claim is the same
    conflict, however it is encrypted, and whatever stands beside the token.
    """
    opened = _opened(envelope, rules.ring)
    if isinstance(envelope, dict):
        claim, token = envelope.get("recordId"), envelope.get("data")
    else:
        claim, token = None, envelope
    content = rules.pseudonyms.digest(opened.plaintext) if opened else _digestible(token)
    return f"sha256:{hashlib.sha256(_digestible(claim) + b':' + content).hexdigest()}"


def _opened(envelope: object, ring: KeyRing) -> Opened | None:
    token = envelope.get("data") if isinstance(envelope, dict) else None
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS:
        return None
    return ring.open(token)


def is_readable(envelope: object, ring: KeyRing) -> bool | None:
    """Tell whether a key opens an envelope's token; None if there is no Fernet token in it."""
    token = envelope.get("data") if isinstance(envelope, dict) else None
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS:
        return None
    if ring.open(token) is not None:
        return True
    return False if is_well_formed(token) else None


def arrival_day(envelope: object, clock: SourceClock, fetched_at: int) -> str:
    """Return the source's day on which a record arrived; the landing day if it does not say."""
    stamp = envelope.get("ArrivalTimeStamp") if isinstance(envelope, dict) else None
    arrived_at = clock.arrival(stamp)
    usable = arrived_at is not None and _in_range(arrived_at, fetched_at)
    return clock.day(arrived_at if usable and arrived_at is not None else fetched_at)


def decode(envelope: object, rules: Rules, fetched_at: int) -> Good | Refusal:
    """Return the row that an envelope holds, or why it holds none.

    ``fetched_at`` (UTC milliseconds) stands for "now": a batch decodes the same at any later time.
    """
    opened_by: list[str] = []
    day = arrival_day(envelope, rules.clock, fetched_at)
    try:
        columns, event_day = _decode(envelope, rules, fetched_at, opened_by)
        return Good(columns, event_day, day)
    except Refuse as refuse:
        reason, stage = refuse.reason, refuse.stage
    except Exception:
        # Not expected; but one strange record must not hold up all the others, and its
        # ciphertext is kept for the day when we know better.
        reason, stage = Reason.RESOURCE_LIMIT, Stage.PLAINTEXT if opened_by else Stage.TOKEN
    return Refusal(reason, stage, opened_by[0] if opened_by else None, day)


def _decode(
    envelope: object, rules: Rules, fetched_at: int, opened_by: list[str]
) -> tuple[tuple[Any, ...], str]:
    identifier = record_id(envelope)
    if isinstance(identifier, Reason):
        raise Refuse(identifier, Stage.ENVELOPE)
    assert isinstance(envelope, dict)
    beside = fields.beside(envelope)
    arrived_at = rules.clock.arrival(envelope.get("ArrivalTimeStamp"))
    if arrived_at is None:
        raise Refuse(Reason.ENVELOPE_SHAPE, Stage.ENVELOPE)
    if not _in_range(arrived_at, fetched_at):
        raise Refuse(Reason.TIME_OUT_OF_RANGE, Stage.ENVELOPE)

    plaintext, mark = _open(envelope.get("data"), rules.ring, fetched_at, opened_by)
    found = fields.read(plaintext)
    stated_id = found.get("record_id")
    if stated_id is not None:
        if isinstance(stated_id, bool) or not isinstance(stated_id, int):
            raise Refuse(Reason.FIELD_TYPE, Stage.FIELD)
        if stated_id != identifier:
            raise Refuse(Reason.FIELD_RANGE, Stage.FIELD)
    user = fields.user(found)
    activity = fields.text(found, "activity")
    url = fields.text(found, "url")
    method = fields.text(found, "method")
    name = fields.text(found, "name")
    detail = fields.members(found, "detail")
    level = fields.text(detail, "levelname")
    message = fields.text(detail, "message")
    extra = fields.extra(found, detail, beside)

    written = found.get("inDate")
    if written is None:
        raise Refuse(Reason.FIELD_MISSING, Stage.FIELD)
    if not isinstance(written, str):
        raise Refuse(Reason.FIELD_TYPE, Stage.FIELD)
    occurred_at = rules.clock.parse(written)
    if occurred_at is None:
        raise Refuse(Reason.TIME_MALFORMED, Stage.TIME)
    if not _in_range(occurred_at, fetched_at):
        raise Refuse(Reason.TIME_OUT_OF_RANGE, Stage.TIME)
    day = rules.clock.day(occurred_at)
    if day < tables.FIRST_EVENT_DAY:
        raise Refuse(Reason.TIME_OUT_OF_RANGE, Stage.TIME)

    columns = (
        identifier,
        rules.pseudonyms.of(user),
        activity,
        url,
        method,
        name,
        level,
        message,
        occurred_at,
        written,
        arrived_at,
        extra,
        mark,
    )
    return columns, day


def _open(token: object, ring: KeyRing, fetched_at: int, opened_by: list[str]) -> tuple[bytes, str]:
    if not isinstance(token, str):
        raise Refuse(Reason.TOKEN_TYPE, Stage.TOKEN)
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Refuse(Reason.TOKEN_TOO_LARGE, Stage.TOKEN)
    opened = ring.open(token)
    if opened is None:
        known = Reason.TOKEN_UNKNOWN_KEY if is_well_formed(token) else Reason.TOKEN_MALFORMED
        raise Refuse(known, Stage.TOKEN)
    opened_by.append(opened.key_fingerprint)
    if opened.stamped_at > fetched_at // 1_000 + TOKEN_CLOCK_SLACK_SECONDS:
        raise Refuse(Reason.TOKEN_FUTURE, Stage.TOKEN)
    if len(opened.plaintext) > MAX_PLAINTEXT_BYTES:
        raise Refuse(Reason.PLAINTEXT_TOO_LARGE, Stage.PLAINTEXT)
    return opened.plaintext, opened.key_fingerprint


def _in_range(utc_milliseconds: int, fetched_at: int) -> bool:
    # A day of slack on both sides: the exact first day is the source's, and clocks differ.
    return _FIRST_EVENT - _DAY <= utc_milliseconds <= fetched_at + _DAY


def _digestible(value: object) -> bytes:
    return spell(value, is_sorted=True).encode()


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
    times = [fetched_at] * len(envelopes) if isinstance(fetched_at, int) else fetched_at
    if len(times) != len(envelopes) or not 0 <= conflict <= len(envelopes):
        raise ContractError(
            f"Batch {batch_seq} has {len(envelopes)} records, {len(times)} times of fetching and "
            f"{conflict} conflicts, which do not fit. This is a bug; nothing was published."
        )
    rows: dict[str, list[tuple[Any, ...]]] = {}
    rejects: list[tuple[Any, ...]] = []
    reasons: Counter[str] = Counter()
    good_days: Counter[str] = Counter()
    quarantined_days: Counter[str] = Counter()
    conflict_days: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    first_conflict = len(envelopes) - conflict
    for place, (envelope, now) in enumerate(zip(envelopes, times, strict=True)):
        is_conflict = place >= first_conflict
        result = _conflict(envelope, rules, now) if is_conflict else judge(envelope, rules, now)
        if isinstance(result, Good):
            rows.setdefault(result.event_day, []).append(result.columns)
            good_days[result.arrival_day] += 1
            keys[result.columns[-1]] += 1
            continue
        identifier = record_id(envelope)
        known = not isinstance(identifier, Reason)
        if is_conflict:
            record_key = conflict_key(envelope, rules)
        else:
            record_key = str(identifier) if known else identity(envelope, rules)
        rejects.append(
            (
                batch_seq,
                identifier if known else None,
                record_key,
                result.reason.value,
                result.stage.value,
                spell(envelope),
                result.key_fingerprint,
                result.arrival_day,
                now,  # its own time, which a replay has to judge it by
            )
        )
        reasons[result.reason.value] += 1
        (conflict_days if is_conflict else quarantined_days)[result.arrival_day] += 1
        if result.key_fingerprint:
            keys[result.key_fingerprint] += 1
    raw = {}
    for day in sorted(rows):
        day_rows = sorted(rows[day], key=lambda row: (row[8], row[0]))
        landed = [(batch_seq, landed_at)] * len(day_rows)
        raw[day] = _table(
            tables.ACCESS_LOGS.schema, [a + b for a, b in zip(day_rows, landed, strict=True)]
        )
    rejects.sort(key=lambda row: row[2])
    quarantine = _table(tables.QUARANTINED_RECORDS.schema, rejects)
    made = sum(table.num_rows for table in raw.values()) + quarantine.num_rows
    if made != len(envelopes):
        raise ContractError(
            f"Batch {batch_seq} has {len(envelopes)} records, but {made} rows were made of them. "
            "This is a bug; nothing was published."
        )
    return Derived(
        raw=raw,
        quarantine=quarantine,
        reasons=dict(sorted(reasons.items())),
        good_days=dict(good_days),
        quarantined_days=dict(quarantined_days),
        conflict_days=dict(conflict_days),
        keys=dict(sorted(keys.items())),
    )


def _conflict(envelope: object, rules: Rules, fetched_at: int) -> Refusal:
    opened = _opened(envelope, rules.ring)
    mark = opened.key_fingerprint if opened else None
    day = arrival_day(envelope, rules.clock, fetched_at)
    return Refusal(Reason.ID_CONFLICT, Stage.ENVELOPE, mark, day)


def _table(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pa.table(
        [pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)],
        schema=schema,
    )
