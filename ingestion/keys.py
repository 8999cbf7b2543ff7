"""The key ring: opens tokens, says which key opened one. Never shows a key.

A ring is data: a JSON document of keys, each ``primary`` (the source encrypts with it),
``decrypt-only`` (tokens of it may still come) or ``retired`` (it opens nothing any more). The
older form, one key per line and newest first, means: the first is primary, the others decrypt-only.

A token is Fernet (AES-128-CBC + HMAC-SHA256). MultiFernet would open it too, but it does not tell
which key did, and the fingerprint of that key is stored with every row.
"""

import base64
import binascii
import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from ingestion.errors import ConfigError
from ingestion.kernel import Library, Pads
from ingestion.settings import Settings

KeyState = Literal["primary", "decrypt-only", "retired"]

MAX_DOCUMENT_CHARACTERS = 65_536
"""As much as Secrets Manager holds; a longer file is something else."""

MAX_KEYS = 100
"""More would make a token of a stranger slow to refuse; retired keys can be dropped at last."""

_OVERHEAD = 57
"""Bytes of a token beside its ciphertext: version 1, time 8, IV 16, MAC 32."""

_HEAD = 12
"""Characters of a token that hold its version and time: nine bytes."""

_FIELDS: Final = ("key", "state", "not_before", "id")
_KEY = re.compile(r"[A-Za-z0-9_+/-]{43}=")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a token held."""

    plaintext: bytes
    stamped_at: int
    """Seconds since 1970 by the clock of whoever encrypted; under the MAC, so to be believed."""
    key_fingerprint: str


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What may be told about a key."""

    fingerprint: str
    state: KeyState
    not_before: datetime | None
    """When the source may have begun to encrypt with it: a hint where to look first, no rule."""
    id: str | None


@dataclass(frozen=True, slots=True)
class _Key:
    entry: KeyEntry
    secret: bytes = field(repr=False)
    fernet: Fernet


