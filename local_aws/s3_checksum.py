"""The checksums of ``x-amz-checksum-*``; crc32, sha1 and sha256 run in C, the others in Python."""

from __future__ import annotations

import base64
import hashlib
import zlib
from functools import cache
from typing import Protocol

ALGORITHMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")


class Checksum(Protocol):
    """Fed in pieces; ``digest`` is big-endian, as S3 encodes it."""

    def update(self, data: bytes) -> None:
        """Take in more bytes."""

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""


class _Crc32:
    def __init__(self) -> None:
        self._crc = 0

    def update(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)

    def digest(self) -> bytes:
        return self._crc.to_bytes(4, "big")


class _TableCrc:
    """Any reflected CRC, a byte at a time: slow, but enough for clients that insist on it."""

    def __init__(self, polynomial: int, width: int) -> None:
        self._table = _table(polynomial)
        self._width = width
        self._mask = (1 << 8 * width) - 1
        self._crc = self._mask

    def update(self, data: bytes) -> None:
        crc, table = self._crc, self._table
        for byte in data:
            crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
        self._crc = crc

    def digest(self) -> bytes:
        return (self._crc ^ self._mask).to_bytes(self._width, "big")


def new_checksum(algorithm: str) -> Checksum:
    """A fresh checksum of one of ALGORITHMS."""
    match algorithm:
        case "crc32":
            return _Crc32()
        case "crc32c":
            return _TableCrc(0x82F63B78, 4)
        case "crc64nvme":
            return _TableCrc(0x9A6C9329AC4BC9B5, 8)
        case _:
            return hashlib.new(algorithm, usedforsecurity=False)


def encoded(digest: bytes) -> str:
    """Base64, as the headers carry it."""
    return base64.b64encode(digest).decode()


@cache
def _table(polynomial: int) -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = (entry >> 1) ^ (polynomial if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)
