"""What has to be done at least: each byte touched once, by the fastest call that is installed.

    page        the page's JSON, read whole
    base64      all tokens in one call
    MAC         one keyed SHA-256 per token: a MAC that is not checked per token is no MAC
    AES         one call over all ciphertext
    plaintext   all plaintexts in one call (repr: its quotes replaced by JSON's, in one call)
    Parquet     the finished table, by the encoder that we use, too

It checks nothing, types and names nothing, knows no second key, no bad record, no pseudonym and no
time zone, and none of its parts hands the next what it needs. ``MAC at once`` is the MAC's hash
over the same blocks as if all were one message: no token is checked that way, but no call per
token is paid, either; a sum with it is what a kernel in C could approach.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.json as pj
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from benchmarks.contenders import derived, rules
from ingestion import files

PARTS = ("page", "base64", "MAC", "AES", "plaintext", "Parquet")
AT_ONCE = "MAC at once"


class _Envelope(msgspec.Struct):
    recordId: int
    ArrivalTimeStamp: float
    data: str


class _Detail(msgspec.Struct):
    message: str
    levelname: str


class _Fields(msgspec.Struct):
    user_id: str
    record_id: int
    activity: str
    url: str
    method: str
    name: str
    inDate: str
    detail: _Detail


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do a part; the fastest of a part counts."""

    part: str
    name: str
    call: Callable[[], Any]


def ways(pages: Sequence[bytes], key: str, is_json: bool) -> list[Way]:
    """Return every way to do every part over the records of these pages."""
    tokens = [e["data"].encode() for page in pages for e in json.loads(page)]
    fernet = Fernet(key)
    plain = [fernet.decrypt(token) for token in tokens]
    raw = [binascii.a2b_base64(t.translate(_TO_STANDARD)) for t in tokens]
    signing = fernet._signing_key
    cipher = Cipher(algorithms.AES(fernet._encryption_key), modes.CBC(bytes(16)))
    ciphertext = b"".join(token[25:-32] for token in raw)
    signed = [token[:-32] for token in raw]
    blocks = bytes(sum((len(token) + 9 + 63) // 64 * 64 + 64 for token in signed))
    table = pa.concat_tables(derived(pages, rules(key)).raw.values())
    return [
        *_page_ways(pages),
        Way("base64", "binascii", lambda: _decode(tokens)),
        Way("MAC", "hmac.digest", lambda: [hmac.digest(signing, t, "sha256") for t in signed]),
        Way("MAC", "hashlib, keyed states copied", _copied(signing, signed)),
        Way(AT_ONCE, "hashlib", lambda: hashlib.sha256(blocks).digest()),
        Way("AES", "cryptography", lambda: cipher.decryptor().update(ciphertext)),
        *_plaintext_ways(plain, is_json),
        Way("Parquet", "pyarrow", lambda: files.encode(table)),
    ]


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_ONE_RUN = bytes.maketrans(b"-_=", b"+/A")


def _decode(tokens: Sequence[bytes]) -> bytes:
    return binascii.a2b_base64(b"".join(tokens).translate(_TO_ONE_RUN))


def _page_ways(pages: Sequence[bytes]) -> list[Way]:
    typed = msgspec.json.Decoder(list[_Envelope])
    return [
        Way("page", "json", lambda: [json.loads(page) for page in pages]),
        Way("page", "msgspec", lambda: [msgspec.json.decode(page) for page in pages]),
        Way("page", "msgspec, typed", lambda: [typed.decode(page) for page in pages]),
    ]


def _plaintext_ways(plain: Sequence[bytes], is_json: bool) -> list[Way]:
    typed = msgspec.json.Decoder(list[_Fields])

    def text(separator: bytes) -> bytes:
        joined = separator.join(plain)
        return joined if is_json else joined.replace(b"'", b'"')

    def arrow() -> pa.Table:
        return pj.read_json(io.BytesIO(text(b"\n")))

    return [
        Way("plaintext", "pyarrow", arrow),
        Way("plaintext", "msgspec, typed", lambda: typed.decode(b"[" + text(b",") + b"]")),
    ]


def _copied(key: bytes, signed: Sequence[bytes]) -> Callable[[], object]:
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def macs() -> list[bytes]:
        made = []
        for token in signed:
            state, last = inner.copy(), outer.copy()
            state.update(token)
            last.update(state.digest())
            made.append(last.digest())
        return made

    return macs
