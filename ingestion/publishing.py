"""Makes checked batches visible, in order, each exactly once. Decodes nothing, needs no key."""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ingestion import ledger
from ingestion.commit import LandingLog
from ingestion.errors import ConfigError, ContractError
from ingestion.lake import Lake
from ingestion.settings import Settings
from ingestion.tables import SOURCE, TABLES
from ingestion.times import iso, milliseconds

logger = logging.getLogger(__name__)

_MANIFEST_KEY = re.compile(rf"staging/{SOURCE}/(\d{{12}})/[0-9a-f]{{32}}/manifest\.json\Z")


def publish(settings: Settings, manifests: Sequence[str]) -> dict[str, int]:
    """Publish batches by their manifests, and return the sums over those that are published now.

    A batch behind one that is not published waits: readers see the log without holes. Safe to
    repeat and to race; a batch that was published before is counted, not published again.

    Raises:
        ConfigError: if something is no manifest of this lake.
        ContractError: if a manifest or a staged file is gone or does not add up.
    """
    lake = Lake(settings)
    log = LandingLog(lake)
    lake.ensure_bucket()
    lake.ensure_tables(settings.raw_database, TABLES)
    waiting = log.unpublished()
    markers = []
    for seq, key in sorted((_seq(lake, uri), lake.key_of(uri)) for uri in manifests):
        marker = log.marker(seq)
        if marker is None:
            # A twin may have published since we looked.
            while waiting and waiting[0] < seq and log.marker(waiting[0]):
                waiting.pop(0)
            if waiting and waiting[0] < seq:
                logger.warning("waiting seq=%d for=%d", seq, waiting[0])
                continue
            marker = _publish(lake, log, seq, key)
            if waiting and waiting[0] == seq:
                waiting.pop(0)
        markers.append(marker)
    return ledger.total(markers)


def staged_manifests(settings: Settings) -> list[str]:
    """Return a manifest for each unpublished batch that was staged, in order, up to the first gap.

    Nothing is derived here, so no key is needed.
    """
    lake = Lake(settings)
    log = LandingLog(lake)
    found = []
    for seq in log.unpublished():
        plan = log.planned(seq)
        keys = [str(plan["manifest"])] if plan else []
        keys = keys or [
            key for key in lake.keys(f"staging/{SOURCE}/{seq:012d}/") if _MANIFEST_KEY.match(key)
        ]
        if not keys:
            logger.warning("waiting seq=%d because=not_staged", seq)
            break
        found.append(lake.uri(keys[-1]))
    return found


def _seq(lake: Lake, uri: str) -> int:
    match = _MANIFEST_KEY.match(lake.key_of(uri))
    if match is None:
        raise ConfigError(
            f"{uri} is no manifest; `land-api` and `land-dumps` print the ones there are."
        )
    return int(match[1])


def _publish(lake: Lake, log: LandingLog, seq: int, key: str) -> dict[str, Any]:
    body = lake.get(key)
    plan = log.planned(seq) if body is None else log.plan(seq, body)
    if plan is None:
        raise ContractError(
            f"The manifest {lake.uri(key)} is gone. Run `python -m ingestion land-api`: it derives "
            "the batch again."
        )
    _check(plan, seq)
    for file in plan["files"]:
        lake.copy(file["src"], file["dst"], file["bytes"])
    raw_files = [file for file in plan["files"] if file["kind"] == "raw"]
    marker = log.mark(
        {
            "seq": seq,
            "source": plan["source"],
            "offered": plan["offered"],
            "good": plan["good"],
            "quarantined": plan["quarantined"],
            "duplicate": plan["duplicate"],
            "landed_at": plan["landed_at"],
            "published_at": iso(milliseconds(datetime.now(UTC))),
            "bytes": plan["bytes"],
            "files": len(raw_files),
            "key_fingerprints": plan["key_fingerprints"],
            "event_days": plan["event_days"],
            "arrival_days": plan["arrival_days"],
        }
    )
    logger.info(
        "published seq=%d offered=%d good=%d quarantined=%d duplicate=%d bytes=%d",
        seq,
        marker["offered"],
        marker["good"],
        marker["quarantined"],
        marker["duplicate"],
        marker["bytes"],
    )
    return marker


def _check(plan: dict[str, Any], seq: int) -> None:
    rows = {"raw": 0, "quarantine": 0}
    for file in plan["files"]:
        rows[file["kind"]] += file["rows"]
    if (
        plan["seq"] != seq
        or rows["raw"] != plan["good"]
        or rows["quarantine"] != plan["quarantined"]
    ):
        raise ContractError(
            f"The plan of batch {seq} does not add up: its files hold {rows['raw']} good and "
            f"{rows['quarantine']} quarantined rows, its sums say {plan['good']} and "
            f"{plan['quarantined']}. This is a bug; nothing of it was published."
        )
    ledger.check(plan, f"the plan of batch {seq}")
