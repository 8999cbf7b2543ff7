"""Plaintext → the fields of a record, each of its type or refused. Pure; casts nothing."""

import json
import math
from typing import Any

from ingestion.literals import MAX_DEPTH, MAX_DIGITS, MAX_KEYS, Refused, parse
from ingestion.reasons import Reason, Stage

MAX_STRING_CHARACTERS = 64 * 1024

_MAX_BITS = (10**MAX_DIGITS).bit_length()
_KNOWN = frozenset(
    ("user_id", "record_id", "activity", "url", "method", "name", "inDate", "detail")
)
_KNOWN_DETAIL = frozenset(("message", "levelname"))
_ENVELOPE = frozenset(("recordId", "ArrivalTimeStamp", "data"))


class Refuse(Exception):
    """A record is none; carries where and why, and nothing of the record."""

    def __init__(self, reason: Reason, stage: Stage) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.stage = stage


def read(plaintext: bytes) -> dict[str, Any]:
    """Return the fields that a plaintext spells.

    Raises:
        Refuse: if it is no text, no plain data or no dictionary.
    """
    try:
        text = plaintext.decode("utf-8")
    except UnicodeDecodeError:
        raise Refuse(Reason.PLAINTEXT_ENCODING, Stage.PLAINTEXT) from None
    if text.startswith("\ufeff"):
        raise Refuse(Reason.PLAINTEXT_ENCODING, Stage.PLAINTEXT)
    try:
        fields = parse(text)
    except Refused as refused:
        raise Refuse(refused.reason, Stage.PLAINTEXT) from None
    if not isinstance(fields, dict):
        raise Refuse(Reason.PLAINTEXT_SHAPE, Stage.PLAINTEXT)
    return fields


def user(fields: dict[str, Any]) -> str:
    """Return the text whose pseudonym is stored: a non-empty string, or an integer's digits."""
    value = fields.get("user_id")
    if value is None:
        raise Refuse(Reason.FIELD_MISSING, Stage.FIELD)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise Refuse(Reason.FIELD_TYPE, Stage.FIELD)
    if not value:
        raise Refuse(Reason.FIELD_RANGE, Stage.FIELD)
    return _checked(value)


def text(fields: dict[str, Any], name: str) -> str | None:
    """Return a field that is a text or absent."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refuse(Reason.FIELD_TYPE, Stage.FIELD)
    return _checked(value)


def members(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a field that is a dictionary or absent."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refuse(Reason.FIELD_TYPE, Stage.FIELD)
    return value


def beside(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return what an envelope holds beside its three members, if it is plain and bounded."""
    if len(envelope) == 3:
        return {}
    rest = {name: value for name, value in envelope.items() if name not in _ENVELOPE}
    if not _is_bounded(rest) or not is_unicode(json.dumps(rest, ensure_ascii=False)):
        raise Refuse(Reason.ENVELOPE_SHAPE, Stage.ENVELOPE)
    return rest


def extra(
    fields: dict[str, Any], detail: dict[str, Any], envelope_rest: dict[str, Any]
) -> str | None:
    """Return everything that has no column, as one JSON object; None if there is nothing."""
    if not envelope_rest and fields.keys() <= _KNOWN and detail.keys() <= _KNOWN_DETAIL:
        return None
    found = {name: value for name, value in fields.items() if name not in _KNOWN}
    rest = {name: value for name, value in detail.items() if name not in _KNOWN_DETAIL}
    if rest:
        found["detail"] = rest
    if envelope_rest:
        found["$envelope"] = envelope_rest
    if not _is_bounded(found):
        raise Refuse(Reason.PLAINTEXT_SHAPE, Stage.PLAINTEXT)
    spelled = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    if not is_unicode(spelled):
        raise Refuse(Reason.FIELD_RANGE, Stage.FIELD)
    return spelled


def is_unicode(text: str) -> bool:
    """Tell a text from one with half a surrogate pair, which no file can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _checked(value: str) -> str:
    if len(value) > MAX_STRING_CHARACTERS or not (value.isascii() or is_unicode(value)):
        raise Refuse(Reason.FIELD_RANGE, Stage.FIELD)
    return value


def _is_bounded(value: object) -> bool:
    """Tell whether a value is at most MAX_DEPTH deep and holds nothing over-long or infinite."""
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                if len(item) > MAX_KEYS or any(len(name) > MAX_STRING_CHARACTERS for name in item):
                    return False
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                if len(item) > MAX_STRING_CHARACTERS:
                    return False
            elif isinstance(item, int):
                if item.bit_length() > _MAX_BITS:
                    return False
            elif isinstance(item, float) and not math.isfinite(item):
                return False
        if not below:
            return True
        level = below
    return False
