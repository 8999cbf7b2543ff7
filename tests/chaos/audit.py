"""Reads a lake through boto3 and pyarrow alone and compares it with what was offered.

Knows the bucket's keys and the tables' columns as a reader would, and imports nothing of ingestion.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

_COUNTS = ("offered", "good", "quarantined", "duplicate", "conflict", "replayed")
_RAW = re.compile(r"raw/access_logs/dt=(\d{4}-\d\d-\d\d)/seq=(\d{12})-\d+\.parquet\Z")
_REFUSED = re.compile(r"quarantine/access_logs/seq=(\d{12})\.parquet\Z")
UNKNOWN_KEY = "TOKEN_UNKNOWN_KEY"


@dataclass(frozen=True, slots=True)
class Truth:
    """Where every record that was offered has to be."""

    rows: Mapping[int, Mapping[str, Any]]
    """Records of raw by id, as they have to read."""
    reasons: Mapping[int, str]
    """Records of quarantine by id."""
    nameless: Mapping[str, int] = field(default_factory=dict)
    """Records of quarantine without an id of their own, by reason: how many."""
    undecided: frozenset[int] = frozenset()
    """Ids that may be in quarantine for an unknown key: runners with different rings raced."""


@dataclass(slots=True)
class Audit:
    """What is not as it has to be."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Everything else: a sum, a link, a row, a batch that is unpublished."""
    batches: int = 0

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.wrong)

    def __str__(self) -> str:
        parts = {"lost": self.lost, "doubled": self.doubled, "wrong": self.wrong}
        return "; ".join(
            f"{name}: {', '.join(found[:5])}" for name, found in parts.items() if found
        )


def audit(objects: Mapping[str, bytes], truth: Truth) -> Audit:
    """Judge a bucket in which one run has just completed what there was to do."""
    found = Audit()
    headers = _entries(objects, "log")
    markers = _entries(objects, "published")
    found.batches = len(headers)
    _check_log(objects, headers, markers, found)
    superseded = {seq for marker in markers.values() for seq in marker.get("supersedes", ())}
    shown = {seq: marker for seq, marker in markers.items() if seq not in superseded}
    _check_files(objects, markers, found)
    raw = [row for row in _raw_rows(objects) if row["batch_seq"] in shown]
    refused = _in_quarantine(objects, shown)
    _check_sums(markers, shown, raw, refused, found)
    _compare(raw, refused, truth, found)
    return found


def _entries(objects: Mapping[str, bytes], kind: str) -> dict[int, dict[str, Any]]:
    prefix = f"{kind}/access_logs/"
    return {
        int(key.removeprefix(prefix).removesuffix(".json")): json.loads(body)
        for key, body in sorted(objects.items())
        if key.startswith(prefix)
    }


def _check_log(
    objects: Mapping[str, bytes],
    headers: Mapping[int, Mapping[str, Any]],
    markers: Mapping[int, Any],
    found: Audit,
) -> None:
    if list(headers) != list(range(1, len(headers) + 1)):
        found.wrong.append(f"the log has entries {list(headers)}")
    if unpublished := headers.keys() - markers.keys():
        found.wrong.append(f"unpublished: {sorted(unpublished)}")
    if strange := markers.keys() - headers.keys():
        found.wrong.append(f"published without an entry: {sorted(strange)}")
    before = ""
    for seq, header in headers.items():
        if header["seq"] != seq or header["prev_sha256"] != before:
            found.wrong.append(f"entry {seq} does not continue the chain")
        before = _sha256(objects[f"log/access_logs/{seq:012d}.json"])
        body = objects.get(header["body"], b"")
        if _sha256(body) != header["body_sha256"]:
            found.wrong.append(f"the body of {seq} is not what the log says")
    for seq, point in _entries(objects, "checkpoint").items():
        entry = objects.get(f"log/access_logs/{seq:012d}.json", b"")
        if _sha256(entry) != point["sha256"] or not set(range(1, seq + 1)) <= markers.keys():
            found.wrong.append(f"checkpoint {seq} is not true")


def _check_files(
    objects: Mapping[str, bytes], markers: Mapping[int, Mapping[str, Any]], found: Audit
) -> None:
    """Compare what is under ``raw/`` and ``quarantine/`` with the plans, byte for byte."""
    planned: dict[str, str] = {}
    for seq, plan in _entries(objects, "plan").items():
        planned |= {file["dst"]: file["sha256"] for file in plan["files"]}
        approval = objects.get(plan["manifest"].replace("manifest.json", "checked.json"))
        if approval is None:
            found.wrong.append(f"batch {seq} was published without an approval")
    there = {key: body for key, body in objects.items() if _RAW.match(key) or _REFUSED.match(key)}
    for key in planned.keys() - there.keys():
        found.wrong.append(f"{key} is planned and not there")
    for key, body in there.items():
        if planned.get(key) != _sha256(body):
            found.wrong.append(f"{key} is not what a plan says")
    if len(_entries(objects, "plan")) != len(markers):
        found.wrong.append("there are not as many plans as markers")


