"""The simulated world of one laptop: when it began, and its history as encrypted dumps."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import boto3

DUMPS_BUCKET = "daylight-source"
DUMPS_PREFIX = "dumps/"


@dataclass(frozen=True, slots=True)
class World:
    """What the simulator needs to produce the same records again after a restart."""

    start: str
    """The first simulated day, YYYY-MM-DD in the source's zone."""

    history_days: int
    """Whole days that are offered as dumps; what follows comes from the API."""

    seed: int
    users: int | None
    until: str | None
    """The instant at which the world stands still; None: it goes on with the clock."""

    @classmethod
    def of(
        cls, home: Path, history_days: int, seed: int, users: int | None, until: str | None
    ) -> "World":
        """Return the world that lives in ``home``, or begin one that has a history by now."""
        file = home / "world.json"
        if file.exists():
            return cls(**json.loads(file.read_text()))
        seoul = ZoneInfo("Asia/Seoul")
        now = datetime.fromisoformat(until).astimezone(seoul) if until else datetime.now(seoul)
        start = (now - timedelta(days=history_days)).date().isoformat()
        world = cls(start, history_days, seed, users, until)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(world)))
        draft.rename(file)
        return world

    def arguments(self) -> list[str]:
        """Return the simulator's command-line arguments for this world."""
        words = ["--seed", str(self.seed), "--start", self.start]
        words += ["--users", str(self.users)] if self.users else []
        words += ["--until", self.until] if self.until else []
        return words


def upload_dumps(folder: Path, aws_url: str) -> int:
    """Offer the dumps in S3, as the source's owner would; return how many there are.

    Safe to run again: a dump that is there with the same size is left alone.
    """
    s3 = boto3.client(
        "s3",
        endpoint_url=aws_url,
        region_name="us-east-1",
        aws_access_key_id="laptop",
        aws_secret_access_key="laptop",
    )
    s3.create_bucket(Bucket=DUMPS_BUCKET)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=DUMPS_BUCKET, Prefix=DUMPS_PREFIX)
    there = {found["Key"]: found["Size"] for page in pages for found in page.get("Contents", [])}
    dumps = sorted(folder.glob("*.ndjson.gz"))
    for dump in dumps:
        key = DUMPS_PREFIX + dump.name
        if there.get(key) != dump.stat().st_size:
            s3.upload_file(str(dump), DUMPS_BUCKET, key)
    return len(dumps)
