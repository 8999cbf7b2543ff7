"""Makes checked batches visible, in order, each exactly once. Decodes nothing, needs no key."""

import hashlib
import json
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

_EARLIER: dict[str, Any] = {
    "conflict": 0,
    "replayed": 0,
    "replayed_reasons": {},
    "supersedes": [],
    "keys": {},
    "missing": [],
    "missing_ids": None,
}
"""What a plan does not say that an earlier version fixed and did not come to publish."""

_MANIFEST_KEY = re.compile(rf"staging/{SOURCE}/(\d{{12}})/[0-9a-f]{{32}}/manifest\.json\Z")


def approve(settings: Settings, manifest: str) -> None:
    """Record that a staged batch passed its check; ``publish`` takes no other. Safe to repeat.

    Raises:
        ConfigError: if something is no manifest of this lake.
        ContractError: if the manifest is gone.
    """
    lake = Lake(settings)
    _seq(lake, manifest)
    key = lake.key_of(manifest)
    body = lake.get(key)
    if body is None:
        raise ContractError(f"There is no manifest at {manifest}. Land the batch again.")
    lake.put(_approval_key(key), _approval(body), "application/json")


def publish(settings: Settings, manifests: Sequence[str]) -> dict[str, int]:
    """Publish batches by their manifests, and return the sums over those that are published now.

    A batch behind one that is not published waits: readers see the log without holes. Safe to
    repeat and to race; a batch that was published before is counted, not published again.

    Raises:
        ConfigError: if something is no manifest of this lake.
        ContractError: if a manifest was not approved, or it or a staged file is gone or does not
            add up.
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
    if markers:
        last = waiting[0] - 1 if waiting else max(int(marker["seq"]) for marker in markers)
        log.advance_checkpoint(last)
    return ledger.total(markers)


def staged_manifests(settings: Settings) -> list[str]:
    """Return a manifest for each unpublished batch that was staged, in order, up to the first gap.

    One that was approved, if there is any. Nothing is derived here, so no key is needed.
    """
    lake = Lake(settings)
    log = LandingLog(lake)

    def approved(key: str) -> bool:
        return lake.get(_approval_key(key)) is not None

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
        found.append(lake.uri(next(filter(approved, keys), keys[-1])))
    return found


def _approval_key(manifest_key: str) -> str:
    return manifest_key.removesuffix("manifest.json") + "checked.json"


def _approval(manifest: bytes) -> bytes:
    return json.dumps({"manifest_sha256": hashlib.sha256(manifest).hexdigest()}).encode()


def _seq(lake: Lake, uri: str) -> int:
    match = _MANIFEST_KEY.match(lake.key_of(uri))
    if match is None:
        raise ConfigError(
            f"{uri} is no manifest; `python -m ingestion land` prints the ones there are."
        )
    return int(match[1])


def _publish(lake: Lake, log: LandingLog, seq: int, key: str) -> dict[str, Any]:
    plan = _EARLIER | (log.planned(seq) or _approved_plan(lake, log, seq, key))
    _check(plan, seq)
    for file in plan["files"]:
        lake.copy(file["src"], file["dst"], file["bytes"])
    marker = log.mark(_marker(plan))
    logger.info(
        "published seq=%d bytes=%d %s",
        seq,
        marker["bytes"],
        " ".join(f"{name}={marker[name]}" for name in ledger.COUNTS),
    )
    return marker


def _approved_plan(lake: Lake, log: LandingLog, seq: int, key: str) -> dict[str, Any]:
    body = lake.get(key)
    if body is None:
        raise ContractError(
            f"The manifest {lake.uri(key)} is gone. Run `python -m ingestion land`: it derives "
            "the batch again."
        )
    if lake.get(_approval_key(key)) != _approval(body):
        raise ContractError(
            f"The manifest {lake.uri(key)} was not checked, or is another one than was checked. "
            f"Run `python -m expectations check-batch {lake.uri(key)}`, then publish again."
        )
    return log.plan(seq, body)


def _marker(plan: dict[str, Any]) -> dict[str, Any]:
    quarantined, replayed = plan["reasons"], plan["replayed_reasons"]
    return {
        "seq": plan["seq"],
        "source": plan["source"],
        **{name: plan[name] for name in ledger.COUNTS},
        "landed_at": plan["landed_at"],
        "published_at": iso(milliseconds(datetime.now(UTC))),
        "bytes": plan["bytes"],
        "files": sum(file["kind"] == "raw" for file in plan["files"]),
        "key_fingerprints": sorted(plan["keys"]),
        "event_days": plan["event_days"],
        "arrival_days": plan["arrival_days"],
        "supersedes": plan["supersedes"],
        "reasons": [
            {
                "reason": reason,
                "quarantined": quarantined.get(reason, 0),
                "replayed": replayed.get(reason, 0),
            }
            for reason in sorted({*quarantined, *replayed})
        ],
        "keys": [
            {"fingerprint": mark, "records": count} for mark, count in sorted(plan["keys"].items())
        ],
        "missing": [{"low": low, "high": high} for low, high in plan["missing"]],
        "missing_ids": plan["missing_ids"],
    }


def _check(plan: dict[str, Any], seq: int) -> None:
    rows = {"raw": 0, "quarantine": 0}
    for file in plan["files"]:
        rows[file["kind"]] += file["rows"]
    if (
        plan["seq"] != seq
        or rows["raw"] != plan["good"]
        or rows["quarantine"] != plan["quarantined"] + plan["conflict"]
    ):
        raise ContractError(
            f"The plan of batch {seq} does not add up: its files hold {rows['raw']} good and "
            f"{rows['quarantine']} quarantined rows, its sums say {plan['good']} and "
            f"{plan['quarantined'] + plan['conflict']}. This is a bug; nothing of it was published."
        )
    ledger.check(plan, f"the plan of batch {seq}")