def _raw_rows(objects: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    for key, body in objects.items():
        if match := _RAW.match(key):
            for row in pq.read_table(io.BytesIO(body)).to_pylist():
                yield {**row, "dt": match[1]}


def _in_quarantine(
    objects: Mapping[str, bytes], shown: Mapping[int, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the refusals that count: until a later replay has the record, here or in raw."""
    replays = {seq for seq, marker in shown.items() if marker["source"] == "replay"}
    rows = [
        row
        for key, body in objects.items()
        if (match := _REFUSED.match(key)) and int(match[1]) in shown
        for row in pq.read_table(io.BytesIO(body)).to_pylist()
    ]
    newest: dict[str, int] = {}
    for row in (*rows, *_raw_rows(objects)):
        if row["batch_seq"] in replays:
            key = row.get("record_key", str(row["record_id"]))
            newest[key] = max(newest.get(key, 0), row["batch_seq"])
    return [row for row in rows if newest.get(row["record_key"], 0) <= row["batch_seq"]]


def _check_sums(
    markers: Mapping[int, Mapping[str, Any]],
    shown: Mapping[int, Mapping[str, Any]],
    raw: list[dict[str, Any]],
    refused: list[dict[str, Any]],
    found: Audit,
) -> None:
    for seq, marker in markers.items():
        for place in (marker, *marker["arrival_days"]):
            if not _comes_out(place):
                found.wrong.append(f"the sum of batch {seq} is off: {_counts(place)}")
        for name in _COUNTS:
            if sum(day.get(name, 0) for day in marker["arrival_days"]) != marker.get(name, 0):
                found.wrong.append(f"{name} of batch {seq} differs from the sum over its days")
    total = {name: sum(marker.get(name, 0) for marker in shown.values()) for name in _COUNTS}
    if total["good"] != len(raw):
        found.wrong.append(f"markers say {total['good']} good, raw has {len(raw)} rows")
    waiting = total["quarantined"] - total["replayed"] + total["conflict"]
    if waiting != len(refused):
        found.wrong.append(f"markers say {waiting} refused, quarantine has {len(refused)} rows")
    days = Counter({day["dt"]: 0 for m in shown.values() for day in m["event_days"]})
    for marker in shown.values():
        days.update({day["dt"]: day["rows"] for day in marker["event_days"]})
    if +days != Counter(row["dt"] for row in raw):
        found.wrong.append("rows per event day are not what the markers say")
    told: Counter[str] = Counter()
    for marker in shown.values():
        for row in marker.get("reasons", ()):
            told[row["reason"]] += row["quarantined"] - row["replayed"]
    if +told != Counter(row["reason"] for row in refused):
        found.wrong.append("rows per reason are not what the markers say")


def _compare(
    raw: list[dict[str, Any]], refused: list[dict[str, Any]], truth: Truth, found: Audit
) -> None:
    places: Counter[int] = Counter(row["record_id"] for row in raw)
    named = [row for row in refused if row["record_key"] == str(row["record_id"])]
    places.update(row["record_id"] for row in named)
    for identifier in sorted({*truth.rows, *truth.reasons, *places}):
        if places[identifier] > 1:
            found.doubled.append(str(identifier))
        elif not places[identifier]:
            found.lost.append(str(identifier))
    for row in raw:
        wanted = truth.rows.get(row["record_id"])
        if wanted is None:
            found.wrong.append(f"{row['record_id']} is in raw")
        elif differing := [name for name in wanted if _value(row, name) != wanted[name]]:
            found.wrong.append(f"{row['record_id']} differs in {differing}")
    for row in named:
        identifier = row["record_id"]
        may_be = {truth.reasons.get(identifier)}
        if identifier in truth.undecided:
            may_be.add(UNKNOWN_KEY)
        if row["reason"] not in may_be:
            found.wrong.append(f"{identifier} is refused as {row['reason']}, not {may_be}")
    nameless = [row for row in refused if row["record_key"] != str(row["record_id"])]
    counts = Counter(row["reason"] for row in nameless)
    for reason in {*counts, *truth.nameless}:
        surplus = counts[reason] - truth.nameless.get(reason, 0)
        (found.doubled if surplus > 0 else found.lost).extend([reason] * abs(surplus))
    keys = Counter(row["record_key"] for row in nameless)
    found.doubled += [key for key, count in keys.items() if count > 1]


def _value(row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    return json.loads(value) if name == "extra_fields" and value else value


def _comes_out(place: Mapping[str, Any]) -> bool:
    counts = _counts(place)
    ends = counts["good"] + counts["quarantined"] + counts["duplicate"] + counts["conflict"]
    return counts["offered"] + counts["replayed"] == ends


def _counts(place: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(place.get(name, 0)) for name in _COUNTS}


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def merged(audits: Iterable[Audit]) -> tuple[int, int, int]:
    """Return how many were lost, doubled and otherwise wrong in all of them."""
    lost = doubled = wrong = 0
    for one in audits:
        lost, doubled, wrong = (
            lost + len(one.lost),
            doubled + len(one.doubled),
            wrong + len(one.wrong),
        )
    return lost, doubled, wrong
