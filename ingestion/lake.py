"""S3 objects, compare-and-swap, and Glue tables. Knows no protocol."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError

from ingestion.errors import ConfigError, ContractError, LakeUnavailable
from ingestion.settings import Settings
from ingestion.tables import Table, glue_input

logger = logging.getLogger(__name__)

_CREATE_ATTEMPTS = 5
_MISSING = frozenset(("NoSuchKey", "404", "NotFound"))
_REFUSED = frozenset(
    (
        "AccessDenied",
        "AccessDeniedException",
        "403",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "NoSuchBucket",
        "InvalidBucketName",
        "PermanentRedirect",
    )
)
_OURS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


class Lake:
    """One bucket, and the Glue catalog beside it."""

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.lake_bucket
        self._region = settings.aws_region
        config = Config(
            retries={"mode": "standard", "max_attempts": 5},
            connect_timeout=5,
            read_timeout=60,
            s3={"addressing_style": "path"} if settings.aws_endpoint_url else None,
        )
        session = boto3.session.Session(region_name=settings.aws_region)
        self._s3 = session.client("s3", endpoint_url=settings.aws_endpoint_url, config=config)
        self._glue = session.client("glue", endpoint_url=settings.aws_endpoint_url, config=config)

    # ---------- names

    def uri(self, key: str) -> str:
        """Return the URI of a key of this bucket."""
        return f"s3://{self.bucket}/{key}"

    def key_of(self, uri: str) -> str:
        """Return the key behind a URI of this bucket.

        Raises:
            ConfigError: if the URI points anywhere else.
        """
        bucket, key = split_uri(uri)
        if bucket != self.bucket:
            raise ConfigError(f"{uri} is not in the lake's bucket {self.bucket} (LAKE_BUCKET).")
        return key

    # ---------- objects of the lake

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None if there is no such object."""
        try:
            with _translated(f"read {self.uri(key)}"):
                return cast(bytes, self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except _ObjectMissing:
            return None

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object, replacing what was there."""
        with _translated(f"write {self.uri(key)}"):
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def create(self, key: str, body: bytes) -> bool:
        """Write an object only if there is none: compare-and-swap.

        True means that the object is there and is ``body``, whether this call, an earlier one, or
        a retry whose first reply was lost wrote it. False: somebody else's bytes are there.

        Raises:
            LakeUnavailable: if no attempt was answered; the object may exist then.
        """
        for _ in range(_CREATE_ATTEMPTS):
            try:
                with _translated(f"create {self.uri(key)}"):
                    self._s3.put_object(
                        Bucket=self.bucket,
                        Key=key,
                        Body=body,
                        ContentType="application/json",
                        IfNoneMatch="*",
                    )
                return True
            except _Conflict:
                continue  # 409: another conditional write is under way; S3 says try again
            except _PreconditionFailed:
                # Also what a retry sees whose first attempt won but lost its reply.
                return self.get(key) == body
        raise LakeUnavailable(
            f"S3 kept answering 409 to the creation of {self.uri(key)}. Run again."
        )

    def copy(self, source: str, target: str, size: int) -> None:
        """Copy an object within the bucket, replacing the target; safe to repeat.

        Raises:
            ContractError: if the source is gone or the copy has another size.
        """
        try:
            with _translated(f"copy {self.uri(source)}"):
                self._s3.copy_object(
                    Bucket=self.bucket,
                    Key=target,
                    CopySource={"Bucket": self.bucket, "Key": source},
                )
                found = self._s3.head_object(Bucket=self.bucket, Key=target)["ContentLength"]
        except _ObjectMissing:
            raise ContractError(
                f"{self.uri(source)} is gone, so its batch cannot be published from it. "
                "Run `python -m ingestion land`: it derives the batch again."
            ) from None
        if found != size:
            raise ContractError(
                f"{self.uri(target)} has {found} bytes after the copy, but its plan says {size}. "
                "Publish again; if it repeats, the staged file was changed."
            )

    def delete(self, key: str) -> None:
        """Delete an object; safe to repeat, and to race."""
        with _translated(f"delete {self.uri(key)}"):
            self._s3.delete_object(Bucket=self.bucket, Key=key)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield the keys below ``prefix`` in order, those after ``after`` only."""
        pages = self._s3.get_paginator("list_objects_v2")
        with _translated(f"list {self.uri(prefix)}"):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=after):
                for item in page.get("Contents", ()):
                    yield item["Key"]

    def unchanged_since(self, prefix: str, instant: datetime) -> Iterator[str]:
        """Yield the keys below ``prefix`` of objects that nobody has written since an instant."""
        pages = self._s3.get_paginator("list_objects_v2")
        with _translated(f"list {self.uri(prefix)}"):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    if item["LastModified"] < instant:
                        yield item["Key"]

    # ---------- objects anywhere

    def list_uris(self, uri: str) -> list[tuple[str, int]]:
        """Return URI and size of the object ``uri``, or of all objects below it, in order."""
        bucket, prefix = split_uri(uri)
        pages = self._s3.get_paginator("list_objects_v2")
        found = []
        with _translated(f"list {uri}"):
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    key = item["Key"]
                    whole = key == prefix or not prefix or prefix.endswith("/")
                    if (whole or key.startswith(f"{prefix}/")) and not key.endswith("/"):
                        found.append((f"s3://{bucket}/{key}", int(item["Size"])))
        return found

    def download(self, uri: str, target: BinaryIO) -> None:
        """Write the object at ``uri`` into an open file.

        Raises:
            ConfigError: if there is no such object.
        """
        bucket, key = split_uri(uri)
        try:
            with _translated(f"read {uri}"):
                self._s3.download_fileobj(bucket, key, target)
        except _ObjectMissing:
            raise ConfigError(f"There is no object {uri}.") from None

    # ---------- what has to be there first

    def ensure_bucket(self) -> None:
        """Create the bucket if it is absent; safe to repeat."""
        try:
            with _translated(f"look at s3://{self.bucket}"):
                self._s3.head_bucket(Bucket=self.bucket)
                return
        except _ObjectMissing:
            pass
        place: dict[str, Any] = {}
        if self._region != "us-east-1":  # S3 refuses to be told its default region
            place = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        try:
            with _translated(f"create s3://{self.bucket}", passing=_OURS):
                self._s3.create_bucket(Bucket=self.bucket, **place)
                logger.info("created bucket=%s", self.bucket)
        except ClientError:
            with _translated(f"look at s3://{self.bucket}"):
                self._s3.head_bucket(Bucket=self.bucket)  # made by a twin, or a stranger's: 403

    def ensure_tables(self, database: str, tables: Iterable[Table]) -> None:
        """Make database and tables what ``tables`` declare; safe to repeat and to race."""
        with contextlib.suppress(_AlreadyExists), _translated(f"create database {database}"):
            self._glue.create_database(DatabaseInput={"Name": database})
        for table in tables:
            wanted: Any = glue_input(table, self.bucket)
            found = self._find_table(database, table.name)
            if found is None:
                with contextlib.suppress(_AlreadyExists), _translated(f"create {table.name}"):
                    self._glue.create_table(DatabaseName=database, TableInput=wanted)
                    logger.info("created table=%s.%s", database, table.name)
            elif not _holds(found, wanted):
                # A twin may have updated it between the look and this call: to the same.
                with contextlib.suppress(_Conflict), _translated(f"update {table.name}"):
                    self._glue.update_table(DatabaseName=database, TableInput=wanted)
                    logger.info("updated table=%s.%s", database, table.name)

    def _find_table(self, database: str, name: str) -> Mapping[str, Any] | None:
        try:
            with _translated(f"read table {database}.{name}"):
                found = self._glue.get_table(DatabaseName=database, Name=name)["Table"]
                return cast(Mapping[str, Any], found)
        except _ObjectMissing:
            return None


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an ``s3://`` URI.

    Raises:
        ConfigError: if it is none.
    """
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme != "s3" or not parts.netloc or parts.query:
        raise ConfigError(f"{uri} is no S3 address; one looks like s3://bucket/key.")
    return parts.netloc, parts.path.lstrip("/")


class _ObjectMissing(Exception):
    pass


class _Conflict(Exception):
    pass


class _PreconditionFailed(Exception):
    pass


class _AlreadyExists(Exception):
    pass


def _holds(found: object, wanted: object) -> bool:
    """Tell whether ``found`` says everything that ``wanted`` says; Glue adds things of its own."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            _holds(found.get(name), value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(map(_holds, found, wanted))
        )
    return found == wanted


