"""The key ring: opens tokens, says which key opened one. Never shows a key.

A token is Fernet (AES-128-CBC + HMAC-SHA256). MultiFernet would open it too, but it does not tell
which key did, and the fingerprint of that key is stored with every row.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken

from ingestion.errors import ConfigError

_OVERHEAD = 57
"""Bytes of a token beside its ciphertext: version 1, time 8, IV 16, MAC 32."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a token held."""

    plaintext: bytes
    stamped_at: int
    """Seconds since 1970 by the clock of whoever encrypted; under the MAC, so to be believed."""
    key_fingerprint: str


class KeyRing:
    """Fernet keys, newest first."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the keys as text.

        Raises:
            ConfigError: naming the position of a bad key, never the key.
        """
        if not keys:
            raise ConfigError("The key ring is empty. Put at least one Fernet key into it.")
        self._keys: list[tuple[str, Fernet]] = []
        for position, key in enumerate(keys, 1):
            try:
                secret = base64.urlsafe_b64decode(key.encode("ascii"))
                self._keys.append((fingerprint(secret), Fernet(key)))
            except (ValueError, binascii.Error):
                raise ConfigError(
                    f"Key {position} of the ring is no Fernet key. A Fernet key is 44 characters: "
                    "32 bytes in URL-safe base64."
                ) from None
        self._likely = 0

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read one key per line, newest first; ``#`` begins a comment.

        Raises:
            ConfigError: if the file cannot be read or holds no usable key.
        """
        try:
            text = path.read_text("ascii")
        except OSError as error:
            raise ConfigError(
                f"Cannot read the key ring {path}: {error.strerror}. Set FERNET_KEYS_FILE to a "
                "file with one Fernet key per line."
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"The key ring {path} is not a text file of Fernet keys.") from None
        lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
        try:
            return cls([line for line in lines if line])
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the keys, newest first."""
        return tuple(mark for mark, _ in self._keys)

    def open(self, token: str) -> Opened | None:
        """Return what ``token`` holds, or None if no key of the ring opens it."""
        # The key that worked last works next: tokens of one request share a key.
        order = [self._likely, *(i for i in range(len(self._keys)) if i != self._likely)]
        for index in order:
            mark, fernet = self._keys[index]
            try:
                plaintext = fernet.decrypt(token)
            except (InvalidToken, ValueError, TypeError):
                continue
            self._likely = index
            stamped_at = int.from_bytes(base64.urlsafe_b64decode(token)[1:9], "big")
            return Opened(plaintext, stamped_at, mark)
        return None


def fingerprint(secret: bytes) -> str:
    """Return the 16 hex digits under which a key is known in the lake."""
    return hashlib.sha256(secret).hexdigest()[:16]


def is_well_formed(token: str) -> bool:
    """Tell whether ``token`` has the shape of a Fernet token, whoever encrypted it."""
    try:
        raw = base64.urlsafe_b64decode(token)
    except (ValueError, binascii.Error):
        return False
    ciphertext = len(raw) - _OVERHEAD
    return ciphertext >= 16 and ciphertext % 16 == 0 and raw[0] == 0x80
