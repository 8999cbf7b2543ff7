"""Listing a bucket: ListObjects and ListObjectsV2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from local_aws.glue import ACCOUNT_ID
from local_aws.keys import successor
from local_aws.s3_http import S3Request, S3Response, decode_token, encode_token, quoted, xml
from local_aws.s3_xml import Element, S3Error, iso, url_encoded
from local_aws.store import NoSuchBucket, ObjectInfo, Store

_MOST_KEYS = 1000


@dataclass(slots=True)
class _Page:
    entries: list[ObjectInfo | str] = field(default_factory=list)
    """Objects and common prefixes, in order."""

    truncated: bool = False

    @property
    def last(self) -> str:
        entry = self.entries[-1]
        return entry if isinstance(entry, str) else entry.key


def list_objects_v2(store: Store, request: S3Request) -> S3Response:
    """ListObjectsV2."""
    query = request.query
    token = query.get("continuation-token")
    if token == "":
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect")
    start_after = query.get("start-after", "")
    most = request.number("max-keys", _MOST_KEYS, _MOST_KEYS)
    page = _page(store, request, decode_token(token) if token else start_after, most)
    write = _writer(query.get("encoding-type"))
    document = Element("ListBucketResult").add("Name", request.bucket)
    document.add("Prefix", write(query.get("prefix", "")))
    if query.get("delimiter"):
        document.add("Delimiter", write(query["delimiter"]))
    if start_after:
        document.add("StartAfter", write(start_after))
    document.add("ContinuationToken", token).add("EncodingType", query.get("encoding-type"))
    document.add("KeyCount", len(page.entries)).add("MaxKeys", most)
    document.add("IsTruncated", page.truncated)
    if page.truncated:
        document.add("NextContinuationToken", encode_token(page.last))
    return xml(_filled(document, page, write, owner=query.get("fetch-owner") == "true"))


def list_objects_v1(store: Store, request: S3Request) -> S3Response:
    """ListObjects, the older form: markers are keys."""
    query = request.query
    most = request.number("max-keys", _MOST_KEYS, _MOST_KEYS)
    page = _page(store, request, query.get("marker", ""), most)
    write = _writer(query.get("encoding-type"))
    document = Element("ListBucketResult").add("Name", request.bucket)
    document.add("Prefix", write(query.get("prefix", "")))
    document.add("Marker", write(query.get("marker", "")))
    if query.get("delimiter"):
        document.add("Delimiter", write(query["delimiter"]))
    document.add("EncodingType", query.get("encoding-type")).add("MaxKeys", most)
    document.add("IsTruncated", page.truncated)
    if page.truncated and query.get("delimiter"):
        # Without a delimiter the last key is the marker, and S3 does not repeat it.
        document.add("NextMarker", write(page.last))
    return xml(_filled(document, page, write, owner=True))


def _page(store: Store, request: S3Request, after: str, most: int) -> _Page:
    if not store.bucket_exists(request.bucket):
        raise NoSuchBucket("The specified bucket does not exist")
    prefix = request.query.get("prefix", "")
    delimiter = request.query.get("delimiter", "")
    page = _Page()
    if most == 0:
        return page
    start_at = ""
    if delimiter and (group := _group(after, prefix, delimiter)) == after and group:
        # The last page ended with this common prefix: its keys are not to come again.
        start_at, after = successor(group) or "", ""
    # With groups most of what is read is skipped, so read little at a time there.
    size = 16 if delimiter else most + 1
    while True:
        objects = store.list(request.bucket, prefix, after, size, start_at=start_at)
        for info in objects:
            group = _group(info.key, prefix, delimiter) if delimiter else None
            if len(page.entries) == most:
                page.truncated = True
                return page
            if group is None:
                page.entries.append(info)
                continue
            page.entries.append(group)
            # One probe beyond the group instead of a walk through it.
            beyond = successor(group)
            if beyond is None:
                return page
            start_at, after, size = beyond, "", 16
            break
        else:
            if len(objects) < size:
                return page
            after, size = objects[-1].key, min(size * 4, most + 1)


def _group(key: str, prefix: str, delimiter: str) -> str | None:
    """The common prefix under which a key is listed, if it has the delimiter."""
    if not key.startswith(prefix):
        return None
    end = key.find(delimiter, len(prefix))
    return None if end < 0 else key[: end + len(delimiter)]


def _writer(encoding: str | None) -> Callable[[str], str]:
    if encoding is None:
        return str
    if encoding != "url":
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request")
    return url_encoded


def _filled(document: Element, page: _Page, write: Callable[[str], str], *, owner: bool) -> Element:
    for entry in page.entries:
        if isinstance(entry, str):
            document.nest(Element("CommonPrefixes").add("Prefix", write(entry)))
            continue
        item = Element("Contents").add("Key", write(entry.key))
        item.add("LastModified", iso(entry.last_modified)).add("ETag", quoted(entry.etag))
        item.add("Size", entry.size).add("StorageClass", "STANDARD")
        if owner:
            item.nest(Element("Owner").add("ID", ACCOUNT_ID).add("DisplayName", "local"))
        document.nest(item)
    return document
