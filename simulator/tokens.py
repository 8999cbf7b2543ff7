"""Records → the envelopes that the API answers with. The only module that encrypts."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography.fernet import Fernet

from simulator.key_ring import KeyRing, KeyRingFile
from simulator.records import Record, fields

Plaintext = Literal["repr", "json"]
PLAINTEXTS: tuple[Plaintext, ...] = get_args(Plaintext)


@dataclass(frozen=True, slots=True)
class Sealer:
    """Encrypts with the primary key of a ring; the other keys are of no use to a sane source."""

    file: KeyRingFile
    plaintext: Plaintext = "repr"
    """``repr`` is what the real source sends: Python's ``str(dict)``, which is not JSON."""

    @classmethod
    def from_file(
        cls, path: Path, plaintext: Plaintext = "repr", needed: Sequence[str] = ()
    ) -> Sealer:
        """Read a key ring that has a key in each of the ``needed`` states."""
        return cls(KeyRingFile(path, needed), plaintext)

    def ring(self) -> KeyRing:
        """Return the ring of this moment; whoever makes a page takes it once."""
        return self.file.current()

    def envelopes(self, records: Iterable[Record], key: str | None = None) -> list[dict[str, Any]]:
        """Encrypt anew, with the primary key or another: two calls never give the same tokens."""
        key = key or self.ring().primary
        return [envelope(record, self.token(record, key)) for record in records]

    def token(self, record: Record, key: str) -> str:
        """Encrypt one record."""
        return seal(self.write(fields(record)), key)

    def write(self, plain: Mapping[str, object]) -> str:
        """Return the plaintext of a record's fields."""
        return str(plain) if self.plaintext == "repr" else json.dumps(plain)


def envelope(record: Record, token: str) -> dict[str, Any]:
    """Return what the API sends for one record."""
    return {
        "recordId": record.record_id,
        "ArrivalTimeStamp": record.arrived_wall_ms / 1000,
        "data": token,
    }


def seal(content: str | bytes, key: str, at: int | None = None) -> str:
    """Encrypt under a key of that text; ``at`` is the token's own time in seconds, now if None."""
    plain = content if isinstance(content, bytes) else content.encode()
    return _fernet(key).encrypt_at_time(plain, int(time.time()) if at is None else at).decode()


@functools.lru_cache(maxsize=32)
def _fernet(key: str) -> Fernet:
    return Fernet(key)
