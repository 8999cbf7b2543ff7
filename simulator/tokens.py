"""Records → the envelopes that the API answers with. The only module that sees a key."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography.fernet import Fernet

from simulator.errors import SimulatorError
from simulator.records import Record, fields

Plaintext = Literal["repr", "json"]
PLAINTEXTS: tuple[Plaintext, ...] = get_args(Plaintext)


@dataclass(frozen=True, slots=True)
class Sealer:
    """Encrypts with the first key of a ring; the other keys are of no use to a source."""

    key: Fernet = field(repr=False)
    plaintext: Plaintext = "repr"
    """``repr`` is what the real source sends: Python's ``str(dict)``, which is not JSON."""

    @classmethod
    def from_file(cls, path: Path, plaintext: Plaintext = "repr") -> Sealer:
        """Read a key ring: one Fernet key per line, newest first, ``#`` starts a comment."""
        try:
            lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
        except OSError as error:
            raise SimulatorError(
                f"Cannot read the key ring {path}: {error.strerror}. "
                "--keys-file names a file with one Fernet key per line."
            ) from error
        keys = [line for line in lines if line]
        if not keys:
            raise SimulatorError(f"The key ring {path} holds no key; put one on its first line.")
        # Every key is tried, so that a broken ring is noticed now and not after a rotation.
        unusable = sum(1 for key in keys if not _is_usable(key))
        if unusable:
            raise SimulatorError(
                f"The key ring {path} has {unusable} unusable line(s); each must be 32 bytes in "
                "URL-safe base64, as Fernet.generate_key() makes them."
            )
        return cls(Fernet(keys[0]), plaintext)

    def envelopes(self, records: Iterable[Record]) -> list[dict[str, Any]]:
        """Encrypt anew: two calls never give the same tokens."""
        return [
            {
                "recordId": record.record_id,
                "ArrivalTimeStamp": record.arrived_wall_ms / 1000,
                "data": self.key.encrypt(self._text(record).encode()).decode(),
            }
            for record in records
        ]

    def _text(self, record: Record) -> str:
        if self.plaintext == "repr":
            return str(fields(record))
        return json.dumps(fields(record))


def _is_usable(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True
