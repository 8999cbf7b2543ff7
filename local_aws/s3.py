"""S3's operations on a Store: buckets and objects. Decides what an answer says, not how it travels.

What is not here is refused as NotImplemented, naming what was asked; it is never a fake success.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping

from local_aws.glue import ACCOUNT_ID
from local_aws.s3_checksum import ALGORITHMS, encoded, new_checksum
from local_aws.s3_http import (
    S3Request,
    S3Response,
    check_read_conditions,
    copy_source,
    given_settings,
    object_headers,
    parse_range,
    quoted,
    write_conditions,
    xml,
)
from local_aws.s3_listing import list_objects_v1, list_objects_v2
from local_aws.s3_multipart import Multipart
from local_aws.s3_xml import Element, Parsed, S3Error, iso
from local_aws.store import (
    BucketExists,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    ObjectInfo,
    PreconditionFailed,
    Store,
    StoreError,
)

_Handler = Callable[[S3Request], S3Response]

RESERVED_BUCKET = "health"
"""``GET /health`` asks the server how it is, so no bucket can have this name."""

_LARGEST_BODY_IN_MEMORY = 1024 * 1024
_LARGEST_COPY = 5 * 1024**3
_MOST_DELETES = 1000

_CODES: dict[type[StoreError], tuple[str, str]] = {
    NoSuchBucket: ("NoSuchBucket", "The specified bucket does not exist"),
    NoSuchKey: ("NoSuchKey", "The specified key does not exist."),
    BucketNotEmpty: ("BucketNotEmpty", "The bucket you tried to delete is not empty"),
    BucketExists: (
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    PreconditionFailed: (
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
    ),
}

# Parts of a bucket's configuration that local_aws has none of: what S3 says of a bucket without.
_UNSET = {
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "policy": "NoSuchBucketPolicy",
    "tagging": "NoSuchTagSet",
    "cors": "NoSuchCORSConfiguration",
    "website": "NoSuchWebsiteConfiguration",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
}
_EMPTY = {
    "versioning": "VersioningConfiguration",
    "notification": "NotificationConfiguration",
    "logging": "BucketLoggingStatus",
}

# Queries that only page, filter or label an operation; every other one names a sub-resource.
_PLAIN_QUERY = re.compile(
    r"x-id|list-type|prefix|delimiter|max-.*|marker|.*-marker|start-after|continuation-token|"
    r"encoding-type|fetch-owner|response-.*|partNumber|uploadId|versionId|x-amz-.*|X-Amz-.*|"
    r"AWSAccessKeyId|Signature|Expires"
)


class S3:
    """Answers S3 requests from one Store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        multipart = Multipart(store)
        # (method, has a key, sub-resource)
        self._handlers: dict[tuple[str, bool, str], _Handler] = {
            ("PUT", False, ""): self._create_bucket,
            ("HEAD", False, ""): self._head_bucket,
            ("DELETE", False, ""): self._delete_bucket,
            ("GET", False, ""): self._list_objects,
            ("GET", False, "location"): self._get_bucket_location,
            ("GET", False, "uploads"): multipart.list_uploads,
            ("POST", False, "delete"): self._delete_objects,
            ("PUT", True, ""): self._put_object,
            ("PUT", True, "copy"): self._copy_object,
            ("GET", True, ""): self._get_object,
            ("HEAD", True, ""): self._head_object,
            ("DELETE", True, ""): self._delete_object,
            ("GET", True, "tagging"): self._get_object_tagging,
            ("POST", True, "uploads"): multipart.create,
            ("PUT", True, "part"): multipart.upload_part,
            ("PUT", True, "part-copy"): multipart.upload_part_copy,
            ("POST", True, "part"): multipart.complete,
            ("DELETE", True, "part"): multipart.abort,
            ("GET", True, "part"): multipart.list_parts,
        }

    def handle(self, request: S3Request) -> S3Response:
        """Answer one request; raises S3Error. Blocks: call it in a worker thread."""
        try:
            if not request.bucket:
                return self._without_bucket(request)
            sub = sub_resource(request)
            if request.query.get("versionId", "null") != "null":
                raise S3Error("NoSuchVersion", "local_aws keeps no versions of objects.")
            handler = self._handlers.get((request.method, bool(request.key), sub))
            if handler is not None:
                return handler(request)
            return self._unset(request, sub)
        except StoreError as error:
            code, message = _CODES.get(type(error), ("InternalError", str(error)))
            raise S3Error(code, message) from error

    # ---------------------------------------------------------------- buckets

    def _without_bucket(self, request: S3Request) -> S3Response:
        if request.method != "GET":
            raise S3Error("MethodNotAllowed", "The specified method is not allowed here.")
        buckets = Element("Buckets")
        for name, created in self._store.list_buckets():
            if name.startswith(request.query.get("prefix", "")):
                buckets.nest(Element("Bucket").add("Name", name).add("CreationDate", iso(created)))
        owner = Element("Owner").add("ID", ACCOUNT_ID).add("DisplayName", "local")
        return xml(Element("ListAllMyBucketsResult").nest(owner).nest(buckets))

    def _create_bucket(self, request: S3Request) -> S3Response:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", request.bucket) or (
            ".." in request.bucket or request.bucket == RESERVED_BUCKET
        ):
            raise S3Error("InvalidBucketName", "The specified bucket is not valid.")
        location = "us-east-1"
        if request.payload.strip():
            document = Parsed.from_bytes(request.payload, "CreateBucketConfiguration")
            location = document.get("LocationConstraint") or location
        if request.headers.get("x-amz-bucket-object-lock-enabled", "false").lower() == "true":
            raise S3Error("NotImplemented", "local_aws does not implement object lock.")
        try:
            self._store.create_bucket(request.bucket, location)
        except BucketExists:
            # S3's oldest region says yes again to the owner, all others say 409.
            if location != "us-east-1":
                raise
        return S3Response(headers={"location": f"/{request.bucket}"})

    def _head_bucket(self, request: S3Request) -> S3Response:
        location = self._store.bucket_location(request.bucket)
        return S3Response(headers={"x-amz-bucket-region": location})

    def _delete_bucket(self, request: S3Request) -> S3Response:
        self._store.delete_bucket(request.bucket)
        return S3Response(status=204)

    def _get_bucket_location(self, request: S3Request) -> S3Response:
        location = self._store.bucket_location(request.bucket)
        document = Element("LocationConstraint")
        return xml(document.text("" if location == "us-east-1" else location))

    def _list_objects(self, request: S3Request) -> S3Response:
        if request.query.get("list-type") == "2":
            return list_objects_v2(self._store, request)
        return list_objects_v1(self._store, request)

    def _unset(self, request: S3Request, sub: str) -> S3Response:
        if request.method == "GET" and not request.key and (sub in _UNSET or sub in _EMPTY):
            self._store.bucket_location(request.bucket)  # NoSuchBucket comes first
            if sub in _EMPTY:
                return xml(Element(_EMPTY[sub]))
            raise S3Error(_UNSET[sub], f"The bucket has no {sub} configuration.", status=404)
        what = f"{request.method} of an object" if request.key else f"{request.method} of a bucket"
        detail = f" with ?{sub}" if sub else ""
        raise S3Error("NotImplemented", f"local_aws does not implement {what}{detail}.")

    # ---------------------------------------------------------------- objects

    def _put_object(self, request: S3Request) -> S3Response:
        received = request.require_received()
        sums = {f"x-amz-checksum-{name}": value for name, value in received.checksums.items()}
        if sums:
            sums["x-amz-checksum-type"] = "FULL_OBJECT"
        try:
            settings = given_settings(request.headers)
            settings["headers"] = {**settings["headers"], **sums}
            info = self._store.put(
                request.bucket,
                request.key,
                received.path,
                etag=received.md5,
                **settings,
                **write_conditions(request.headers),
            )
        finally:
            received.path.unlink(missing_ok=True)
        return S3Response(headers={"etag": quoted(info.etag), **sums})

    def _copy_object(self, request: S3Request) -> S3Response:
        bucket, key = copy_source(request.headers)
        directive = request.headers.get("x-amz-metadata-directive", "COPY").upper()
        if directive not in ("COPY", "REPLACE"):
            raise S3Error("InvalidArgument", f"Unknown metadata directive {directive}.")
        source = self._find(bucket, key)
        check_read_conditions(source, request.headers, "x-amz-copy-source-")
        if source.size > _LARGEST_COPY:
            raise S3Error("InvalidRequest", "The copy source is larger than 5 GB; use parts.")
        if (bucket, key) == (request.bucket, request.key) and directive == "COPY":
            raise S3Error(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself "
                "without changing the object's metadata.",
            )
        settings = given_settings(request.headers)
        if directive == "COPY":
            settings = {
                "content_type": source.content_type,
                "metadata": source.metadata,
                "headers": source.headers,
            }
        etag = source.etag
        path = self._store.new_blob()
        try:
            # The bytes of an object never change, so a second name for them is a copy.
            os.link(source.path, path)
        except OSError:
            shutil.copyfile(source.path, path)
        if "-" in etag:
            with path.open("rb") as file:
                etag = hashlib.file_digest(file, "md5").hexdigest()
        info = self._store.put(
            request.bucket,
            request.key,
            path,
            etag=etag,
            **settings,
            **write_conditions(request.headers),
        )
        document = Element("CopyObjectResult").add("LastModified", iso(info.last_modified))
        return xml(document.add("ETag", quoted(info.etag)))

    def _get_object(self, request: S3Request) -> S3Response:
        if "partNumber" in request.query:
            raise S3Error("NotImplemented", "local_aws does not read objects by part number.")
        info = self._find(request.bucket, request.key)
        check_read_conditions(info, request.headers)
        wanted = parse_range(_valid_range(request.headers, info), info.size)
        headers = self._described(info, request, whole=wanted is None)
        first, length = wanted or (0, info.size)
        if wanted is not None:
            headers["content-range"] = f"bytes {first}-{first + length - 1}/{info.size}"
        headers["content-length"] = str(length)
        response = S3Response(status=200 if wanted is None else 206, headers=headers)
        try:
            file = info.path.open("rb")
        except FileNotFoundError as error:
            raise S3Error(
                "InternalError", "The object's file is gone from the data folder."
            ) from error
        file.seek(first)
        if length <= _LARGEST_BODY_IN_MEMORY:
            with file:
                response.body = file.read(length)
        else:
            response.file, response.length = file, length
        return response

    def _head_object(self, request: S3Request) -> S3Response:
        if "partNumber" in request.query:
            raise S3Error("NotImplemented", "local_aws does not read objects by part number.")
        info = self._find(request.bucket, request.key)
        check_read_conditions(info, request.headers)
        wanted = parse_range(_valid_range(request.headers, info), info.size)
        headers = self._described(info, request, whole=wanted is None)
        headers["content-length"] = str(wanted[1] if wanted else info.size)
        if wanted is None:
            return S3Response(headers=headers)
        first, length = wanted
        headers["content-range"] = f"bytes {first}-{first + length - 1}/{info.size}"
        return S3Response(status=206, headers=headers)

    def _delete_object(self, request: S3Request) -> S3Response:
        with self._store.write():
            if not self._store.bucket_exists(request.bucket):
                raise NoSuchBucket(request.bucket)
            wanted = request.headers.get("if-match")
            if wanted is not None:
                info = self._find(request.bucket, request.key)
                if wanted.strip('"') not in ("*", info.etag):
                    raise PreconditionFailed(request.key)
            self._store.delete(request.bucket, request.key)
        return S3Response(status=204)

    def _delete_objects(self, request: S3Request) -> S3Response:
        _check_payload(request)
        document = Parsed.from_bytes(request.payload, "Delete")
        keys = [entry.get("Key") or "" for entry in document.all("Object")]
        if not 1 <= len(keys) <= _MOST_DELETES or "" in keys:
            raise S3Error("MalformedXML", "Delete must name 1 to 1000 keys.")
        for entry in document.all("Object"):
            if entry.get("ETag") is not None:
                raise S3Error("NotImplemented", "local_aws deletes one object by ETag at a time.")
        quiet = (document.get("Quiet") or "").lower() == "true"
        answer = Element("DeleteResult")
        with self._store.write():
            if not self._store.bucket_exists(request.bucket):
                raise NoSuchBucket(request.bucket)
            for key in keys:
                self._store.delete(request.bucket, key)
                if not quiet:
                    answer.nest(Element("Deleted").add("Key", key))
        return xml(answer)

    def _get_object_tagging(self, request: S3Request) -> S3Response:
        self._find(request.bucket, request.key)
        return xml(Element("Tagging").nest(Element("TagSet")))

    # ---------------------------------------------------------------- private

    def _find(self, bucket: str, key: str) -> ObjectInfo:
        info = self._store.get(bucket, key)
        if info is None:
            if not self._store.bucket_exists(bucket):
                raise NoSuchBucket(bucket)
            raise NoSuchKey(key)
        return info

    @staticmethod
    def _described(info: ObjectInfo, request: S3Request, *, whole: bool) -> dict[str, str]:
        mode = request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
        headers = object_headers(info, checksums=mode and whole)
        for name, value in request.query.items():
            if name.startswith("response-"):
                headers[name.removeprefix("response-")] = value
        return headers