class Halves:
    """The two halves of a key, for ``tokens``, which opens many tokens at once."""

    def __init__(self, secret: bytes, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self._secret = secret[:16]
        self._signing = HMAC(self._secret, SHA256())
        self._pads: Pads | None = None
        self._cipher = algorithms.AES(secret[16:])

    def pads(self, library: Library) -> Pads:
        """Return the same for the compiled kernel."""
        self._pads = self._pads or library.pads(self._secret)
        return self._pads

    def tags(self, signed: Iterable[bytes]) -> list[bytes]:
        """Return the signatures that this key gives."""
        found = []
        for content in signed:
            signature = self._signing.copy()  # half the cost of a new one
            signature.update(content)
            found.append(signature.finalize())
        return found

    def decrypt_into(self, rows: memoryview, plain: memoryview) -> None:
        """Decrypt rows of IV and ciphertext, one behind the other; the IVs become junk.

        Each block is xored with the one before it, which is in its own row or is its own IV.
        ``plain`` has room for a block more than ``rows``.
        """
        decryptor = Cipher(self._cipher, modes.CBC(bytes(16))).decryptor()
        decryptor.update_into(rows, plain)
        decryptor.finalize()  # holds nothing back, as rows are whole blocks


class KeyRing:
    """Fernet keys and their states."""

    def __init__(self, entries: Sequence[object], place: str = "the key ring") -> None:
        """Take the entries of a ring document, or bare keys, newest first.

        Raises:
            ConfigError: naming position and field of everything that is wrong, never a key.
        """
        self._place = place
        self._keys = _read(entries, place)
        usable = [key for key in self._keys if key.entry.state != "retired"]
        usable.sort(key=_start, reverse=True)
        self._fingerprints = tuple(key.entry.fingerprint for key in usable)
        self._starts = sorted({_start(key) for key in usable} - {0})
        self._orders = [_order(usable, since) for since in (0, *self._starts)]
        """One for each span between two starts."""
        self._halves = {
            key.entry.fingerprint: Halves(key.secret, key.entry.fingerprint) for key in usable
        }
        self._is_plain = len({key.secret[:16] for key in usable}) == len(usable)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read the ring from wherever the settings say; from Secrets Manager on every call.

        Raises:
            ConfigError: if it cannot be read or is no ring.
            LakeUnavailable: if Secrets Manager did not answer.
        """
        if settings.fernet_keys_secret:
            from ingestion import secret_store  # boto3 is heavy, and who decodes needs none

            text = secret_store.read(settings, settings.fernet_keys_secret, "FERNET_KEYS_SECRET")
            return cls.parse(text, f"the secret {settings.fernet_keys_secret}")
        if settings.fernet_keys:
            return cls.parse(settings.fernet_keys, "the variable FERNET_KEYS")
        if settings.fernet_keys_file:
            return cls.from_file(settings.fernet_keys_file)
        raise ConfigError(
            "There is no key ring. Set FERNET_KEYS_FILE, FERNET_KEYS or FERNET_KEYS_SECRET."
        )

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a ring from a file.

        Raises:
            ConfigError: if the file cannot be read or is no ring.
        """
        try:
            with path.open(encoding="ascii") as file:
                text = file.read(MAX_DOCUMENT_CHARACTERS + 1)
        except OSError as error:
            raise ConfigError(
                f"Cannot read the key ring {path}: {error.strerror}. Set FERNET_KEYS_FILE to a "
                "file with a key ring: a JSON document, or one Fernet key per line."
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"The key ring {path} is not a text file of Fernet keys.") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, place: str = "the key ring") -> Self:
        """Read a ring from its text; ``place`` is what messages call it.

        Raises:
            ConfigError: if it is no ring; the message quotes nothing of the text.
        """
        if len(text) > MAX_DOCUMENT_CHARACTERS:
            raise ConfigError(
                f"{place}: longer than {MAX_DOCUMENT_CHARACTERS} characters, so it is no key ring."
            )
        if text.lstrip().startswith(("{", "[", '"')):
            return cls(_entries(text, place), place)
        lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
        return cls([line for line in lines if line], place)

    def document(self) -> str:
        """Return the ring as its JSON document. It holds the keys: never log or store it."""
        return json.dumps({"keys": [_written(key) for key in self._keys]})

    def describe(self) -> str:
        """Return where the ring comes from, for messages."""
        return self._place

    @property
    def entries(self) -> tuple[KeyEntry, ...]:
        """What may be told about the keys, in the order of the document."""
        return tuple(key.entry for key in self._keys)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the keys that open tokens, newest first."""
        return self._fingerprints

    def open(self, token: str) -> Opened | None:
        """Return what ``token`` holds, or None if no key of the ring opens it."""
        stamp = _stamp(token)
        span = -1 if stamp is None else bisect_right(self._starts, stamp)
        order = self._orders[span]
        for position, key in enumerate(order):
            try:
                plaintext = key.fernet.decrypt(token)
            except (InvalidToken, ValueError, TypeError):
                continue
            if position:
                # What worked for this span works next: a page has one key, or one change of keys.
                # Another order in its place at once: a second thread must never miss a key.
                self._orders[span] = (key, *order[:position], *order[position + 1 :])
            if stamp is None:  # junk in its first characters, which decoding passes over
                stamp = int.from_bytes(base64.urlsafe_b64decode(token)[1:9], "big")
            return Opened(plaintext, stamp, key.entry.fingerprint)
        return None

    def halves(self, stamp: int) -> list[Halves]:
        """Return the keys in the order in which to try them on tokens of that time.

        None if two keys sign alike: then it is for ``open`` to say which of them opened a token.
        """
        order = self._orders[bisect_right(self._starts, stamp)] if self._is_plain else ()
        return [self._halves[key.entry.fingerprint] for key in order]


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


def _stamp(token: str) -> int | None:
    """Return a token's clear time, from its first characters only; None if they do not hold it."""
    try:
        head = base64.urlsafe_b64decode(token[:_HEAD])
    except (ValueError, TypeError):
        return None
    # Fewer bytes: not every character was one of base64, so the time stands further behind.
    return int.from_bytes(head[1:], "big") if len(head) == _HEAD * 3 // 4 else None


def _start(key: _Key) -> int:
    """Return the second from which tokens of a key are to be expected; 0 where nobody said."""
    begins = key.entry.not_before
    return max(0, int(begins.timestamp())) if begins else 0


def _order(newest_first: Sequence[_Key], since: int) -> tuple[_Key, ...]:
    """Return the keys as to be tried on a token of that time: begun by then, and the others."""
    return tuple(sorted(newest_first, key=lambda key: _start(key) > since))


