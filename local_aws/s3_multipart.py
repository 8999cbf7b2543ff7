"""Multipart uploads: parts are files of their own until completion makes them one object."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

from local_aws.objects import from_ms
from local_aws.s3_body import Received
from local_aws.s3_checksum import ALGORITHMS, Checksum, encoded, new_checksum
from local_aws.s3_http import (
    S3Request,
    S3Response,
    check_read_conditions,
    copy_source,
    given_settings,
    parse_range,
    quoted,
    write_conditions,
    xml,
)
from local_aws.s3_xml import Element, Parsed, S3Error, iso
from local_aws.store import NoSuchBucket, NoSuchKey, Store

_MOST_PARTS = 10_000
_SMALLEST_PART = 5 * 1024 * 1024
_COPY_CHUNK = 1024 * 1024


class Multipart:
    """The multipart operations on one Store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, request: S3Request) -> S3Response:
        """CreateMultipartUpload."""
        if not self._store.bucket_exists(request.bucket):
            raise NoSuchBucket("The specified bucket does not exist")
        settings = given_settings(request.headers)
        algorithm = request.headers.get("x-amz-checksum-algorithm", "").lower()
        kind = request.headers.get("x-amz-checksum-type", "").upper()
        if algorithm and algorithm not in ALGORITHMS:
            raise S3Error("InvalidRequest", f"Unknown checksum algorithm: {algorithm}.")
        if algorithm:
            kind = kind or ("FULL_OBJECT" if algorithm == "crc64nvme" else "COMPOSITE")
        upload = secrets.token_urlsafe(32)
        with self._store.write() as db:
            db.execute(
                "insert into uploads values (?, ?, ?, ?, ?)",
                (
                    upload,
                    request.bucket,
                    request.key,
                    time.time_ns() // 1_000_000,
                    json.dumps({"put": settings, "algorithm": algorithm, "type": kind}),
                ),
            )
        headers = {}
        if algorithm:
            headers = {
                "x-amz-checksum-algorithm": algorithm.upper(),
                "x-amz-checksum-type": kind,
            }
        document = Element("InitiateMultipartUploadResult").add("Bucket", request.bucket)
        return xml(document.add("Key", request.key).add("UploadId", upload), headers)

    def upload_part(self, request: S3Request) -> S3Response:
        """UploadPart."""
        received = request.require_received()
        try:
            self._keep_part(request, received)
        except BaseException:
            received.path.unlink(missing_ok=True)
            raise
        headers = {f"x-amz-checksum-{name}": value for name, value in received.checksums.items()}
        return S3Response(headers={"etag": quoted(received.md5), **headers})

    def upload_part_copy(self, request: S3Request) -> S3Response:
        """UploadPartCopy, whole or a range of the source."""
        self._upload(request)
        bucket, key = copy_source(request.headers)
        source = self._store.get(bucket, key)
        if source is None:
            raise NoSuchKey("The specified key does not exist.")
        check_read_conditions(source, request.headers, "x-amz-copy-source-")
        wanted = request.headers.get("x-amz-copy-source-range")
        first, length = parse_range(wanted, source.size) or (0, source.size)
        path = self._store.new_blob()
        digest = hashlib.md5(usedforsecurity=False)
        with source.path.open("rb") as reader, path.open("wb") as writer:
            reader.seek(first)
            left = length
            while left and (piece := reader.read(min(left, _COPY_CHUNK))):
                writer.write(piece)
                digest.update(piece)
                left -= len(piece)
        modified = self._keep_part(request, Received(path, length, digest.hexdigest()))
        document = Element("CopyPartResult").add("LastModified", iso(from_ms(modified)))
        return xml(document.add("ETag", quoted(digest.hexdigest())))

    def complete(self, request: S3Request) -> S3Response:
        """CompleteMultipartUpload: checks the list, joins the parts, makes the object."""
        settings = self._upload(request)
        chosen = self._chosen_parts(request)
        etag = _composite("md5", [bytes.fromhex(part["etag"]) for part in chosen])
        full = new_checksum(settings["algorithm"]) if settings["type"] == "FULL_OBJECT" else None
        path = self._store.new_blob()
        try:
            self._join(chosen, path, full)
            sums = _sums(settings, chosen, full)
            for name, value in sums.items():
                promised = request.headers.get(name)
                if promised not in (None, value, value.partition("-")[0]):
                    raise S3Error("BadDigest", f"{name} did not match the calculated checksum.")
            put = settings["put"]
            with self._store.write() as db:
                self._upload(request)  # of two completions at once the second finds it gone
                info = self._store.put(
                    request.bucket,
                    request.key,
                    path,
                    etag=etag,
                    content_type=put["content_type"],
                    metadata=put["metadata"],
                    headers={**put["headers"], **sums},
                    **write_conditions(request.headers),
                )
                self._forget(request.query["uploadId"], db)
        finally:
            path.unlink(missing_ok=True)
        document = Element("CompleteMultipartUploadResult")
        document.add("Location", f"/{request.bucket}/{request.key}").add("Bucket", request.bucket)
        document.add("Key", request.key).add("ETag", quoted(info.etag))
        for name, value in sums.items():
            if name == "x-amz-checksum-type":
                document.add("ChecksumType", value)
            else:
                document.add("Checksum" + name.removeprefix("x-amz-checksum-").upper(), value)
        return xml(document)

    def abort(self, request: S3Request) -> S3Response:
        """AbortMultipartUpload."""
        with self._store.write() as db:
            self._upload(request)
            self._forget(request.query["uploadId"], db)
        return S3Response(status=204)

    def list_parts(self, request: S3Request) -> S3Response:
        """ListParts, with paging."""
        self._upload(request)
        marker = request.number("part-number-marker", 0, _MOST_PARTS)
        most = request.number("max-parts", 1000, 1000)
        parts = [part for part in self._parts(request) if part["number"] > marker]
        shown = parts[:most]
        document = Element("ListPartsResult").add("Bucket", request.bucket)
        document.add("Key", request.key).add("UploadId", request.query["uploadId"])
        document.add("PartNumberMarker", marker).add("MaxParts", most)
        document.add("IsTruncated", len(parts) > len(shown)).add("StorageClass", "STANDARD")
        if len(parts) > len(shown) and shown:
            document.add("NextPartNumberMarker", shown[-1]["number"])
        for part in shown:
            item = Element("Part").add("PartNumber", part["number"])
            item.add("LastModified", iso(from_ms(part["modified"])))
            item.add("ETag", quoted(part["etag"])).add("Size", part["size"])
            for name, value in part["checksums"].items():
                item.add(f"Checksum{name.upper()}", value)
            document.nest(item)
        return xml(document)

    def list_uploads(self, request: S3Request) -> S3Response:
        """ListMultipartUploads, with prefix and paging."""
        if not self._store.bucket_exists(request.bucket):
            raise NoSuchBucket("The specified bucket does not exist")
        query = request.query
        if query.get("delimiter"):
            raise S3Error("NotImplemented", "local_aws lists uploads without a delimiter only.")
        most = request.number("max-uploads", 1000, 1000)
        after = (query.get("key-marker", ""), query.get("upload-id-marker", ""))
        rows = self._store.read(
            "select key, id, initiated from uploads where bucket = ? order by key, id",
            (request.bucket,),
        )
        uploads = [
            row
            for row in rows
            if row[0].startswith(query.get("prefix", ""))
            and (row[:2] > after if after[1] else row[0] > after[0])
        ]
        shown = uploads[:most]
        document = Element("ListMultipartUploadsResult").add("Bucket", request.bucket)
        document.add("KeyMarker", after[0]).add("UploadIdMarker", after[1])
        document.add("MaxUploads", most).add("IsTruncated", len(uploads) > len(shown))
        if len(uploads) > len(shown) and shown:
            document.add("NextKeyMarker", shown[-1][0]).add("NextUploadIdMarker", shown[-1][1])
        for key, upload, initiated in shown:
            item = Element("Upload").add("Key", key).add("UploadId", upload)
            item.add("StorageClass", "STANDARD").add("Initiated", iso(from_ms(initiated)))
            document.nest(item)
        return xml(document)

    # ---------------------------------------------------------------- private

    def _upload(self, request: S3Request) -> dict[str, Any]:
        rows = self._store.read(
            "select settings from uploads where id = ? and bucket = ? and key = ?",
            (request.query.get("uploadId", ""), request.bucket, request.key),
        )
        if not rows:
            raise S3Error(
                "NoSuchUpload",
                "The specified upload does not exist. The upload ID may be invalid, or the upload "
                "may have been aborted or completed.",
            )
        settings: dict[str, Any] = json.loads(rows[0][0])
        return settings

    def _keep_part(self, request: S3Request, received: Received) -> int:
        number = request.query.get("partNumber", "")
        if not re.fullmatch(r"\d{1,5}", number) or not 1 <= int(number) <= _MOST_PARTS:
            raise S3Error("InvalidArgument", "Part number must be an integer between 1 and 10000.")
        upload = request.query["uploadId"]
        modified = time.time_ns() // 1_000_000
        with self._store.write() as db:
            self._upload(request)
            former = db.execute(
                "select blob from parts where upload = ? and number = ?", (upload, int(number))
            ).fetchone()
            db.execute(
                "insert or replace into parts values (?, ?, ?, ?, ?, ?, ?)",
                (
                    upload,
                    int(number),
                    received.size,
                    received.md5,
                    modified,
                    json.dumps(received.checksums),
                    str(received.path.relative_to(self._store.root)),
                ),
            )
        if former is not None:
            self._store.discard(self._store.root / former[0])
        return modified

    def _parts(self, request: S3Request) -> list[dict[str, Any]]:
        rows = self._store.read(
            "select number, size, etag, modified, checksums, blob from parts where upload = ?"
            " order by number",
            (request.query["uploadId"],),
        )
        names = ("number", "size", "etag", "modified", "checksums", "blob")
        parts = [dict(zip(names, row, strict=True)) for row in rows]
        for part in parts:
            part["checksums"] = json.loads(part["checksums"])
        return parts

    def _chosen_parts(self, request: S3Request) -> list[dict[str, Any]]:
        known = {part["number"]: part for part in self._parts(request)}
        chosen: list[dict[str, Any]] = []
        for wanted in Parsed.from_bytes(request.payload, "CompleteMultipartUpload").all("Part"):
            number, etag = wanted.get("PartNumber") or "", wanted.get("ETag") or ""
            part = known.get(int(number)) if number.isdecimal() else None
            if part is None or part["etag"] != etag.strip('"'):
                raise S3Error(
                    "InvalidPart",
                    "One or more of the specified parts could not be found. The part may not have "
                    "been uploaded, or the specified entity tag may not match the part's.",
                )
            for name, value in part["checksums"].items():
                if (wanted.get(f"Checksum{name.upper()}") or value) != value:
                    raise S3Error("InvalidPart", f"The {name} of part {number} does not match.")
            if chosen and chosen[-1]["number"] >= part["number"]:
                raise S3Error("InvalidPartOrder", "The list of parts was not in ascending order.")
            chosen.append(part)
        if not chosen:
            raise S3Error("MalformedXML", "You must specify at least one part")
        if any(part["size"] < _SMALLEST_PART for part in chosen[:-1]):
            raise S3Error(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
            )
        return chosen

    def _join(self, parts: list[dict[str, Any]], path: Path, full: Checksum | None) -> None:
        with path.open("wb") as writer:
            for part in parts:
                with (self._store.root / part["blob"]).open("rb") as reader:
                    if full is None:
                        shutil.copyfileobj(reader, writer, _COPY_CHUNK)
                        continue
                    while piece := reader.read(_COPY_CHUNK):
                        writer.write(piece)
                        full.update(piece)

    def _forget(self, upload: str, db: sqlite3.Connection) -> None:
        blobs = db.execute("select blob from parts where upload = ?", (upload,)).fetchall()
        db.execute("delete from parts where upload = ?", (upload,))
        db.execute("delete from uploads where id = ?", (upload,))
        for (blob,) in blobs:
            self._store.discard_on_commit(self._store.root / blob)


def _sums(
    settings: dict[str, Any], parts: list[dict[str, Any]], full: Checksum | None
) -> dict[str, str]:
    """The object's checksum headers, of the whole or composed of the parts' own."""
    name = settings["algorithm"]
    if full is not None:
        value = encoded(full.digest())
    elif name and all(name in part["checksums"] for part in parts):
        digests = [base64.b64decode(part["checksums"][name]) for part in parts]
        checksum = new_checksum(name)
        checksum.update(b"".join(digests))
        value = f"{encoded(checksum.digest())}-{len(parts)}"
    else:
        return {}
    return {f"x-amz-checksum-{name}": value, "x-amz-checksum-type": settings["type"]}


def _composite(algorithm: str, digests: list[bytes]) -> str:
    joined = hashlib.new(algorithm, b"".join(digests), usedforsecurity=False)
    return f"{joined.hexdigest()}-{len(digests)}"