@contextlib.contextmanager
def _translated(action: str, passing: tuple[str, ...] = ()) -> Iterator[None]:
    """Turn boto's errors into ours; ``passing`` are codes that the caller reads itself."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in passing:
            raise
        if code in _MISSING or code == "EntityNotFoundException":
            raise _ObjectMissing from None
        if status == 412:
            raise _PreconditionFailed from None
        if code in ("AlreadyExistsException",):
            raise _AlreadyExists from None
        if status == 409 or code == "ConcurrentModificationException":
            raise _Conflict from None
        if code in _REFUSED:
            raise ConfigError(
                f"AWS refused to {action}: {code}. Check LAKE_BUCKET, the region, the credentials "
                "and their policy."
            ) from None
        if status >= 500 or status == 429 or "Throttl" in code or code == "SlowDown":
            raise LakeUnavailable(
                f"AWS could not {action}: {code} ({status}). Run again."
            ) from None
        raise ConfigError(f"AWS would not {action}: {code} ({status}).") from None
    except NoCredentialsError:
        raise ConfigError(
            "There are no AWS credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "run where a role gives them."
        ) from None
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise LakeUnavailable(
            f"AWS could not {action}: {type(error).__name__}. Is AWS_ENDPOINT_URL right, and is "
            "it up? Run again then."
        ) from None
