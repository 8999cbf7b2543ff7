"""Faults of the token (56-82): not a text, respelled, damaged, of another key, of another time."""

from __future__ import annotations

import base64
import json
import os
import string
import time
from collections.abc import Callable
from typing import Any

from simulator.record_faults import COMMON, RARE, RecordFault, Victim

_DAY = 86_400
_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_HEAD = 25
"""Bytes before the ciphertext: version 1, time 8, IV 16."""
_MAC = 32

Change = Callable[[str, Victim], Any]


def _changed(
    name: str, number: int, does: str, change: Change, token: Callable[[Victim], str] = Victim.seal
) -> RecordFault:
    """Return a fault that damages a token that was good."""
    return RecordFault(
        name, (number,), does, lambda victim: [victim.envelope(change(token(victim), victim))]
    )


def _sealed(
    name: str,
    number: int,
    does: str,
    make: Callable[[Victim], str],
    rate: float = COMMON,
    needs: str | None = None,
) -> RecordFault:
    """Return a fault whose token is genuine, and wrong in another way."""
    return RecordFault(
        name, (number,), does, lambda victim: [victim.envelope(make(victim))], rate, needs
    )


def _instead(name: str, number: int, does: str, value: Any) -> RecordFault:
    return RecordFault(name, (number,), does, lambda victim: [victim.envelope(data=value)])


def _without_token(victim: Victim) -> list[Any]:
    return [{name: value for name, value in victim.envelope().items() if name != "data"}]


def _seal_with_padding(victim: Victim) -> str:
    """Return a token that ends in ``==``; spaces behind the plaintext make it so."""
    text = victim.write(victim.fields())
    while not (token := victim.seal(text)).endswith("=="):
        text += " " * 16
    return token


def _seal_with_both_marks(victim: Victim) -> str:
    """Return a token in which both characters are that the two alphabets spell differently."""
    while not {"-", "_"} <= set(token := victim.seal()):
        pass  # one in a million; the IV is another one each time
    return token


def _insert_junk(token: str, victim: Victim) -> str:
    place = victim.dice.randrange(1, len(token))
    return f"{token[:place]}*\r\n!{token[place:]}"


def _respell_last(token: str, victim: Victim) -> str:
    # Four bits of the last character before "==" belong to no byte: 15 other spellings.
    last = _ALPHABET.index(token[-3])
    return f"{token[:-3]}{_ALPHABET[last ^ victim.dice.randrange(1, 16)]}=="


def _as_bytes(change: Callable[[bytearray, Victim], bytearray]) -> Change:
    def changed(token: str, victim: Victim) -> str:
        raw = bytearray(base64.urlsafe_b64decode(token))
        return base64.urlsafe_b64encode(change(raw, victim)).decode()

    return changed


def _set_version(raw: bytearray, victim: Victim) -> bytearray:
    raw[0] = 0x81
    return raw


def _cut(raw: bytearray, victim: Victim) -> bytearray:
    # Never to a shape that a token may have: that one has a name of its own.
    places = [n for n in range(1, len(raw)) if n < _HEAD + 16 + _MAC or (n - _HEAD - _MAC) % 16]
    return raw[: victim.dice.choice(places)]


def _cut_to_blocks(raw: bytearray, victim: Victim) -> bytearray:
    return raw[: victim.dice.randrange(_HEAD + 16 + _MAC, len(raw), 16)]


