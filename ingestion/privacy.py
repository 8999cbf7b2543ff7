"""Pseudonyms: personal values become keyed digests before anything is stored.

HMAC rather than a bare hash, because the source's user ids are hashes of small integers and
were all reversed by trying; without the key that cannot be repeated.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from ingestion.errors import ConfigError
from ingestion.settings import Settings

KEY_BYTES = 32

MAX_KNOWN = 50_000
"""Texts that are remembered with their pseudonyms: 14 MB. The same users come again and again."""

PSEUDONYM_BYTES = 16

_MAX_KNOWN_BYTES = 128
"""Longer texts are not remembered."""

_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Pseudonyms:
    """Turns personal text into 16 bytes: the same text, the same bytes, while the key lives."""

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
        self._known: dict[bytes, bytes] = {}
        self.fingerprint = hashlib.sha256(key).hexdigest()[:16]

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """Read the key from wherever the settings say; from Secrets Manager on every call.

        Raises:
            ConfigError: if it cannot be read or is no key.
            LakeUnavailable: if Secrets Manager did not answer.
        """
        if name := settings.pseudonym_key_secret:
            from ingestion import secret_store  # boto3 is heavy, and who decodes needs none

            text = secret_store.read(settings, name, "PSEUDONYM_KEY_SECRET")
            return cls.parse(text, f"The secret {name}")
        if settings.pseudonym_key:
            return cls.parse(settings.pseudonym_key, "The variable PSEUDONYM_KEY")
        if settings.pseudonym_key_file:
            return cls.from_file(settings.pseudonym_key_file)
        raise ConfigError(
            "There is no pseudonym key. Set PSEUDONYM_KEY_FILE, PSEUDONYM_KEY or "
            "PSEUDONYM_KEY_SECRET."
        )

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a key from a file.

        Raises:
            ConfigError: if the file cannot be read or is no key.
        """
        try:
            return cls.parse(path.read_text("latin-1"), str(path))
        except OSError as error:
            raise ConfigError(
                f"Cannot read the pseudonym key {path}: {error.strerror}. Set PSEUDONYM_KEY_FILE "
                "to a file with 64 hex digits."
            ) from None

    @classmethod
    def parse(cls, text: str, place: str = "The pseudonym key") -> Self:
        """Read a key written as 64 hex digits; ``place`` is what messages call it.

        Raises:
            ConfigError: if it is anything else; the message quotes nothing of it.
        """
        digits = "".join(text.split())
        if not _HEX.fullmatch(digits):
            raise ConfigError(f"{place} must hold 64 hex digits and nothing else.")
        return cls(bytes.fromhex(digits))

    def reveal(self) -> bytes:
        """Return the key, for the pipe to the decoding process: never log or store it."""
        return self._key

    def of(self, text: str) -> bytes:
        """Return the bytes that stand for ``text``: half of its digest.

        2^64 people would have to come before two of them are likely to share a pseudonym.
        """
        return self.digest(text.encode("utf-8"))[:PSEUDONYM_BYTES]

    def of_many(self, texts: Iterable[bytes]) -> list[bytes]:
        """Do what ``of`` does for many texts in UTF-8; remembers the latest ones."""
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        known = self._known
        found = []
        for text in texts:
            value = known.get(text)
            if value is None:
                value = self.digest(text)[:PSEUDONYM_BYTES]
                if len(text) <= _MAX_KNOWN_BYTES:
                    known[text] = value
            found.append(value)
        return found

    def digest(self, content: bytes) -> bytes:
        """Return the HMAC-SHA256 of ``content``."""
        keyed = self._keyed.copy()
        keyed.update(content)
        return keyed.digest()
