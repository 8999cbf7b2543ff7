"""Buckets and objects: names and sizes in SQLite, bytes in plain files that DuckDB can open.

A put writes a private file first; one SQLite transaction then makes it the object. A reader sees
the old object or the new one, and a kill at any moment leaves one of the two, never a torn one.
The Glue catalogue lives in the same database, so that both are one truth.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from local_aws.database import Database, Row, Rows, StoreError
from local_aws.keys import blob_name, successor
from local_aws.objects import (
    BucketExists,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    ObjectInfo,
    PreconditionFailed,
    from_ms,
    object_of,
)

__all__ = [
    "BucketExists",
    "BucketNotEmpty",
    "NoSuchBucket",
    "NoSuchKey",
    "ObjectInfo",
    "PreconditionFailed",
    "Store",
    "StoreError",
]

logger = logging.getLogger(__name__)

GRACE_SECONDS = 600.0
"""How long the bytes of a replaced or deleted object outlive it: a query may hold the path."""

_OBJECT_COLUMNS = "bucket, key, size, etag, content_type, modified, metadata, headers, blob"

# Names for what Store returns, because its method ``list`` hides the built-in inside the class.
Objects = list[ObjectInfo]
Buckets = list[tuple[str, datetime]]
Paths = list[Path]
Keys = list[str]


class Store:
    """All state of one data folder. Thread-safe; one process at a time (a file lock sees to it)."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._objects = self.root / "objects"
        self._tmp = self.root / "tmp"
        self._pins: dict[object, float] = {}
        self._garbage: deque[tuple[float, Path]] = deque()
        self._on_commit: Paths = []
        self._on_rollback: Paths = []
        self._database = Database(
            self.root, committed=self._after_commit, rolled_back=self._after_rollback
        )
        try:
            self._objects.mkdir(exist_ok=True)
            self._tmp.mkdir(exist_ok=True)
            self._remove_unreferenced()
        except OSError as error:
            self.close()
            raise StoreError(f"The data folder {self.root} cannot be used: {error}.") from error
        except BaseException:
            self.close()
            raise

    # ---------------------------------------------------------------- buckets

    def create_bucket(self, name: str, location: str = "us-east-1") -> None:
        """Create a bucket; raises BucketExists. The location is only remembered."""
        with self.write() as db:
            try:
                db.execute("insert into buckets values (?, ?, ?)", (name, _now_ms(), location))
            except sqlite3.IntegrityError as error:
                raise BucketExists(f"The bucket {name} exists already.") from error

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket; raises NoSuchBucket, BucketNotEmpty."""
        with self.write() as db:
            self._require_bucket(name)
            if db.execute("select 1 from objects where bucket = ? limit 1", (name,)).fetchone():
                raise BucketNotEmpty(f"The bucket {name} is not empty.")
            self._on_commit += [
                self.root / blob
                for (blob,) in db.execute(
                    "select blob from parts join uploads on uploads.id = parts.upload"
                    " where bucket = ?",
                    (name,),
                )
            ]
            db.execute(
                "delete from parts where upload in (select id from uploads where bucket = ?)",
                (name,),
            )
            db.execute("delete from uploads where bucket = ?", (name,))
            db.execute("delete from buckets where name = ?", (name,))

    def list_buckets(self) -> Buckets:
        """Name and time of creation of every bucket, by name; not of those that are our own."""
        rows = self.read("select name, created from buckets where name not like '~%' order by name")
        return [(name, from_ms(created)) for name, created in rows]

    def bucket_exists(self, name: str) -> bool:
        """Whether there is a bucket of this name."""
        return bool(self.read("select 1 from buckets where name = ?", (name,)))

    def bucket_location(self, name: str) -> str:
        """The location given at creation; raises NoSuchBucket."""
        self._require_bucket(name)
        return str(self.read("select location from buckets where name = ?", (name,))[0][0])

    # ---------------------------------------------------------------- objects

    def put(
        self,
        bucket: str,
        key: str,
        source: bytes | Path,
        *,
        content_type: str = "binary/octet-stream",
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        etag: str | None = None,
        if_none_match: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Make ``source`` the object, whole or not at all.

        A Path (best from ``new_blob``) is moved in, and is gone even when this raises. ``etag``
        saves hashing it again. ``if_none_match``: only if there is no such object yet.
        ``if_match``: only if the present object has this etag. Inside ``write()`` the object
        appears when that transaction commits.

        Raises:
            NoSuchBucket, PreconditionFailed, NoSuchKey (``if_match`` and no such object).
        """
        private = source if isinstance(source, Path) else self._write_private(source)
        try:
            if etag is None:
                etag = _md5(source)
            size = private.stat().st_size
            relative = blob_name(bucket, key)
            with self.write() as db:
                self._require_bucket(bucket)
                current = self.get(bucket, key)
                if if_none_match and current is not None:
                    raise PreconditionFailed(f"s3://{bucket}/{key} exists already.")
                if if_match is not None:
                    if current is None:
                        raise NoSuchKey(f"s3://{bucket}/{key} does not exist.")
                    if current.etag != if_match:
                        raise PreconditionFailed(f"s3://{bucket}/{key} has another ETag.")
                _move(private, self.root / relative)
                self._on_rollback.append(self.root / relative)
                modified = _now_ms()
                row = (
                    bucket,
                    key,
                    size,
                    etag,
                    content_type,
                    modified,
                    json.dumps(dict(metadata or {})),
                    json.dumps(dict(headers or {})),
                    relative,
                )
                db.execute("insert or replace into objects values (?,?,?,?,?,?,?,?,?)", row)
                if current is not None:
                    self._on_commit.append(current.path)
            return self._info(row)
        finally:
            private.unlink(missing_ok=True)

    def get(self, bucket: str, key: str) -> ObjectInfo | None:
        """The object, or None when there is none (or no such bucket)."""
        rows = self.read(
            f"select {_OBJECT_COLUMNS} from objects where bucket = ? and key = ?", (bucket, key)
        )
        return self._info(rows[0]) if rows else None

    def list(
        self,
        bucket: str,
        prefix: str = "",
        start_after: str = "",
        limit: int | None = None,
        *,
        start_at: str = "",
    ) -> Objects:
        """Objects whose key begins with ``prefix``, by key in UTF-8 byte order.

        Only keys beyond ``start_after`` (exclusive) and from ``start_at`` (inclusive) on.
        """
        where = ["bucket = ?", "key >= ?", "key > ?"]
        values: list[Any] = [bucket, max(prefix, start_at), start_after]
        if (end := successor(prefix)) is not None:
            where.append("key < ?")
            values.append(end)
        values.append(-1 if limit is None else limit)
        rows = self.read(
            f"select {_OBJECT_COLUMNS} from objects where {' and '.join(where)}"
            " order by key limit ?",
            values,
        )
        return [self._info(row) for row in rows]

    def keys(self, bucket: str, prefix: str) -> Keys:
        """Only the keys that begin with ``prefix``: a third of what ``list`` costs."""
        end = successor(prefix)
        rows = self.read(
            "select key from objects where bucket = ? and key >= ?"
            + ("" if end is None else " and key < ?"),
            (bucket, prefix) if end is None else (bucket, prefix, end),
        )
        return [key for (key,) in rows]

    def delete(self, bucket: str, key: str) -> bool:
        """Delete the object; False if there was none. Safe to repeat."""
        with self.write() as db:
            current = self.get(bucket, key)
            if current is None:
                return False
            db.execute("delete from objects where bucket = ? and key = ?", (bucket, key))
            self._on_commit.append(current.path)
            return True

    def new_blob(self) -> Path:
        """A path (not yet a file) on this file system to write into and hand to ``put``."""
        return self._tmp / secrets.token_hex(12)

    @staticmethod
    def parse_uri(uri: str) -> tuple[str, str]:
        """Split ``s3://bucket/key`` (also ``s3a``, ``s3n``); the key may be empty."""
        match = re.fullmatch(r"s3[an]?://([^/]+)(?:/(.*))?", uri, re.DOTALL)
        if match is None:
            raise ValueError(f"{uri!r} is not of the form s3://bucket/key.")
        return match[1], match[2] or ""

    # ---------------------------------------------------------------- SQLite

    def write(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """One write transaction: commits at the end, rolls back on any exception.

        Within it the same thread may call every method of this class (and of Catalog): they
        join the transaction and see its changes. Others wait, so keep it short.
        """
        return self._database.write()

    def read(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Run a query on a snapshot; never waits for a writer."""
        return self._database.read(sql, values)

    # ---------------------------------------------------------------- upkeep

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the bytes of every object seen inside this block until it ends."""
        pin = object()
        self._pins[pin] = time.monotonic()
        try:
            yield
        finally:
            del self._pins[pin]

    def discard(self, path: Path) -> None:
        """Delete a file of this store after the grace, when no ``reading()`` may need it."""
        self._garbage.append((time.monotonic(), path))

    def discard_on_commit(self, path: Path) -> None:
        """As ``discard``, once the present ``write()`` has committed; not if it rolls back."""
        self._on_commit.append(path)

    def sweep(self, grace: float = GRACE_SECONDS) -> int:
        """Remove files replaced or deleted more than ``grace`` seconds ago; their number."""
        limit = min([time.monotonic() - grace, *tuple(self._pins.values())])
        removed = 0
        while self._garbage:
            at, path = self._garbage.popleft()
            if at > limit:
                self._garbage.appendleft((at, path))
                break
            path.unlink(missing_ok=True)
            removed += 1
        return removed

    def close(self) -> None:
        """Close the database and give the folder free."""
        self._database.close()

    # ---------------------------------------------------------------- private

    def _remove_unreferenced(self) -> None:
        """Delete what a kill left behind: files that no committed row names."""
        known = {blob for (blob,) in self.read("select blob from objects")}
        known |= {blob for (blob,) in self.read("select blob from parts")}
        removed = 0
        for folder, _, names in os.walk(self._objects, topdown=False):
            inside = os.path.relpath(folder, self.root)
            for name in names:
                relative = f"{inside}/{name}"
                if relative in known:
                    known.discard(relative)
                else:
                    Path(folder, name).unlink()
                    removed += 1
            if folder != str(self._objects):
                with contextlib.suppress(OSError):  # not empty
                    Path(folder).rmdir()
        for leftover in self._tmp.iterdir():
            if f"tmp/{leftover.name}" in known:
                known.discard(f"tmp/{leftover.name}")
            else:
                leftover.unlink()
                removed += 1
        if removed:
            logger.info("removed unreferenced files=%d", removed)
        if known:
            logger.error("missing files=%d; their objects cannot be read", len(known))

    def _require_bucket(self, name: str) -> None:
        if not self.bucket_exists(name):
            raise NoSuchBucket(f"The bucket {name} does not exist.")

    def _write_private(self, data: bytes) -> Path:
        path = self.new_blob()
        path.write_bytes(data)
        return path

    def _after_commit(self) -> None:
        self._settle(self._on_commit)

    def _after_rollback(self) -> None:
        self._settle(self._on_rollback)

    def _settle(self, unneeded: Paths) -> None:
        for path in unneeded:
            self.discard(path)
        self._on_commit, self._on_rollback = [], []

    def _info(self, row: Row) -> ObjectInfo:
        return object_of(self.root, row)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _md5(source: bytes | Path) -> str:
    if isinstance(source, bytes):
        return hashlib.md5(source, usedforsecurity=False).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(source, target)