def _written(key: _Key) -> dict[str, str]:
    entry = key.entry
    written = {"key": base64.urlsafe_b64encode(key.secret).decode(), "state": str(entry.state)}
    if entry.not_before:
        written["not_before"] = entry.not_before.isoformat()
    if entry.id:
        written["id"] = entry.id
    return written


# ---------- reading a document: no message quotes it, because any part of it may be a key


class _Repeated(ValueError):
    pass


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated  # json would take the last and drop a key without a word
    return found


def _entries(text: str, place: str) -> list[object]:
    document: Any = None
    problem = ""
    try:
        document = json.loads(text, object_pairs_hook=_unrepeated)
    except _Repeated:
        problem = "a field is there twice in one object"
    except json.JSONDecodeError as error:
        problem = f"no JSON document; it breaks off at line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):
        problem = "no JSON document of keys"
    if not problem and not (isinstance(document, dict) and set(document) == {"keys"}):
        problem = 'a key ring is an object with the one field "keys"'
    elif not problem and not isinstance(document["keys"], list):
        problem = '"keys" must be a list'
    if problem:
        # Not where it was caught: json's error would hang on to ours, and it holds the text.
        raise ConfigError(f"{place}: {problem}.")
    return [entry if isinstance(entry, dict) else None for entry in document["keys"]]


def _read(entries: Sequence[object], place: str) -> tuple[_Key, ...]:
    if not entries:
        raise ConfigError(f"{place}: the key ring is empty. Put at least one Fernet key into it.")
    if len(entries) > MAX_KEYS:
        raise ConfigError(f"{place}: the key ring has {len(entries)} keys; {MAX_KEYS} are allowed.")
    problems: list[str] = []
    keys: list[_Key] = []
    states: list[object] = []
    for position, entry in enumerate(entries, 1):
        if isinstance(entry, str):
            entry = {"key": entry, "state": "primary" if position == 1 else "decrypt-only"}
        key, wrong = _key(entry)
        problems += [f"Key {position} of the ring {problem}" for problem in wrong]
        states.append(entry.get("state") if isinstance(entry, dict) else None)
        if key is not None:
            problems += _twins(position, key, keys)
            keys.append(key)
    problems += _misfits(states)
    if problems:
        raise ConfigError(f"{place}: {'. '.join(problems)}.")
    return tuple(keys)


def _key(entry: object) -> tuple[_Key | None, list[str]]:
    """Return the key that an entry holds, or what is wrong with the entry."""
    if not isinstance(entry, dict):
        return None, ["is no object with the fields key and state"]
    problems = []
    if not entry.keys() <= set(_FIELDS):
        problems.append(f"has a field other than {', '.join(_FIELDS)}")
    text, state, begins, name = (entry.get(name) for name in _FIELDS)
    if not isinstance(text, str) or not _KEY.fullmatch(text):
        problems.append("is no Fernet key; one is 44 characters: 32 bytes in URL-safe base64")
    if state not in get_args(KeyState):
        problems.append(f"has no state; it is one of {', '.join(get_args(KeyState))}")
    instant = _instant(begins)
    if begins is not None and instant is None:
        problems.append("has a bad not_before; a good one looks like 2026-01-31T00:00:00Z")
    if name is not None and not (isinstance(name, str) and _ID.fullmatch(name)):
        problems.append("has a bad id; a good one has up to 32 letters, digits, dots and dashes")
    if problems:
        return None, problems
    secret = base64.urlsafe_b64decode(str(text))
    known = KeyEntry(fingerprint(secret), state, instant, name)  # type: ignore[arg-type]
    return _Key(known, secret, Fernet(str(text))), []


def _instant(text: object) -> datetime | None:
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _twins(position: int, key: _Key, earlier: Sequence[_Key]) -> list[str]:
    problems = []
    if any(other.secret == key.secret for other in earlier):
        problems.append(f"Key {position} of the ring is there twice")
    if key.entry.id and any(other.entry.id == key.entry.id for other in earlier):
        problems.append(f"Key {position} of the ring has the id of another one")
    return problems


def _misfits(states: Sequence[object]) -> list[str]:
    """Say what is wrong with the states of a ring together."""
    primaries = states.count("primary")
    if all(state == "retired" for state in states):
        return ["Every key of the ring is retired, so it opens nothing"]
    if primaries > 1:
        return [f"{primaries} keys of the ring are primary; exactly one must be"]
    if not primaries and all(state in get_args(KeyState) for state in states):
        return ["No key of the ring is primary; exactly one must be"]
    return []
