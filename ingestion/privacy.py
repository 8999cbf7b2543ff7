"""Pseudonyms: personal values become keyed digests before anything is stored.

HMAC rather than a bare hash, because the source's user ids are hashes of small integers and
were all reversed by trying; without the key that cannot be repeated.
"""

import hashlib
import hmac
from pathlib import Path
from typing import Self

from ingestion.errors import ConfigError

KEY_BYTES = 32


class Pseudonyms:
    """Turns personal text into 32 bytes: the same text, the same bytes, while the key lives."""

    def __init__(self, key: bytes) -> None:
        """Take the key.

        Raises:
            ConfigError: if it has another length than 32 bytes.
        """
        if len(key) != KEY_BYTES:
            raise ConfigError(f"The pseudonym key must have {KEY_BYTES} bytes, not {len(key)}.")
        self._key = key
        # The keyed state is made once and copied: half the cost of a new HMAC per value.
        self._keyed = hmac.new(key, digestmod=hashlib.sha256)
        self.fingerprint = hashlib.sha256(key).hexdigest()[:16]

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a key written as 64 hex digits.

        Raises:
            ConfigError: if the file cannot be read or holds anything else.
        """
        try:
            return cls(bytes.fromhex(path.read_text("ascii").strip()))
        except OSError as error:
            raise ConfigError(
                f"Cannot read the pseudonym key {path}: {error.strerror}. Set PSEUDONYM_KEY_FILE "
                "to a file with 64 hex digits."
            ) from None
        except ValueError:
            # A bad hex digit is named by Python's message: part of a secret, so it is dropped.
            raise ConfigError(f"{path} must hold 64 hex digits and nothing else.") from None

    def reveal(self) -> bytes:
        """Return the key, for the pipe to the decoding process: never log or store it."""
        return self._key

    def of(self, text: str) -> bytes:
        """Return the 32 bytes that stand for ``text``."""
        return self.digest(text.encode("utf-8"))

    def digest(self, content: bytes) -> bytes:
        """Return the 32 bytes that stand for ``content``."""
        keyed = self._keyed.copy()
        keyed.update(content)
        return keyed.digest()
