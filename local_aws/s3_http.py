"""What S3's handlers take and give: a request whose body is already on disk, and an answer."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from io import BufferedReader
from typing import Any
from urllib.parse import unquote

from local_aws.s3_body import Received
from local_aws.s3_xml import Element, S3Error
from local_aws.store import ObjectInfo

KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
"""System metadata that comes back with the object as it was given."""

_REFUSED_HEADERS = {
    "x-amz-server-side-encryption-customer-algorithm": "encryption with a customer's key",
    "x-amz-tagging": "object tags",
    "x-amz-object-lock-mode": "object lock",
    "x-amz-object-lock-legal-hold": "object lock",
    "x-amz-website-redirect-location": "website redirects",
}


@dataclass(frozen=True, slots=True)
class S3Request:
    """One request, decoded; names of headers are in lower case."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    payload: bytes = b""
    """The body of everything but uploads."""

    received: Received | None = None
    """The body of PutObject and UploadPart."""

    def require_received(self) -> Received:
        """The uploaded body."""
        if self.received is None:
            raise S3Error("InvalidRequest", "The request has no body.")
        return self.received

    def number(self, name: str, default: int, most: int) -> int:
        """A number of the query, at most ``most``; raises S3Error (InvalidArgument)."""
        text = self.query.get(name) or str(default)
        if not re.fullmatch(r"\d{1,10}", text):
            raise S3Error("InvalidArgument", f"{name} must be a whole number, not {text!r}.")
        return min(int(text), most)


@dataclass(slots=True)
class S3Response:
    """One answer; ``file`` is an open file of which ``length`` bytes from its position are sent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: BufferedReader | None = None
    length: int = 0


def xml(document: Element, headers: Mapping[str, str] | None = None) -> S3Response:
    """An answer in XML."""
    return S3Response(
        headers={"content-type": "application/xml", **(headers or {})}, body=document.to_bytes()
    )


def quoted(etag: str) -> str:
    """An ETag as it travels."""
    return f'"{etag}"'


def object_headers(info: ObjectInfo, *, checksums: bool = False) -> dict[str, str]:
    """The headers that describe an object."""
    headers = {
        "content-type": info.content_type,
        "etag": quoted(info.etag),
        "last-modified": format_datetime(info.last_modified, usegmt=True),
        "accept-ranges": "bytes",
    }
    for name, value in info.headers.items():
        if checksums or not name.startswith("x-amz-checksum-"):
            headers[name] = value
    headers.update({f"x-amz-meta-{name}": value for name, value in info.metadata.items()})
    return headers


def given_settings(headers: Mapping[str, str]) -> dict[str, Any]:
    """What a request says about the object it makes: ``Store.put``'s keyword arguments.

    Raises S3Error for what would change behaviour and is not kept.
    """
    for name, meaning in _REFUSED_HEADERS.items():
        if name in headers:
            raise S3Error("NotImplemented", f"local_aws does not implement {meaning}.")
    storage_class = headers.get("x-amz-storage-class", "STANDARD")
    if storage_class != "STANDARD":
        raise S3Error(
            "InvalidStorageClass", f"local_aws has the class STANDARD only, not {storage_class}."
        )
    kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
    if "content-encoding" in kept:
        encodings = [part.strip() for part in kept["content-encoding"].split(",")]
        rest = [part for part in encodings if part and part != "aws-chunked"]
        kept["content-encoding"] = ",".join(rest)
        if not rest:
            del kept["content-encoding"]
    metadata = {
        name.removeprefix("x-amz-meta-"): value
        for name, value in headers.items()
        if name.startswith("x-amz-meta-")
    }
    if sum(len(name) + len(value) for name, value in metadata.items()) > 2048:
        raise S3Error("MetadataTooLarge", "User metadata may hold 2 KB.")
    return {
        "content_type": headers.get("content-type") or "binary/octet-stream",
        "metadata": metadata,
        "headers": kept,
    }


def write_conditions(headers: Mapping[str, str]) -> dict[str, Any]:
    """If-None-Match and If-Match of a write, as ``Store.put``'s keyword arguments."""
    conditions: dict[str, Any] = {}
    if (none_match := headers.get("if-none-match")) is not None:
        if none_match != "*":
            raise S3Error("NotImplemented", "If-None-Match of a write can only be '*'.")
        conditions["if_none_match"] = True
    if (match := headers.get("if-match")) is not None:
        conditions["if_match"] = match.strip('"')
    return conditions


def check_read_conditions(info: ObjectInfo, headers: Mapping[str, str], prefix: str = "") -> None:
    """Raise PreconditionFailed, or NotModified (304), as the conditional headers of a read say.

    ``prefix`` is ``x-amz-copy-source-`` for the source of a copy, where 304 is 412.
    """
    modified = info.last_modified.replace(microsecond=0)
    match = headers.get(f"{prefix}if-match")
    none_match = headers.get(f"{prefix}if-none-match")
    since = _moment(headers.get(f"{prefix}if-modified-since"))
    unmodified = _moment(headers.get(f"{prefix}if-unmodified-since"))
    if match is not None:
        if not _names(match, info.etag):
            raise S3Error("PreconditionFailed", "The object has another ETag.")
    elif unmodified is not None and modified > unmodified:
        raise S3Error("PreconditionFailed", "The object was modified since.")
    unchanged = (
        _names(none_match, info.etag)
        if none_match is not None
        else since is not None and modified <= since
    )
    if unchanged and prefix:
        raise S3Error("PreconditionFailed", "The source is the one you know.")
    if unchanged:
        error = S3Error("NotModified", "Not Modified", status=304)
        error.headers = {
            name: value
            for name, value in object_headers(info).items()
            if name in ("etag", "last-modified", "cache-control", "expires")
        }
        raise error


def parse_range(text: str | None, size: int) -> tuple[int, int] | None:
    """First byte and length that a Range header selects; None for the whole object.

    What is not one well-formed range is ignored, as HTTP and S3 have it.
    Raises S3Error (InvalidRange) when nothing is left.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (text or "").replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if match[1]:
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if match[2] and int(match[2]) < first:
            return None
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first >= size or first > last:
        error = S3Error("InvalidRange", "The requested range is not satisfiable")
        error.headers = {"content-range": f"bytes */{size}"}
        raise error
    return first, last - first + 1


def copy_source(headers: Mapping[str, str]) -> tuple[str, str]:
    """Bucket and key that ``x-amz-copy-source`` names."""
    path, _, query = headers["x-amz-copy-source"].partition("?")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    if not bucket or not key:
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key.")
    if query and query != "versionId=null":
        raise S3Error("NotImplemented", "local_aws keeps no versions of objects.")
    return bucket, key


def encode_token(text: str) -> str:
    """An opaque continuation token."""
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode_token(token: str) -> str:
    """The text of a token; raises S3Error (InvalidArgument)."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from error


def _names(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or etag in tags


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