def _flip_bit(raw: bytearray, victim: Victim) -> bytearray:
    # Behind the version, whose other values are a fault of their own.
    bit = victim.dice.randrange(8, 8 * len(raw))
    raw[bit // 8] ^= 1 << bit % 8
    return raw


def _swap_iv(raw: bytearray, victim: Victim) -> bytearray:
    raw[9:_HEAD] = os.urandom(16)
    return raw


def _older(victim: Victim) -> str:
    keys = victim.ring.decrypt_only
    return keys[victim.record.record_id % len(keys)]


def _removed(victim: Victim) -> str:
    keys = victim.ring.retired
    return keys[victim.record.record_id % len(keys)]


def _stamped(name: str, number: int, does: str, at: Callable[[], int]) -> RecordFault:
    return _sealed(name, number, f"the token's time is {does}", lambda v: v.seal(at=at()))


def _padded_to(size: int) -> Callable[[Victim], str]:
    def make(victim: Victim) -> str:
        # Spaces behind it: still a record, if somebody opens it. Base64 makes 4 of 3 bytes.
        return victim.seal(victim.write(victim.fields()).ljust(size // 4 * 3))

    return make


_JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0." + "A" * 43
_AGE = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3Jn\n" * 2
_PGP = "-----BEGIN PGP MESSAGE-----\n\nhQEMA7mMgSvq1Q8vAQf/\n=aZ1x\n-----END PGP MESSAGE-----\n"

FAULTS = (
    RecordFault("token-missing", (56,), "the envelope has no token", _without_token),
    _instead("token-null", 56, "the token is null", None),
    _instead("token-number", 56, "the token is a number", 20_230_420),
    _instead("token-list", 56, "the token is a list", ["gAAAAA"]),
    _instead("token-empty", 57, "the token is an empty text", ""),
    _changed("token-non-ascii", 58, "the token has an é in it", lambda t, _: f"{t[:40]}é{t[41:]}"),
    _changed(
        "token-lone-surrogate",
        59,
        "the token has half a surrogate pair in it",
        lambda t, _: f"{t[:40]}\ud800{t[41:]}",
    ),
    _changed("token-newline", 60, "the token ends with a line feed", lambda t, _: f"{t}\n"),
    _changed("token-junk-inside", 61, "the token has junk inside, and decrypts", _insert_junk),
    _changed(
        "token-standard-base64",
        62,
        "the token has + and / for - and _, and decrypts",
        lambda t, _: t.replace("-", "+").replace("_", "/"),
        _seal_with_both_marks,
    ),
    _changed(
        "token-padding-missing",
        63,
        "the token lacks its =",
        lambda t, _: t.rstrip("="),
        _seal_with_padding,
    ),
    _changed("token-padding-extra", 64, "the token has four = more", lambda t, _: f"{t}===="),
    _changed(
        "token-last-character",
        65,
        "the token's last character is spelled otherwise, and it decrypts",
        _respell_last,
        _seal_with_padding,
    ),
    _changed("token-version", 66, "the token's version is 0x81", _as_bytes(_set_version)),
    _changed("token-cut", 67, "the token is cut at some byte", _as_bytes(_cut)),
    _changed(
        "token-cut-to-blocks",
        67,
        "the token is cut, and has the shape of a token still",
        _as_bytes(_cut_to_blocks),
    ),
    _changed("token-bit-flip", 68, "one bit of the token is flipped", _as_bytes(_flip_bit)),
    _changed("token-other-iv", 69, "the token has the IV of another one", _as_bytes(_swap_iv)),
    _sealed(
        "old-key",
        70,
        "a decrypt-only key of the ring encrypted the token",
        lambda victim: victim.seal(key=_older(victim)),
        needs="decrypt-only",
    ),
    _sealed(
        "unknown-key",
        71,
        "a key of nobody's ring encrypted the token",
        lambda victim: victim.seal(key=victim.stranger),
    ),
    _sealed(
        "removed-key",
        72,
        "a retired key of the ring encrypted the token",
        lambda victim: victim.seal(key=_removed(victim)),
        needs="retired",
    ),
    _stamped("token-time-zero", 73, "0", lambda: 0),
    _stamped("token-time-tomorrow", 74, "a day ahead", lambda: int(time.time()) + _DAY),
    _stamped("token-time-2-63", 75, "2^63 - 1", lambda: 2**63 - 1),
    _stamped("token-time-2-64", 75, "2^64 - 1", lambda: 2**64 - 1),
    _stamped(
        "token-expired",
        76,
        "400 days ago: too old under a ttl",
        lambda: int(time.time()) - 400 * _DAY,
    ),
    _sealed("token-2-mb", 77, "the token has 2 MB", _padded_to(2_000_000), rate=RARE),
    _sealed("token-50-mb", 77, "the token has 50 MB", _padded_to(50_000_000), rate=RARE),
    _sealed(
        "token-in-token",
        78,
        "the token's plaintext is a token",
        lambda victim: victim.seal(victim.seal()),
    ),
    _changed("tokens-joined", 79, "two tokens in one text", lambda t, victim: t + victim.seal()),
    _sealed("plaintext-empty", 80, "the plaintext is empty", lambda victim: victim.seal("")),
    _changed("token-quoted", 81, "the token is JSON in JSON", lambda t, _: json.dumps(t)),
    _instead("token-jwt", 82, "a JWT instead of the token", _JWT),
    _instead("token-age", 82, "an age file instead of the token", _AGE),
    _instead("token-pgp", 82, "a PGP message instead of the token", _PGP),
)
