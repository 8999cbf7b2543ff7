"""One envelope → token → plaintext → typed row, or a refusal. Pure and total: never raises.

No text of an exception is kept on the way: it may quote a plaintext.
"""

import re
from dataclasses import dataclass
from typing import Any

from ingestion import fields, tables
from ingestion.fields import Refuse
from ingestion.keys import KeyRing, Opened, is_well_formed
from ingestion.privacy import Pseudonyms
from ingestion.reasons import Reason, Stage
from ingestion.times import SourceClock, day_start

MAX_TOKEN_CHARACTERS = 1_000_000
MAX_PLAINTEXT_BYTES = 256 * 1024
TOKEN_CLOCK_SLACK_SECONDS = 300
MAX_ID = 2**63 - 1

_DATA = re.compile(r"[A-Za-z0-9+/_-]")

DAY = 86_400_000
FIRST_EVENT = day_start(tables.FIRST_EVENT_DAY)


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


def open_token(envelope: object, ring: KeyRing) -> Opened | None:
    """Return what an envelope's token holds; None if there is none that a key opens."""
    token = envelope.get("data") if isinstance(envelope, dict) else None
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS:
        return None
    return ring.open(token)


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
    padding = token.find("=")
    if padding >= 0 and _DATA.search(token, padding):
        # Base64 passes over it without a word: of two tokens in a row, over the second.
        raise Refuse(Reason.TOKEN_MALFORMED, Stage.TOKEN)
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
    return FIRST_EVENT - DAY <= utc_milliseconds <= fetched_at + DAY
