"""What has to be done at least: each byte touched once, by the fastest call that is installed.

    part        the floor                              the same, by calls that give values
    page        JSON scanned, nothing made of it       three members of each envelope
    base64      all tokens in one call                 the same
    MAC         SHA-256 over the same blocks, as one   a keyed MAC per token
    AES         one call over all ciphertext           the same
    plaintext   JSON scanned, nothing made of it       the members that differ, quotes turned first
    Parquet     the finished table, by our encoder     the same

Both are sums of parts whose inputs lie ready; no part hands the next what it needs. Neither checks
anything, knows a second key, a bad record, a pseudonym or a time zone. The floor cannot be reached:
a MAC that is not checked per token is no MAC. It is what a kernel in C would approach.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from benchmarks.contenders import derived, rules
from ingestion import files

PARTS = ("page", "base64", "MAC", "AES", "plaintext", "Parquet")
SCANS = ("page", "MAC", "plaintext")
"""Parts that are done more cheaply where no value has to come out."""


class _Envelope(msgspec.Struct, gc=False):
    recordId: int
    ArrivalTimeStamp: float
    data: str


class _Fields(msgspec.Struct, gc=False):
    user_id: str
    record_id: int
    activity: str
    url: str
    inDate: str


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do a part; the fastest of a part counts."""

    part: str
    name: str
    call: Callable[[], Any]
    is_scan: bool = False
    """Gives no value, so that only the floor has it."""


def ways(pages: Sequence[bytes], key: str, is_json: bool) -> list[Way]:
    """Return every way to do every part over the records of these pages."""
    tokens = [e["data"].encode() for page in pages for e in json.loads(page)]
    fernet = Fernet(key)
    raw = [binascii.a2b_base64(token.translate(_TO_STANDARD)) for token in tokens]
    table = pa.concat_tables(derived(pages, rules(key)).raw.values())
    return [
        *_page_ways(pages),
        *_base64_ways(tokens),
        *_mac_ways(fernet._signing_key, [token[:-32] for token in raw]),
        *_aes_ways(fernet._encryption_key, b"".join(token[25:-32] for token in raw)),
        *_plaintext_ways([fernet.decrypt(token) for token in tokens], is_json),
        Way("Parquet", "pyarrow", lambda: files.encode(table)),
    ]


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_ONE_RUN = bytes.maketrans(b"-_=", b"+/A")
_TO_JSON = bytes.maketrans(b"'", b'"')


def _page_ways(pages: Sequence[bytes]) -> list[Way]:
    scan = msgspec.json.Decoder(list[msgspec.Raw])
    typed = msgspec.json.Decoder(list[_Envelope])
    return [
        Way("page", "msgspec, scanned", lambda: [scan.decode(page) for page in pages], True),
        Way("page", "json", lambda: [json.loads(page) for page in pages]),
        Way("page", "msgspec", lambda: [msgspec.json.decode(page) for page in pages]),
        Way("page", "msgspec, typed", lambda: [typed.decode(page) for page in pages]),
    ]


def _base64_ways(tokens: Sequence[bytes]) -> list[Way]:
    run = b"".join(tokens).translate(_TO_ONE_RUN)
    quoted = b'"' + run + b'"'
    decoder = msgspec.json.Decoder(bytes)
    return [
        Way("base64", "binascii", lambda: binascii.a2b_base64(run)),
        Way("base64", "msgspec", lambda: decoder.decode(quoted)),
    ]


def _mac_ways(key: bytes, signed: Sequence[bytes]) -> list[Way]:
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
    # A message's blocks with their padding, and the outer hash's one; the keyed states are made.
    blocks = bytes(sum((len(token) + 9 + 63) // 64 * 64 + 64 for token in signed))

    def copied() -> list[bytes]:
        made = []
        for token in signed:
            state, last = inner.copy(), outer.copy()
            state.update(token)
            last.update(state.digest())
            made.append(last.digest())
        return made

    return [
        Way("MAC", "all as one", lambda: hashlib.sha256(blocks).digest(), True),
        Way("MAC", "hmac.digest", lambda: [hmac.digest(key, t, "sha256") for t in signed]),
        Way("MAC", "hashlib, keyed states copied", copied),
    ]


def _aes_ways(key: bytes, ciphertext: bytes) -> list[Way]:
    cipher = Cipher(algorithms.AES(key), modes.CBC(bytes(16)))
    room = bytearray(len(ciphertext) + 16)
    return [
        Way("AES", "cryptography", lambda: cipher.decryptor().update_into(ciphertext, room)),
    ]


def _plaintext_ways(plain: Sequence[bytes], is_json: bool) -> list[Way]:
    text = b"[" + b",".join(plain) + b"]"
    spelled = text if is_json else text.translate(_TO_JSON)
    scan = msgspec.json.Decoder(list[msgspec.Raw])
    typed = msgspec.json.Decoder(list[_Fields])

    def read() -> list[_Fields]:
        return typed.decode(text if is_json else text.translate(_TO_JSON))

    return [
        Way("plaintext", "msgspec, scanned", lambda: scan.decode(spelled), True),
        Way("plaintext", "msgspec, typed", read),
    ]
