"""What a fault of one record is, and what its authors have at hand. Knows no HTTP.

A fault turns a record into the elements of the page that stand for it: mostly one, sometimes two.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.key_ring import KeyRing
from simulator.records import Record, fields
from simulator.tokens import Sealer, envelope, seal

COMMON = 0.05
"""The rate of a fault for which none was asked."""

RARE = 0.001
"""The same for faults of megabytes: a page full of them would be gigabytes."""

_PLACE = "@place@"


class Verbatim(str):
    """JSON text that no value of ours would give, such as a key that is there twice."""


@dataclass(frozen=True, slots=True)
class Victim:
    """The record that a fault befalls."""

    record: Record
    ring: KeyRing
    sealer: Sealer
    dice: random.Random
    """Seeded by fault seed and record id, so that a second request sees the same wound."""
    stranger: str = field(repr=False)
    """A key that is in no ring, but that a test may compute."""

    def fields(self, **changes: object) -> dict[str, object]:
        """Return the plaintext's fields, with changes."""
        return {**fields(self.record), **changes}

    def write(self, plain: Mapping[str, object]) -> str:
        """Return fields as the source writes them."""
        return self.sealer.write(plain)

    def write_literal(self, plain: Mapping[str, object], name: str, literal: str) -> str:
        """Return fields of which one has a value that is written exactly so."""
        text = self.write({**plain, name: _PLACE})
        return text.replace(repr(_PLACE), literal).replace(json.dumps(_PLACE), literal)

    def seal(
        self, content: str | bytes | None = None, key: str | None = None, at: int | None = None
    ) -> str:
        """Encrypt a plaintext (this record's, unless given)."""
        plain = self.write(self.fields()) if content is None else content
        return seal(plain, key or self.ring.primary, at)

    def envelope(self, token: str | None = None, **changes: object) -> dict[str, Any]:
        """Return the envelope, with changes."""
        return {**envelope(self.record, self.seal() if token is None else token), **changes}


@dataclass(frozen=True, slots=True)
class RecordFault:
    """One way to hurt a record, and the numbers under which the list of bad inputs has it."""

    name: str
    numbers: tuple[int, ...]
    does: str
    hurt: Callable[[Victim], list[Any]]
    rate: float = COMMON
    needs: str | None = None
    """The state of a key that the ring must hold."""


def element(value: Any) -> str:
    """Return the JSON text of one element of a page."""
    return str(value) if isinstance(value, Verbatim) else json.dumps(value, separators=(",", ":"))
