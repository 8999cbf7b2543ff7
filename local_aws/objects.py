"""What a Store gives and what it raises.

StoreError              the folder cannot be used   tell the user, stop
├── NoSuchBucket        ┐
├── NoSuchKey           │ the request is wrong      answer with S3's error of that name
├── BucketExists        │
├── BucketNotEmpty      │
└── PreconditionFailed  ┘ somebody else was first   answer 412; the caller decides
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from local_aws.database import Row, StoreError


class NoSuchBucket(StoreError):
    """The bucket does not exist."""


class NoSuchKey(StoreError):
    """The object does not exist."""


class BucketExists(StoreError):
    """A bucket of this name is there already."""


class BucketNotEmpty(StoreError):
    """The bucket still holds objects."""


class PreconditionFailed(StoreError):
    """``if_none_match`` or ``if_match`` did not hold: somebody else was first."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as it was when asked for; ``path`` stays readable for at least GRACE_SECONDS."""

    bucket: str
    key: str
    size: int
    etag: str
    """Without the quotes: the MD5 in hex, or ``<md5 of the parts' md5>-<number of parts>``."""

    content_type: str
    last_modified: datetime
    """UTC, to the millisecond."""

    metadata: Mapping[str, str]
    """User metadata (``x-amz-meta-*``), names in lower case without that prefix."""

    headers: Mapping[str, str]
    """Further response headers kept with the object, e.g. ``content-encoding``, checksums."""

    path: Path
    """The bytes; read only. The name ends in ``~<16 hex>``, its folders are those of the key."""

    @property
    def uri(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"


@lru_cache(maxsize=20_000)
def object_of(root: Path, row: Row) -> ObjectInfo:
    """Queries list the same objects again and again: what a row says is taken apart once."""
    bucket, key, size, etag, content_type, modified, metadata, headers, blob = row
    return ObjectInfo(
        bucket=bucket,
        key=key,
        size=size,
        etag=etag,
        content_type=content_type,
        last_modified=from_ms(modified),
        metadata=json.loads(metadata),
        headers=json.loads(headers),
        path=root / blob,
    )


def from_ms(milliseconds: int) -> datetime:
    """UTC time from milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(
        microsecond=milliseconds % 1000 * 1000
    )
