"""Derives a committed batch into files nobody reads yet, with a manifest for the check."""

import hashlib
import json
import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion import ledger
from ingestion.commit import LandingLog
from ingestion.files import encode
from ingestion.headers import Header
from ingestion.isolation import derive
from ingestion.keys import KeyRing
from ingestion.lake import Lake
from ingestion.privacy import Pseudonyms
from ingestion.records import Derived, Rules
from ingestion.settings import Settings
from ingestion.settled import Settled
from ingestion.tables import ACCESS_LOGS, QUARANTINED_RECORDS, SOURCE
from ingestion.times import SourceClock, iso, sql

logger = logging.getLogger(__name__)

_DERIVING = (
    "batches.py",
    "canonical.py",
    "decoding.py",
    "fields.py",
    "files.py",
    "isolation.py",
    "kernel.c",
    "kernel.py",
    "keys.py",
    "literals.py",
    "pages.py",
    "plaintexts.py",
    "privacy.py",
    "reasons.py",
    "records.py",
    "staging.py",
    "tables.py",
    "texts.py",
    "times.py",
    "tokens.py",
    "worker.py",
)
"""Modules whose change may change rows: a batch staged by other code is derived again."""

_MANIFEST = re.compile(r"/manifest\.json\Z")


class Deriver:
    """Decodes batches by the rules of one set of settings."""

    def __init__(self, settings: Settings) -> None:
        ring = KeyRing.of(settings)
        pseudonyms = Pseudonyms.of_settings(settings)
        clock = SourceClock(settings.source_time_zone, settings.source_false_z)
        self.rules = Rules(ring, pseudonyms, clock)
        folder = Path(__file__).parent
        code = hashlib.sha256(b"".join((folder / name).read_bytes() for name in _DERIVING))
        parts = (
            code.hexdigest(),
            *ring.fingerprints,
            pseudonyms.fingerprint,
            settings.source_time_zone,
            str(settings.source_false_z),
        )
        self._is_consecutive = settings.source_consecutive_ids
        self.fingerprint = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        """Changes when the same envelopes may give other rows: new code, new keys, another zone."""

    def stage(self, lake: Lake, log: LandingLog, seq: int) -> str:
        """Return the key of a manifest for a batch, deriving the batch if there is none to use."""
        if staged := self._staged(lake, log, seq):
            return staged
        header = log.header(seq)
        return self.stage_committed(lake, log, header, log.envelopes(header))

    def stage_committed(
        self, lake: Lake, log: LandingLog, header: Header, envelopes: Sequence[object]
    ) -> str:
        """Derive a batch whose records are in hand, because this very run has just committed them.

        A twin that saw it in the log may have staged it, too: the check decides which one counts.
        """
        derived = derive(
            envelopes,
            self.rules,
            batch_seq=header.seq,
            landed_at=header.fetched_at,
            fetched_at=header.fetched_at if not header.times else header.fetched_times(),
            conflict=header.conflict,
        )
        return self._write(lake, log, header, derived)

    def _staged(self, lake: Lake, log: LandingLog, seq: int) -> str | None:
        if (plan := log.planned(seq)) is not None:
            return str(plan["manifest"])  # fixed already: nothing we derive could be published
        for key in lake.keys(f"staging/{SOURCE}/{seq:012d}/"):
            if _MANIFEST.search(key):
                body = lake.get(key)
                if body is not None and json.loads(body)["derivation"] == self.fingerprint:
                    return key
        return None

    def _write(self, lake: Lake, log: LandingLog, header: Header, derived: Derived) -> str:
        seq = header.seq
        sums = {
            "offered": header.offered,
            "good": sum(table.num_rows for table in derived.raw.values()),
            "quarantined": derived.quarantine.num_rows - header.conflict,
            "duplicate": header.duplicate,
            "conflict": header.conflict,
            "replayed": header.replayed,
        }
        ledger.check(sums, f"batch {seq}")
        arrival_days = ledger.balance(
            header.days, derived.good_days, derived.quarantined_days, derived.conflict_days, seq
        )
        nonce = uuid.uuid4().hex
        folder = f"staging/{SOURCE}/{seq:012d}/{nonce}"
        files = _write_all(lake, derived, seq, folder)
        key = f"{folder}/manifest.json"
        settled = Settled(header.settled, header.sealed)
        manifest = {
            "manifest": key,
            "seq": seq,
            "nonce": nonce,
            "source": header.source,
            "derivation": self.fingerprint,
            "landed_at": iso(header.fetched_at),
            **sums,
            "reasons": derived.reasons,
            "replayed_reasons": header.replayed_reasons,
            "supersedes": header.supersedes,
            "bytes": sum(file["bytes"] for file in files if file["kind"] == "raw"),
            "files": files,
            "keys": derived.keys,
            "event_days": _event_days(derived, [log.marked(seq) for seq in header.supersedes]),
            "arrival_days": arrival_days,
            "missing": header.missing,
            "missing_ids": settled.missing() if self._is_consecutive else None,
        }
        # Last: a folder without a manifest is an attempt that was cut short.
        lake.put(key, json.dumps(manifest, separators=(",", ":")).encode(), "application/json")
        logger.info(
            "staged seq=%d good=%d quarantined=%d conflict=%d files=%d %s",
            seq,
            sums["good"],
            sums["quarantined"],
            sums["conflict"],
            len(files),
            _spelled(derived.reasons),
        )
        return key


def _write_all(lake: Lake, derived: Derived, seq: int, folder: str) -> list[dict[str, Any]]:
    files = []
    for day, table in derived.raw.items():
        target = f"{ACCESS_LOGS.prefix}dt={day}/seq={seq:012d}-0.parquet"
        written = _write(lake, table, f"{folder}/dt={day}-0.parquet", target)
        files.append(written | {"kind": "raw", "dt": day})
    if derived.quarantine.num_rows:
        target = f"{QUARANTINED_RECORDS.prefix}seq={seq:012d}.parquet"
        written = _write(lake, derived.quarantine, f"{folder}/quarantine.parquet", target)
        files.append(written | {"kind": "quarantine", "dt": None})
    return files


def _write(lake: Lake, table: pa.Table, key: str, target: str) -> dict[str, Any]:
    body = encode(table)
    lake.put(key, body)
    return {
        "src": key,
        "dst": target,
        "rows": table.num_rows,
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def _event_days(derived: Derived, replaced: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the batch touches per event day, the days of the batches it replaces included.

    Those become dirty even where no row is left on them, or readers would keep the old numbers.
    """
    days = {day: _event_day(day, table) for day, table in derived.raw.items()}
    for old in (day for marker in replaced for day in marker["event_days"]):
        day = days.setdefault(old["dt"], {**old, "rows": 0})
        day["first_at"] = min(day["first_at"], old["first_at"])
        day["last_at"] = max(day["last_at"], old["last_at"])
    return [days[day] for day in sorted(days)]


def _event_day(day: str, table: pa.Table) -> dict[str, Any]:
    bounds = pc.min_max(table.column("occurred_at").cast(pa.int64())).as_py()
    return {
        "dt": day,
        "rows": table.num_rows,
        "first_at": sql(bounds["min"]),
        "last_at": sql(bounds["max"]),
    }


def _spelled(reasons: Mapping[str, int]) -> str:
    return " ".join(f"{reason}={count}" for reason, count in reasons.items())
