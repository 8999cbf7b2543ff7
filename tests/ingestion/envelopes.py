"""Encrypted envelopes for tests, and an oracle that decodes them in the plainest way there is.

Shares no code with ``ingestion`` or the simulator: what both agree on here was written twice.
"""

import ast
import base64
import hashlib
import hmac
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

FETCHED_AT = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
PSEUDONYM_KEY = bytes([0x5A]) * 32
SEOUL = timedelta(hours=9)
STRANGER = Fernet(b"c3RyYW5nZXItc3RyYW5nZXItc3RyYW5nZXItc3RyYW4=")
"""A key that no ring holds."""


def plaintext(record_id: int, at: datetime | None = None, **changes: Any) -> dict[str, Any]:
    """Return the fields of one record as SOURCE.md shows them; None as a change drops a field."""
    at = at or datetime(2026, 11, 19, 1, 0, tzinfo=UTC) + timedelta(seconds=record_id % 3600)
    activity = ("view", "cart", "purchase")[record_id % 3]
    fields = {
        "user_id": hashlib.sha256(str(record_id % 97).encode()).hexdigest(),
        "record_id": record_id,
        "activity": activity,
        "url": "/api/products/product/",
        "method": "POST",
        "name": "json_logger",
        # The source writes Seoul's wall time and a Z behind it.
        "inDate": f"{at + SEOUL:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "detail": {"message": f"POST {activity}", "levelname": "INFO"},
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def seal(key: str | Fernet, content: object, stamped_at: datetime = FETCHED_AT) -> str:
    """Encrypt bytes as they are, a text as UTF-8, anything else as Python's ``str``."""
    fernet = key if isinstance(key, Fernet) else Fernet(key)
    if not isinstance(content, bytes):
        content = str(content).encode()
    return fernet.encrypt_at_time(content, int(stamped_at.timestamp())).decode()


def envelope(
    key: str | Fernet, record_id: Any, content: object = None, **changes: Any
) -> dict[str, Any]:
    """Return one envelope as the API serves it; ``content`` defaults to a plain good record."""
    if content is None:
        content = plaintext(record_id)
    at = datetime(2026, 11, 19, 1, 0, tzinfo=UTC) + SEOUL
    stamp = at.timestamp() + (record_id % 3600 if isinstance(record_id, int) else 0)
    return {
        "recordId": record_id,
        "ArrivalTimeStamp": stamp + 0.819,
        "data": seal(key, content),
        **changes,
    }


def pseudonym(user: str) -> bytes:
    return hmac.new(PSEUDONYM_KEY, user.encode(), hashlib.sha256).digest()[:16]


def population(keys: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
    """Return a mixed population: good in several spellings, and every common way to be bad."""
    dice = random.Random(seed)
    kinds = [
        *["repr"] * 12,
        *["json"] * 6,
        *["apostrophe", "drift", "number_user", "no_optional", "offset", "names"],
        *["stranger", "junk_token", "not_data", "code", "no_user", "bad_time", "old_time"],
        *["wrong_id", "list", "not_utf8"],
    ]
    made = []
    for number in range(1, count + 1):
        key = dice.choice(keys)
        fields = plaintext(number)
        kind = dice.choice(kinds)
        made.append(envelope(key, number, _content(kind, fields)))
        if kind == "stranger":
            made[-1]["data"] = seal(STRANGER, fields)
        elif kind == "junk_token":
            made[-1]["data"] = made[-1]["data"][:40]
    return made


def _content(kind: str, fields: dict[str, Any]) -> object:
    number = fields["record_id"]
    if kind == "json":
        return json.dumps(fields)
    if kind == "apostrophe":
        return fields | {"url": '/o\'brien/"quoted"', "activity": "say \\ \n \u00e9"}
    if kind == "drift":
        return fields | {"product_id": number, "basket": {"items": [1, 2.5, None, True]}}
    if kind == "number_user":
        return fields | {"user_id": number % 97}
    if kind == "no_optional":
        return {name: fields[name] for name in ("user_id", "inDate")}
    if kind == "offset":
        return fields | {"inDate": "2026-11-19T01:02:03.004-05:00"}
    if kind == "names":
        return fields | {"activity": "None True false null", "flag": True, "nothing": None}
    if kind == "not_data":
        return "certainly no record"
    if kind == "code":
        return "__import__('os').system('touch pwned')"
    if kind == "no_user":
        return {name: value for name, value in fields.items() if name != "user_id"}
    if kind == "bad_time":
        return fields | {"inDate": "2026-02-30T00:00:00.000Z"}
    if kind == "old_time":
        return fields | {"inDate": "1999-01-01T00:00:00.000Z"}
    if kind == "wrong_id":
        return fields | {"record_id": number + 1}
    if kind == "list":
        return [fields]
    if kind == "not_utf8":
        return b"\xff\xfe{}"
    return fields


def judge(item: dict[str, Any], keys: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return a reason, or "" and the row that a record of ``population`` has to become."""
    opened = None
    for key in keys:
        try:
            opened, used = Fernet(key).decrypt(item["data"]), key
        except InvalidToken:
            continue
    if opened is None:
        return ("TOKEN_MALFORMED" if len(item["data"]) < 100 else "TOKEN_UNKNOWN_KEY"), {}
    try:
        text = opened.decode()
    except UnicodeDecodeError:
        return "PLAINTEXT_ENCODING", {}
    try:
        fields = json.loads(text)
    except ValueError:
        try:
            fields = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return "PLAINTEXT_SYNTAX", {}
    if not isinstance(fields, dict):
        return "PLAINTEXT_SHAPE", {}
    if fields.get("record_id", item["recordId"]) != item["recordId"]:
        return "FIELD_RANGE", {}
    if "user_id" not in fields:
        return "FIELD_MISSING", {}
    written = fields["inDate"]
    try:
        wall = datetime.strptime(written[:23], "%Y-%m-%dT%H:%M:%S.%f")
    except ValueError:
        return "TIME_MALFORMED", {}
    occurred_at = wall - SEOUL if written.endswith("Z") else wall + timedelta(hours=5)
    if occurred_at.year < 2015:
        return "TIME_OUT_OF_RANGE", {}
    detail = fields.get("detail", {})
    known = ("user_id", "record_id", "activity", "url", "method", "name", "inDate", "detail")
    extra = {name: value for name, value in fields.items() if name not in known}
    arrived_at = datetime.fromtimestamp(item["ArrivalTimeStamp"], UTC).replace(tzinfo=None)
    row = {
        "record_id": item["recordId"],
        "user_id": pseudonym(str(fields["user_id"])),
        "activity": fields.get("activity"),
        "url": fields.get("url"),
        "method": fields.get("method"),
        "log_name": fields.get("name"),
        "level_name": detail.get("levelname"),
        "message": detail.get("message"),
        "occurred_at": occurred_at,
        "occurred_at_text": written,
        "arrived_at": arrived_at - SEOUL,
        "extra_fields": extra or None,
        "key_fingerprint": fingerprint(used),
        "dt": f"{occurred_at + SEOUL:%Y-%m-%d}",
    }
    return "", row


def fingerprint(key: str) -> str:
    return hashlib.sha256(base64.urlsafe_b64decode(key)).hexdigest()[:16]
