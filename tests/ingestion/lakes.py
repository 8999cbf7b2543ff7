"""A lake in memory with S3's promises (one winner per create, strong reads), and one that dies."""

import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion import Settings, approve, publish
from ingestion.errors import ContractError, LakeUnavailable
from ingestion.lake import Lake


class MemoryLake(Lake):
    """Stands at ``ingestion.lake.Lake``'s place; many runners may share one."""

    def __init__(self) -> None:
        self.bucket = "memory"
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.written_at: dict[str, datetime] = {}
        """Of objects that a test has made old; all others were written just now."""

    def __call__(self, settings: object) -> "MemoryLake":
        return self

    def get(self, key: str) -> bytes | None:
        with self.lock:
            return self.objects.get(key)

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        with self.lock:
            self.objects[key] = bytes(body)

    def create(self, key: str, body: bytes) -> bool:
        with self.lock:
            return self.objects.setdefault(key, bytes(body)) == body

    def copy(self, source: str, target: str, size: int) -> None:
        with self.lock:
            if source not in self.objects:
                raise ContractError("gone")
            self.objects[target] = self.objects[source]
            assert len(self.objects[target]) == size

    def delete(self, key: str) -> None:
        with self.lock:
            self.objects.pop(key, None)

    def unchanged_since(self, prefix: str, instant: datetime) -> Iterator[str]:
        for key in self.keys(prefix):
            if self.written_at.get(key, datetime.now(UTC)) < instant:
                yield key

    def list_uris(self, uri: str) -> list[tuple[str, int]]:
        return [(self.uri(key), len(self.objects[key])) for key in self.keys(self.key_of(uri))]

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        with self.lock:
            found = sorted(k for k in self.objects if k.startswith(prefix) and k > after)
        return iter(found)

    def ensure_bucket(self) -> None:
        pass

    def ensure_tables(self, database: str, tables: Any) -> None:
        pass


class Killed(BaseException):
    """The process died here; no ``except Exception`` survives it."""


class DyingLake(MemoryLake):
    """Dies at one numbered call, before or after it took effect, or loses that call's reply."""

    def __init__(self, memory: MemoryLake, fatal: int, when: str) -> None:
        self.bucket = memory.bucket
        self.objects = memory.objects
        self.lock = memory.lock
        self.written_at = memory.written_at
        self.calls = 0
        self.happened = False
        self._fatal = fatal
        self._when = when

    def _step(self, name: str, *arguments: Any) -> Any:
        self.calls += 1
        is_fatal = self.calls == self._fatal
        if is_fatal and self._when == "before":
            self.happened = True
            raise Killed
        result = getattr(MemoryLake, name)(self, *arguments)
        if is_fatal:
            self.happened = True
            raise Killed if self._when == "after" else LakeUnavailable("the reply was lost")
        return result

    def get(self, key: str) -> bytes | None:
        return self._step("get", key)

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        self._step("put", key, body)

    def create(self, key: str, body: bytes) -> bool:
        return self._step("create", key, body)

    def copy(self, source: str, target: str, size: int) -> None:
        self._step("copy", source, target, size)

    def delete(self, key: str) -> None:
        self._step("delete", key)

    def unchanged_since(self, prefix: str, instant: datetime) -> Iterator[str]:
        return self._step("unchanged_since", prefix, instant)

    def list_uris(self, uri: str) -> list[tuple[str, int]]:
        return self._step("list_uris", uri)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        return self._step("keys", prefix, after)


def publish_checked(settings: Settings, manifests: list[str]) -> dict[str, int]:
    """Publish as after a green check."""
    for manifest in manifests:
        approve(settings, manifest)
    return publish(settings, manifests)


def raw_rows(lake: Lake) -> list[dict[str, Any]]:
    """Return every row that a reader of ``access_logs`` sees, with its ``dt``."""
    rows = []
    for key in lake.keys("raw/access_logs/"):
        day = key.split("/dt=")[1].split("/")[0]
        rows += [row | {"dt": day} for row in _read(lake, key)]
    return rows


def quarantine_rows(lake: Lake) -> list[dict[str, Any]]:
    return [row for key in lake.keys("quarantine/access_logs/") for row in _read(lake, key)]


def markers(lake: Lake) -> list[dict[str, Any]]:
    return [json.loads(lake.get(key) or b"") for key in lake.keys("published/access_logs/")]


def write(path: Path, items: list[Any]) -> str:
    """Write a dump and return its address."""
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(path)


def _read(lake: Lake, key: str) -> list[dict[str, Any]]:
    body = lake.get(key)
    assert body is not None
    table: pa.Table = pq.read_table(io.BytesIO(body))
    return table.to_pylist()
