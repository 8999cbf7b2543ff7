"""A request's body on its way to disk: un-chunked, counted, hashed and checked as it passes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_aws.s3_checksum import ALGORITHMS, Checksum, encoded, new_checksum
from local_aws.s3_xml import S3Error

_PREFIX = "x-amz-checksum-"

_MAX_CHUNK_LINE = 16_384
"""Longest chunk header or trailer line taken before the body counts as garbage."""


@dataclass(slots=True)
class Received:
    """What arrived, once it has passed every check that the request asked for."""

    path: Path
    size: int
    md5: str
    checksums: dict[str, str] = field(default_factory=dict)
    """Algorithm to base64, for those that the client sent or announced."""


class Body:
    """Writes the payload to ``path`` piece by piece; ``finish`` checks what the headers promise."""

    def __init__(self, path: Path, headers: Mapping[str, str]) -> None:
        self.path = path
        self._headers = headers
        self._size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        content_sha256 = headers.get("x-amz-content-sha256", "")
        self._sha256 = content_sha256 if re.fullmatch(r"[0-9a-f]{64}", content_sha256) else None
        self._checksums = {name: new_checksum(name) for name in _announced(headers)}
        self._payload_hash: Checksum | None = new_checksum("sha256") if self._sha256 else None
        self._unchunker = _Unchunker() if is_chunked(headers) else None
        self._file = path.open("wb")  # last: a header that is refused leaves no file

    def feed(self, data: bytes) -> None:
        """Take in more of the request's body; raises S3Error if its framing is broken."""
        if self._unchunker is None:
            self._write(data)
        else:
            for piece in self._unchunker.feed(data):
                self._write(piece)

    def finish(self) -> Received:
        """Close the file and compare everything; raises S3Error, and then the file is gone."""
        try:
            self._file.close()
            self._check_length()
            self._check_md5()
            if self._payload_hash and self._payload_hash.digest().hex() != self._sha256:
                raise S3Error(
                    "XAmzContentSHA256Mismatch",
                    "The provided 'x-amz-content-sha256' header does not match what was computed.",
                )
            return Received(self.path, self._size, self._md5.hexdigest(), self._check_sums())
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Forget the body."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._size += len(data)
        self._md5.update(data)
        if self._payload_hash:
            self._payload_hash.update(data)
        for checksum in self._checksums.values():
            checksum.update(data)

    def _check_length(self) -> None:
        if self._unchunker is not None and not self._unchunker.complete:
            raise S3Error("IncompleteBody", "The chunked body ended before its last chunk.")
        name = "content-length" if self._unchunker is None else "x-amz-decoded-content-length"
        promised = self._headers.get(name)
        if promised is not None and promised != str(self._size):
            raise S3Error(
                "IncompleteBody", f"{name} says {promised}, {self._size} bytes have arrived."
            )

    def _check_md5(self) -> None:
        promised = self._headers.get("content-md5")
        if promised is None:
            return
        try:
            digest = base64.b64decode(promised, validate=True)
        except binascii.Error:
            digest = b""
        if len(digest) != 16:
            raise S3Error("InvalidDigest", "The Content-MD5 you specified is not valid.")
        if digest != self._md5.digest():
            raise S3Error("BadDigest", "The Content-MD5 did not match what was received.")

    def _check_sums(self) -> dict[str, str]:
        trailers = self._unchunker.trailers if self._unchunker else {}
        sums = {}
        for name, checksum in self._checksums.items():
            promised = trailers.get(_PREFIX + name, self._headers.get(_PREFIX + name))
            sums[name] = encoded(checksum.digest())
            if promised is None:
                raise S3Error(
                    "InvalidRequest", f"The trailer {_PREFIX}{name} was announced but not sent."
                )
            if promised != sums[name]:
                raise S3Error(
                    "BadDigest",
                    f"The {name.upper()} you specified did not match the calculated checksum.",
                )
        return sums


class _Unchunker:
    """Takes aws-chunked framing off: sizes in hex, optional signatures, trailers at the end.

    Signatures are not checked, as none are: local_aws knows no secrets.
    """

    def __init__(self) -> None:
        self._pending = b""
        self._left = 0
        self._state = "size"
        self.trailers: dict[str, str] = {}

    @property
    def complete(self) -> bool:
        return self._state in ("trailers", "end")

    def feed(self, data: bytes) -> list[bytes]:
        """The payload in these bytes."""
        pieces = []
        data = self._pending + data
        at = 0
        while at < len(data):
            if self._state == "data":
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left == 0:
                    self._state = "gap"
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            self._line(data[at:end])
            at = end + 2
        self._pending = data[at:]
        if len(self._pending) > _MAX_CHUNK_LINE:
            raise _malformed()
        return pieces

    def _line(self, line: bytes) -> None:
        if self._state == "gap":
            if line:
                raise _malformed()
            self._state = "size"
        elif self._state == "size":
            size = line.partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", size):
                raise _malformed()
            self._left = int(size, 16)
            self._state = "data" if self._left else "trailers"
        elif self._state == "trailers" and line:
            name, _, value = line.decode("latin-1").partition(":")
            self.trailers[name.strip().lower()] = value.strip()
        else:
            self._state = "end"


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Whether the body is framed as aws-chunked."""
    encodings = headers.get("content-encoding", "").replace(" ", "").split(",")
    streaming = headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
    return streaming or "aws-chunked" in encodings


def _announced(headers: Mapping[str, str]) -> list[str]:
    """The checksum algorithms that headers or announced trailers name."""
    trailers = headers.get("x-amz-trailer", "").lower().replace(" ", "").split(",")
    names = [name for name in headers if name.startswith(_PREFIX)]
    names += [name for name in trailers if name.startswith(_PREFIX)]
    found = [name.removeprefix(_PREFIX) for name in names]
    found = [name for name in found if name not in ("algorithm", "mode", "type")]
    if unknown := [name for name in found if name not in ALGORITHMS]:
        raise S3Error("InvalidRequest", f"Unknown checksum algorithm: {', '.join(unknown)}.")
    asked = headers.get("x-amz-sdk-checksum-algorithm", "").lower()
    if asked and asked not in found:
        raise S3Error(
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
            "x-amz-trailer headers were found.",
        )
    return found


def _malformed() -> S3Error:
    return S3Error("InvalidRequest", "The aws-chunked body is malformed.")
