"""What an operator lives through, with the commands that an operator has, over real servers.

Each drill returns what went wrong: records lost, doubled, or escaped (in a place or under a reason
where plain Python does not expect them), and canaries that leaked.
"""

import ast
import gzip
import io
import json
import os
import random
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import boto3
import pyarrow.parquet as pq
from cryptography.fernet import Fernet

from tests import servers
from tests.ingestion.envelopes import envelope, judge, plaintext, population, seal

Report = Callable[[str], None]

ROUND_TRIP_RECORDS = {"short": 3_000, "long": 200_000}
NOWHERE = "http://127.0.0.1:9/none"
APPROVE = """
import sys
from ingestion import Settings, approve
approve(Settings.from_env(), sys.argv[1])
"""
KINDS = ("lost", "doubled", "escaped", "leaked")


@dataclass
class Site:
    """One lake, with its secrets and everything that was said about it."""

    folder: Path
    aws: str
    has_checks: bool
    """The real suites are run, at 8 seconds a batch; else what they would say is said for them."""
    keys: list[dict[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    canaries: set[str] = field(default_factory=set)
    bucket: str = field(default_factory=lambda: f"drill-{secrets.token_hex(4)}")

    def __post_init__(self) -> None:
        pepper = secrets.token_hex(32)
        (self.folder / "pseudonym.key").write_text(pepper)
        self.canaries.add(pepper)

    @property
    def ring(self) -> Path:
        return self.folder / "keys.json"

    def add(self, key: str, state: str) -> str:
        """Put a key into the ring, or change its state; return it."""
        others = [known for known in self.keys if known["key"] != key]
        self.keys = [{"key": key, "state": state}, *others]
        self.ring.write_text(json.dumps({"keys": self.keys}))
        self.canaries.add(key)
        return key

    def variables(self) -> dict[str, str]:
        """Return the environment of every command."""
        return {
            "SOURCE_URL": NOWHERE,
            "FERNET_KEYS_FILE": str(self.ring),
            "PSEUDONYM_KEY_FILE": str(self.folder / "pseudonym.key"),
            "LAKE_BUCKET": self.bucket,
            "RAW_DATABASE": self.bucket.replace("-", "_"),
            "AWS_ENDPOINT_URL": self.aws,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def run(self, *words: str, source: str = NOWHERE, **env: str) -> Any:
        """Run one command of the CLI and return its JSON."""
        lines = self.python("-m", *words, SOURCE_URL=source, **env).splitlines()
        return json.loads(lines[-1]) if lines else None

    def python(self, *words: str, **env: str) -> str:
        """Run Python, remember every word that it said, and return its output."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=servers.ROOT,
            env={**os.environ, **self.variables(), **env},
            capture_output=True,
            text=True,
            check=False,
        )
        self.said += [done.stdout, done.stderr]
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def land(self, *uri: str, source: str = NOWHERE, **env: str) -> Any:
        """Land, check by the real suites, and publish; return the sums."""
        return self.finish(
            self.run("ingestion", "land", *uri, "--json", source=source, **env)["manifests"]
        )

    def finish(self, manifests: Sequence[str]) -> Any:
        """Check and publish what was staged."""
        for manifest in manifests:
            if self.has_checks:
                self.python("-m", "expectations", "check-batch", manifest)
            else:
                self.python("-c", APPROVE, manifest)
        return self.run("ingestion", "publish", *manifests, "--json")

    def replay(self) -> Any:
        return self.finish(self.run("ingestion", "replay", "--json")["manifests"])

    def status(self) -> Any:
        return self.run("ingestion", "status", "--json")

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        s3 = boto3.client(
            "s3",
            endpoint_url=self.aws,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {
            item["Key"]: s3.get_object(Bucket=self.bucket, Key=item["Key"])["Body"].read()
            for page in pages
            for item in page.get("Contents", ())
        }

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        bodies = self.objects(prefix).values()
        return [row for body in bodies for row in pq.read_table(io.BytesIO(body)).to_pylist()]

    def leaks(self) -> list[str]:
        """Return the places where a canary is, in S3 (unpacked) and in everything said."""
        places = {f"output {n}": text.encode() for n, text in enumerate(self.said)}
        for key, body in self.objects().items():
            places[key] = body
            if key.endswith(".parquet"):
                places[key] = repr(pq.read_table(io.BytesIO(body)).to_pylist()).encode()
            elif body[:2] == b"\x1f\x8b":
                places[key] = gzip.decompress(body)
        places["local_aws's log"] = (self.folder.parent / "local_aws.log").read_bytes()
        wanted = [canary.encode() for canary in self.canaries]
        return [place for place, body in places.items() if any(c in body for c in wanted)]


def run(scale: str, report: Report) -> dict[str, int]:
    """Run every drill; 0 everywhere is right. The short form leaves out suites and rotation."""
    found: Counter[str] = Counter()
    drills = (round_trip, rotation, outage) if scale == "long" else (round_trip, outage)
    with TemporaryDirectory() as name, servers.local_aws(Path(name)) as aws:
        for drill in drills:
            folder = Path(name) / drill.__name__
            folder.mkdir()
            site = Site(folder, aws, has_checks=scale == "long")
            wrong = Counter(drill(site, scale, report))
            leaks = site.leaks()
            wrong["leaked"] += len(leaks)
            for place in leaks[:10]:
                report(f"  a canary is in {place}")
            report(f"  {drill.__name__}: " + " ".join(f"{kind}={wrong[kind]}" for kind in KINDS))
            found.update(wrong)
    return {kind: found[kind] for kind in KINDS}


def round_trip(site: Site, scale: str, report: Report) -> dict[str, int]:
    """Send mixed records through dumps, and compare with a count by plain Python."""
    count = ROUND_TRIP_RECORDS[scale]
    old, new, late = (Fernet.generate_key().decode() for _ in range(3))
    site.add(old, "decrypt-only")
    site.add(new, "primary")
    items = population([old, new], count, seed=31)
    dice = random.Random(31)
    for number in dice.sample(range(count), count // 50):
        items[number]["data"] = seal(late, plaintext(number + 1))
    repeated = [json.loads(json.dumps(items[n])) for n in dice.sample(range(count), count // 40)]
    contested = {number + 1 for number in dice.sample(range(count - 900, count), 20)}
    claims = [envelope(new, n, plaintext(n, activity="of another")) for n in sorted(contested)]
    site.canaries |= {plaintext(n)["user_id"] for n in range(1, 98)} | {"'inDate': '"}
    dump = site.folder / "dump.ndjson"
    with dump.open("w") as lines:
        for item in (*items, *repeated):
            lines.write(json.dumps(item) + "\n")
    (site.folder / "claims.ndjson").write_text("".join(json.dumps(c) + "\n" for c in claims))
    report(
        f"  round trip: {count:,} records made, {len(repeated):,} twice, {len(claims)} contested"
    )

    site.land(str(dump))
    site.land(str(site.folder / "claims.ndjson"))
    before = _compare(site, items, [old, new], contested, report)
    site.add(late, "decrypt-only")
    site.replay()
    after = _compare(site, items, [old, new, late], contested, report)
    sums = site.status()
    if sums["offered"] != count + len(repeated) + len(claims):
        after["escaped"] += 1
        report(f"  offered {sums['offered']:,} is wrong")
    return before + after


def _compare(
    site: Site, items: list[dict[str, Any]], keys: list[str], contested: set[int], report: Report
) -> Counter[str]:
    """Compare raw, quarantine and the ledger's sums with ``judge``, record by record."""
    truth: dict[int, str] = {item["recordId"]: judge(item, keys)[0] for item in items}
    good = {identifier for identifier, reason in truth.items() if not reason}
    raw = Counter(row["record_id"] for row in site.rows("raw/"))
    sums = site.status()
    reasons = Counter(reason for reason in truth.values() if reason)
    # A claim is a conflict where the first record could be read, and else its duplicate.
    readable = {i for i in contested if truth[i] not in ("TOKEN_UNKNOWN_KEY", "TOKEN_MALFORMED")}
    seen = dict(sums["quarantine"])
    conflicts = seen.pop("ID_CONFLICT", 0)
    wrong = Counter(
        lost=len(good - set(raw)),
        doubled=sum(count - 1 for count in raw.values()),
        escaped=len(set(raw) - good)
        + sum(((reasons - Counter(seen)) + (Counter(seen) - reasons)).values())
        + (sums["good"] != raw.total()),
    )
    report(
        f"  {raw.total():,} good and {sum(seen.values()):,} refused for {len(seen)} reasons, "
        f"{sums['duplicate']:,} duplicates, {conflicts} conflicts (plain Python: {len(good):,}, "
        f"{reasons.total():,}, {len(readable)} at most)"
    )
    return wrong


def rotation(site: Site, scale: str, report: Report) -> dict[str, int]:
    """Add a key, switch, drain, retire; then be too late with one key, too early with another."""
    old, new, newest = (Fernet.generate_key().decode() for _ in range(3))
    ring = site.folder / "source.keys"
    wrong: Counter[str] = Counter()

    def poll(hour: int, source_key: str, step: str, is_readable: bool = True) -> None:
        ring.write_text(source_key)
        with _source(site, ring, f"2026-03-{2 + hour // 24:02}T{hour % 24:02}:00Z") as source:
            site.land(source=source, SOURCE_PAGING="cursor")
        stands(step, is_readable)

    def stands(step: str, is_readable: bool = True) -> None:
        sums = site.status()
        wrong["escaped"] += is_readable != (sums["quarantined_now"] == 0)
        wrong["lost"] += sums["offered"] - sum(
            sums[name] for name in ("good", "quarantined_now", "duplicate", "conflict")
        )
        keys = site.run("ingestion", "keys", "--json")
        used = ", ".join(f"{key['state']} {key['records']:,}" for key in keys)
        held = sums["quarantined_now"]
        report(f"  {step}: {sums['good']:,} good, {held:,} in quarantine; keys: {used}")

    site.add(old, "primary")
    poll(3, old, "one key")
    site.add(old, "decrypt-only")
    site.add(new, "primary")
    poll(9, old, "a second one added, not used yet")
    poll(30, new, "the source switched; the old key drains")
    site.add(old, "retired")
    poll(40, new, "the old key retired")
    poll(50, newest, "the source switched before we had its key", is_readable=False)
    site.add(new, "decrypt-only")
    site.add(newest, "primary")
    site.replay()
    stands("the key came, and replay")
    site.add(new, "retired")
    poll(60, new, "a key retired too early", is_readable=False)
    site.add(new, "decrypt-only")
    site.replay()
    stands("brought back, and replay")

    with _source(site, ring, "2026-03-04T12:00Z") as source:
        offered = _read_all(source, new)
    site.canaries |= {record["user_id"] for record in list(offered.values())[-300:]}
    return wrong + _against(site, offered)


def outage(site: Site, scale: str, report: Report) -> dict[str, int]:
    """Poll a window, be away for four days, see the hole, and close it with the source's dump."""
    key = Fernet.generate_key().decode()
    site.add(key, "primary")
    for until in ("2026-03-02T15:00Z", "2026-03-06T14:59Z"):
        with _source(site, site.ring, until, "--window", "200") as source:
            site.land(source=source)
            offered = _read_all(source, key)
    hole = site.status()
    report(
        f"  after four days: {hole['missing_ids']:,} ids missing between {hole['missing_ranges']}, "
        f"poll every {hole['poll_every_seconds']} s"
    )
    history = site.folder / "history"
    command = [sys.executable, "-m", "simulator", *_world(site.ring), "--history", "6"]
    subprocess.run([*command, "--out", str(history)], cwd=servers.ROOT, check=True)
    site.land(str(history))
    closed = site.status()
    report(f"  after the dump: {closed['missing_ids']:,} ids missing, {closed['good']:,} good")
    site.canaries |= {record["user_id"] for record in list(offered.values())[:300]}
    wrong = _against(site, offered)
    wrong["escaped"] += (hole["missing_ids"] == 0) + closed["missing_ids"]
    return wrong


def _world(ring: Path) -> list[str]:
    return ["--keys-file", str(ring), "--start", "2026-03-01", "--users", "200"]


def _source(site: Site, ring: Path, until: str, *arguments: str) -> AbstractContextManager[str]:
    log = site.folder / "simulator.log"
    return servers.simulator(log, *_world(ring), "--until", until, *arguments)


def _read_all(source: str, key: str) -> dict[int, dict[str, Any]]:
    """Return everything that the source has, by id, read without any code of ours."""
    found: dict[int, dict[str, Any]] = {}
    after = 0
    while True:
        with urlopen(f"{source}?after={after}&limit=5000", timeout=30) as reply:
            page = json.load(reply)
        if not page:
            return found
        for each in page:
            found[each["recordId"]] = ast.literal_eval(Fernet(key).decrypt(each["data"]).decode())
        after = max(found)


def _against(site: Site, offered: dict[int, dict[str, Any]]) -> Counter[str]:
    """Compare raw with what the source has: ids, and what each record says."""
    rows = site.rows("raw/")
    raw = Counter(row["record_id"] for row in rows)
    return Counter(
        lost=len(set(offered) - set(raw)),
        doubled=sum(count - 1 for count in raw.values()),
        escaped=sum(
            row["record_id"] in offered
            and row["occurred_at_text"] != offered[row["record_id"]]["inDate"]
            for row in rows
        ),
    )
