"""Every fault by name, and who is hurt by which: a pure function of a seed.

A draw is the first eight bytes of SHA-256 over ``<seed>/record/<id>`` (or ``/request/<number>``),
divided by 2^64. The wanted faults of that sort, in order of their names, take the interval from
0 to 1 piece by piece, each as much as its rate. So anyone can compute what was offered.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from simulator import envelope_faults, http_faults, paging_faults, plaintext_faults, token_faults
from simulator.errors import SimulatorError
from simulator.http_faults import HttpFault
from simulator.record_faults import RecordFault, Victim
from simulator.records import Record
from simulator.tokens import Sealer, envelope

HTTP: Final[Mapping[str, HttpFault]] = {
    fault.name: fault for fault in (*http_faults.FAULTS, *paging_faults.FAULTS)
}
RECORD: Final[Mapping[str, RecordFault]] = {
    fault.name: fault
    for fault in (*envelope_faults.FAULTS, *token_faults.FAULTS, *plaintext_faults.FAULTS)
}
REGISTRY: Final[Mapping[str, HttpFault | RecordFault]] = {**HTTP, **RECORD}

NOT_COMMITTED: Final[Mapping[int, str]] = {
    21: "TLS: this server speaks plain HTTP; a test of the client brings its own certificate",
}
"""Numbers of the list of bad inputs that have no fault here, and why."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults that were asked for."""

    rates: Mapping[str, float] = field(default_factory=dict)
    seed: int = 7
    requests: int = 5
    """How many requests an outage lasts."""
    seconds: float = 10.0
    """After which a hanging or dripping answer ends."""

    @classmethod
    def parse(cls, wishes: Iterable[str], seed: int = 7, **scale: Any) -> Faults:
        """Read ``NAME`` or ``NAME=RATE``.

        Raises:
            SimulatorError: for a name that no fault has, a rate that is none, or too many.
        """
        rates: dict[str, float] = {}
        for wish in wishes:
            name, equals, text = wish.partition("=")
            if name not in REGISTRY:
                raise SimulatorError(f"There is no fault {name!r}; --list-faults prints them all.")
            if name in rates:
                raise SimulatorError(f"--fault {name} was given twice.")
            rates[name] = _rate(name, text) if equals else REGISTRY[name].rate
        for kind, names in (("records", RECORD), ("requests", HTTP)):
            total = sum(rate for name, rate in rates.items() if name in names)
            if total > 1 + 1e-9:
                raise SimulatorError(
                    f"The rates of all faults of {kind} add up to {total:g}, and one is hurt once: "
                    "lower them to 1 together."
                )
        return cls(rates, seed, **scale)

    @property
    def needs(self) -> tuple[str, ...]:
        """The states of which the key ring must hold a key."""
        needed = {REGISTRY[name].needs for name in self.rates}
        return tuple(sorted(state for state in needed if state))

    @property
    def of_http(self) -> tuple[str, ...]:
        """The wanted faults that only a server can commit."""
        return tuple(sorted(name for name in self.rates if name in HTTP))

    def of(self, record_id: int) -> str | None:
        """Return the fault that hurts a record, whenever it is asked for."""
        return self._drawn("record", record_id, RECORD)

    def of_request(self, number: int) -> str | None:
        """Return the fault of a request for a page; the first since the start is number 1."""
        for back in range(self._longest() - 1, -1, -1):
            name = self._drawn("request", number - back, HTTP) if number > back else None
            if name and self._lasts(name) > back:
                return name
        return None

    def envelopes(
        self, sealer: Sealer, records: Sequence[Record], key: str | None = None
    ) -> list[Any]:
        """Return the elements that stand for records on a page or in a dump."""
        ring = sealer.ring()
        found: list[Any] = []
        for record in records:
            name = self.of(record.record_id)
            if name is None:
                found.append(envelope(record, sealer.token(record, key or ring.primary)))
            else:
                dice = random.Random(f"{self.seed}/wound/{record.record_id}")
                victim = Victim(record, ring, sealer, dice, self.stranger)
                found += RECORD[name].hurt(victim)
        return found

    @property
    def stranger(self) -> str:
        """The Fernet key of ``unknown-key``: in nobody's ring, until a test puts it there."""
        digest = hashlib.sha256(f"{self.seed}/stranger".encode()).digest()
        return base64.urlsafe_b64encode(digest).decode()

    def _drawn(self, sort: str, number: int, names: Mapping[str, Any]) -> str | None:
        draw = _draw(f"{self.seed}/{sort}/{number}")
        for name in sorted(self.rates):
            if name in names:
                draw -= self.rates[name]
                if draw < 0:
                    return name
        return None

    def _longest(self) -> int:
        return max((self._lasts(name) for name in self.of_http), default=1)

    def _lasts(self, name: str) -> int:
        lasts = HTTP[name].lasts
        return self.requests if lasts is None else lasts


def listing() -> str:
    """Return name, numbers and one line of what it does, for every fault."""
    width = max(map(len, REGISTRY))
    lines = [
        f"{fault.name:{width}}  {','.join(map(str, fault.numbers)):>3}  {fault.does}"
        + ("" if fault.rate == 0.05 else f" (rate {fault.rate:g} unless given)")
        + (f" (needs a {fault.needs} key)" if fault.needs else "")
        for fault in sorted(REGISTRY.values(), key=lambda fault: fault.numbers)
    ]
    lines += [
        f"{'-':{width}}  {number:>3}  not here: {why}" for number, why in NOT_COMMITTED.items()
    ]
    return "\n".join(lines)


def _rate(name: str, text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise SimulatorError(f"--fault {name}={text}: the rate must be a number from 0 to 1.")
    return rate


def _draw(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