def sub_resource(request: S3Request) -> str:
    """What of a bucket or object the query asks for; "" for the thing itself."""
    if request.key and "uploadId" in request.query:
        copies = request.method == "PUT" and "x-amz-copy-source" in request.headers
        return "part-copy" if copies else "part"
    named = [name for name in request.query if not _PLAIN_QUERY.fullmatch(name)]
    if named:
        return named[0]
    if request.method == "PUT" and request.key and "x-amz-copy-source" in request.headers:
        return "copy"
    return ""


def is_upload(request: S3Request) -> bool:
    """Whether the body is bytes to keep, so that it belongs on disk and not in memory."""
    return request.method == "PUT" and bool(request.key) and sub_resource(request) in ("", "part")


def _valid_range(headers: Mapping[str, str], info: ObjectInfo) -> str | None:
    """The Range header, unless If-Range says that it was meant for another version."""
    if_range = headers.get("if-range")
    if if_range is not None and if_range.strip('"') != info.etag:
        return None
    return headers.get("range")


def _check_payload(request: S3Request) -> None:
    """Compare the digests that S3 wants with DeleteObjects."""
    promised = request.headers.get("content-md5")
    digest = hashlib.md5(request.payload, usedforsecurity=False).digest()
    if promised is not None and promised != base64.b64encode(digest).decode():
        raise S3Error("BadDigest", "The Content-MD5 did not match what was received.")
    for name in ALGORITHMS:
        expected = request.headers.get(f"x-amz-checksum-{name}")
        if expected is not None:
            checksum = new_checksum(name)
            checksum.update(request.payload)
            if encoded(checksum.digest()) != expected:
                raise S3Error("BadDigest", f"The {name.upper()} did not match.")
