"""The key ring's file, read again whenever it changes. No message quotes any of it.

Two forms. A JSON document: ``{"keys": [{"key": …, "state": "primary"|"decrypt-only"|"retired"}]}``
(``not_before`` and ``id`` may be there; a source has no use for them). Or lines: one key each,
newest first, ``#`` starts a comment; the first is primary and the others decrypt-only.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.errors import SimulatorError

STATES = ("primary", "decrypt-only", "retired")

_KEY = re.compile(r"[A-Za-z0-9_+/-]{43}=")
"""32 bytes in base64, which is all that Fernet asks for."""

_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class KeyRing:
    """One reading of a ring."""

    primary: str = field(repr=False)
    """What the source encrypts with."""
    decrypt_only: tuple[str, ...] = field(default=(), repr=False)
    retired: tuple[str, ...] = field(default=(), repr=False)


class KeyRingFile:
    """A ring that may be replaced while the simulator runs.

    A new file that is broken changes nothing: the last good ring stays, and one line says so.
    """

    def __init__(self, path: Path, needed: Sequence[str] = ()) -> None:
        """Read the ring; ``needed`` are states of which it must hold a key.

        Raises:
            SimulatorError: if the file cannot be read, or is no usable ring.
        """
        self._path = path
        self._needed = needed
        # Requests are served by threads; one of them reads, and complains once.
        self._lock = threading.Lock()
        self._seen = self._look()
        self._ring = self._read()

    def current(self) -> KeyRing:
        """Return the ring as the file has it now; costs one look at the file's date and size."""
        seen = self._look()
        if seen != self._seen:
            with self._lock:
                if seen != self._seen:
                    self._seen = seen
                    self._replace()
        return self._ring

    def _look(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _replace(self) -> None:
        try:
            self._ring = self._read()
        except SimulatorError as error:
            sys.stderr.write(f"simulator: the key ring stays as it was: {error}\n")
        else:
            sys.stderr.write(f"simulator: took the changed key ring {self._path}\n")

    def _read(self) -> KeyRing:
        try:
            with self._path.open("rb") as file:
                content = file.read(_MAX_BYTES)
        except OSError as error:
            raise SimulatorError(
                f"Cannot read the key ring {self._path}: {error.strerror}. "
                "--keys-file names a file with one Fernet key per line, or a JSON key ring."
            ) from error
        try:
            ring = _parse(content.decode())
        except UnicodeDecodeError:
            raise SimulatorError(f"The key ring {self._path} is no text.") from None
        except _Unusable as unusable:
            raise SimulatorError(f"The key ring {self._path} {unusable}") from None
        for state in self._needed:
            if not (ring.retired if state == "retired" else ring.decrypt_only):
                raise SimulatorError(
                    f"The key ring {self._path} holds no {state} key, which a --fault needs."
                )
        return ring


class _Unusable(Exception):
    """Why a text is no ring, as the end of a sentence."""


def _parse(text: str) -> KeyRing:
    if text.lstrip().startswith(("{", "[")):
        keys = _document(text)
    else:
        lines = [line.split("#")[0].strip() for line in text.splitlines()]
        found = [line for line in lines if line]
        keys = [(key, "decrypt-only" if place else "primary") for place, key in enumerate(found)]
    if not keys:
        raise _Unusable("holds no key; put one on its first line.")
    # Every key is tried, so that a broken ring is noticed now and not after a rotation.
    if unusable := sum(1 for key, _ in keys if not _KEY.fullmatch(key)):
        raise _Unusable(
            f"has {unusable} unusable line(s); each must be 32 bytes in URL-safe base64, as "
            "Fernet.generate_key() makes them."
        )
    primary, decrypt_only, retired = (
        tuple(key for key, state in keys if state == wanted) for wanted in STATES
    )
    if len(primary) != 1:
        raise _Unusable(f"has {len(primary)} primary keys; it must have exactly one.")
    return KeyRing(primary[0], decrypt_only, retired)


def _document(text: str) -> list[tuple[str, str]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _Unusable("is no JSON document, although it begins like one.") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        raise _Unusable(
            'is no key ring: it must be {"keys": [{"key": …, "state": …}, …]}, where state is '
            f"one of {', '.join(STATES)}."
        )
    return [(entry["key"], entry["state"]) for entry in entries]


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("key"), str)
        and entry.get("state") in STATES
    )
