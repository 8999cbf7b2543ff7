import base64
import hashlib
import http.client
import json
import threading
import time
import zlib
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from pyarrow import fs

from local_aws.s3_checksum import new_checksum

MB = 1024 * 1024


def code(refused: pytest.ExceptionInfo) -> str:
    return refused.value.response["Error"]["Code"]


def raw(server, method: str, path: str, body=None, headers=None):
    """One HTTP exchange with nothing between us and the server."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path, body=body, headers=headers or {})
    response = connection.getresponse()
    return response, response.read()


# ------------------------------------------------------------------ buckets


def test_a_bucket_is_made_found_and_deleted(s3, bucket):
    assert bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"")

    with pytest.raises(ClientError) as refused:
        s3.delete_bucket(Bucket=bucket)

    assert code(refused) == "BucketNotEmpty"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket=bucket)


def test_a_bucket_elsewhere_says_where_and_that_it_is_owned_already(s3):
    place = {"LocationConstraint": "ap-northeast-2"}
    s3.create_bucket(Bucket="in-seoul", CreateBucketConfiguration=place)

    with pytest.raises(ClientError) as refused:
        s3.create_bucket(Bucket="in-seoul", CreateBucketConfiguration=place)

    assert code(refused) == "BucketAlreadyOwnedByYou"
    assert s3.get_bucket_location(Bucket="in-seoul") | {"ResponseMetadata": 0} == {
        "LocationConstraint": "ap-northeast-2",
        "ResponseMetadata": 0,
    }


@pytest.mark.parametrize(
    "name", ["ab", "Upper", "under_score", "-dash", "a" * 64, "a..b", "health"]
)
def test_a_bucket_name_that_s3_refuses_is_refused(shared_server, name):
    response, body = raw(shared_server, "PUT", f"/{name}")

    assert (response.status, b"<Code>InvalidBucketName</Code>" in body) == (400, True)


def test_configuration_that_is_absent_is_reported_as_s3_does(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    with pytest.raises(ClientError) as refused:
        s3.get_bucket_policy(Bucket=bucket)
    assert code(refused) == "NoSuchBucketPolicy"
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert code(refused) == "NotImplemented"


# ------------------------------------------------------------------ put and get


@pytest.mark.parametrize(
    "key", ["plain", "a b+c%20d&e=f?g#h", "é/한글/🙂", "a//b", "../x", "a/", "dt=2026-01-01/x~1"]
)
def test_an_object_comes_back_as_it_was_put(s3, bucket, key):
    body = key.encode() * 3
    put = s3.put_object(
        Bucket=bucket, Key=key, Body=body, ContentType="text/x-test", Metadata={"Colour": "blue"}
    )

    got = s3.get_object(Bucket=bucket, Key=key)

    assert got["Body"].read() == body
    assert got["ETag"] == put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert (got["ContentType"], got["Metadata"]) == ("text/x-test", {"colour": "blue"})
    assert abs(got["LastModified"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(body)
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]


def test_headers_of_the_object_come_back_and_can_be_overridden(s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="k", Body=b"x", ContentEncoding="gzip", CacheControl="no-cache"
    )

    got = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="text/html")

    assert (got["ContentEncoding"], got["CacheControl"]) == ("gzip", "no-cache")
    assert got["ContentType"] == "text/html"


def test_what_does_not_exist_is_not_found(s3, bucket):
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="no")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.get_object(Bucket="no-such-bucket", Key="no")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.put_object(Bucket="no-such-bucket", Key="no", Body=b"")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="no-such-bucket")
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=bucket, Key="no")


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=0-99", 206, b"0123456789"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=4-2", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_a_range_selects_bytes(s3, bucket, wanted, status, expected):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")

    got = s3.get_object(Bucket=bucket, Key="k", Range=wanted)

    assert got["ResponseMetadata"]["HTTPStatusCode"] == status
    assert got["Body"].read() == expected


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(s3, bucket, wanted):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")

    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="k", Range=wanted)

    assert code(refused) == "InvalidRange"


def test_conditions_of_a_read_are_kept(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    later = datetime.now(UTC) + timedelta(hours=1)
    earlier = later - timedelta(hours=2)

    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == b"x"
    for condition, expected in [
        ({"IfMatch": '"other"'}, "PreconditionFailed"),
        ({"IfNoneMatch": etag}, "304"),
        ({"IfModifiedSince": later}, "304"),
        ({"IfUnmodifiedSince": earlier}, "PreconditionFailed"),
    ]:
        with pytest.raises(ClientError) as refused:
            s3.get_object(Bucket=bucket, Key="k", **condition)
        assert code(refused) == expected, condition


def test_an_object_is_read_without_a_signature(shared_server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="site/index.html", Body=b"<p>", ContentType="text/html")
    unsigned = boto3.client(
        "s3",
        endpoint_url=shared_server.url,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )

    response, body = raw(shared_server, "GET", f"/{bucket}/site/index.html")

    assert (response.status, response.headers["content-type"], body) == (200, "text/html", b"<p>")
    assert unsigned.get_object(Bucket=bucket, Key="site/index.html")["Body"].read() == b"<p>"


def test_a_presigned_address_works(shared_server, s3, bucket):
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"})

    response, _ = raw(shared_server, "PUT", url.removeprefix(shared_server.url), b"signed")

    assert response.status == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"signed"


# ------------------------------------------------------------------ conditional writes


def test_if_none_match_refuses_to_replace(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")

    assert code(refused) == "PreconditionFailed"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"


def test_if_match_replaces_only_what_was_read(s3, bucket):
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=first)

    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=first)
    with pytest.raises(ClientError) as absent:
        s3.put_object(Bucket=bucket, Key="absent", Body=b"3", IfMatch=first)

    assert (code(refused), code(absent)) == ("PreconditionFailed", "NoSuchKey")


def test_of_sixteen_conditional_puts_one_wins_in_each_of_thirty_rounds(s3, bucket):
    outcomes: list[list] = []

    for number in range(30):
        barrier, results = threading.Barrier(16), []

        def race(who: int, key: str, barrier=barrier, results=results) -> None:
            barrier.wait()
            try:
                s3.put_object(Bucket=bucket, Key=key, Body=b"%d" % who, IfNoneMatch="*")
                results.append(who)
            except ClientError as error:
                results.append(error.response["Error"]["Code"])

        threads = [threading.Thread(target=race, args=(who, f"race/{number}")) for who in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outcomes.append(results)

    for number, results in enumerate(outcomes):
        winners = [result for result in results if result != "PreconditionFailed"]
        assert (len(results), len(winners)) == (16, 1)
        body = s3.get_object(Bucket=bucket, Key=f"race/{number}")["Body"].read()
        assert body == b"%d" % winners[0]


# ------------------------------------------------------------------ checks of the body


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("crc32", "cbf43926"),
        ("crc32c", "e3069283"),
        ("crc64nvme", "ae8b14860a799888"),
        ("sha1", hashlib.sha1(b"123456789").hexdigest()),
        ("sha256", hashlib.sha256(b"123456789").hexdigest()),
    ],
)
def test_a_checksum_has_its_published_check_value(algorithm, expected):
    checksum = new_checksum(algorithm)
    checksum.update(b"1234")
    checksum.update(b"56789")

    assert checksum.digest().hex() == expected


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"])
def test_a_wrong_checksum_keeps_the_object_out(shared_server, s3, bucket, algorithm):
    checksum = new_checksum(algorithm)
    checksum.update(b"body")
    right = base64.b64encode(checksum.digest()).decode()
    name = f"x-amz-checksum-{algorithm}"

    refused, body = raw(shared_server, "PUT", f"/{bucket}/k", b"bodY", {name: right})
    taken, _ = raw(shared_server, "PUT", f"/{bucket}/l", b"body", {name: right})
    mode = {"x-amz-checksum-mode": "ENABLED"}
    read, _ = raw(shared_server, "GET", f"/{bucket}/l", headers=mode)

    assert (refused.status, b"<Code>BadDigest</Code>" in body) == (400, True)
    assert (taken.status, read.headers[name]) == (200, right)
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["l"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-md5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}, "BadDigest"),
        ({"content-md5": "nonsense"}, "InvalidDigest"),
        ({"x-amz-content-sha256": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ({"x-amz-checksum-md4": "x"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "SHA256"}, "InvalidRequest"),
        ({"x-amz-tagging": "a=b"}, "NotImplemented"),
        ({"x-amz-storage-class": "GLACIER"}, "InvalidStorageClass"),
        ({"if-none-match": '"etag"'}, "NotImplemented"),
    ],
)
def test_a_put_that_cannot_be_kept_as_asked_is_refused(
    shared_server, s3, bucket, headers, expected
):
    _, body = raw(shared_server, "PUT", f"/{bucket}/k", b"body", headers)

    assert f"<Code>{expected}</Code>".encode() in body
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def chunked(payload: bytes, size: int, trailer: str, signature: str = "") -> bytes:
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
    framed = [f"{len(piece):x}{signature}\r\n".encode() + piece + b"\r\n" for piece in pieces]
    return b"".join(framed) + f"0{signature}\r\n{trailer}\r\n".encode()


def crc32(payload: bytes) -> str:
    return base64.b64encode(zlib.crc32(payload).to_bytes(4, "big")).decode()


@pytest.mark.parametrize("signature", ["", ";chunk-signature=" + "a" * 64])
@pytest.mark.parametrize("size", [1, 7, 8192, 3 * MB])
def test_aws_chunked_framing_comes_off(shared_server, s3, bucket, size, signature):
    payload = b"line\r\n0\r\n" * (1_000 if size < 8192 else 300_000)
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" if signature else "STREAMING-UNSIGNED-PAYLOAD"
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-content-sha256": f"{kind}-TRAILER",
        "x-amz-decoded-content-length": str(len(payload)),
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    trailer = f"x-amz-checksum-crc32:{crc32(payload)}\r\n"

    body = chunked(payload, size, trailer, signature)
    response, _ = raw(shared_server, "PUT", f"/{bucket}/k", body, headers)

    got = s3.get_object(Bucket=bucket, Key="k")
    assert (response.status, got["Body"].read() == payload) == (200, True)
    assert "ContentEncoding" not in got


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda body: body.replace(b"crc32:", b"crc32:AAAA"), "BadDigest"),
        (lambda body: body.replace(b"x-amz-checksum-crc32", b"x-other"), "InvalidRequest"),
        (lambda body: body[: body.index(b"0\r\n")], "IncompleteBody"),
        (lambda body: b"zz" + body, "InvalidRequest"),
        (lambda body: body.replace(b"payload\r\n", b"payload!\r\n"), "InvalidRequest"),
    ],
)
def test_a_broken_chunked_body_is_refused(shared_server, s3, bucket, change, expected):
    trailer = f"x-amz-checksum-crc32:{crc32(b'payload')}\r\n"
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "7",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }

    body = change(chunked(b"payload", 100, trailer))
    response, answer = raw(shared_server, "PUT", f"/{bucket}/k", body, headers)

    assert (response.status, f"<Code>{expected}</Code>".encode() in answer) == (400, True), answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_client_that_breaks_off_leaves_nothing(shared_server, s3, bucket):
    tmp = shared_server.data / "tmp"
    before = set(tmp.iterdir())  # parts of other tests' uploads, within their grace
    connection = http.client.HTTPConnection("127.0.0.1", shared_server.port)
    connection.putrequest("PUT", f"/{bucket}/k")
    connection.putheader("content-length", str(10 * MB))
    connection.endheaders()
    connection.send(b"x" * 3 * MB)
    connection.close()

    deadline = time.monotonic() + 10
    while set(tmp.iterdir()) - before and time.monotonic() < deadline:
        time.sleep(0.05)

    assert set(tmp.iterdir()) - before == set()
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


# ------------------------------------------------------------------ delete and copy


@pytest.mark.parametrize("quiet", [True, False])
def test_delete_objects_deletes_all_it_names(s3, bucket, quiet):
    for key in ("a", "b <&> é", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")

    keys = [{"Key": "a"}, {"Key": "b <&> é"}, {"Key": "absent"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": quiet})

    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["c"]
    assert answer.get("Deleted", []) == ([] if quiet else keys)
    assert "Errors" not in answer


def test_a_thousand_keys_are_deleted_at_once_and_not_one_more(s3, bucket):
    keys = [{"Key": f"{'k' * 900}{number}"} for number in range(1001)]

    s3.delete_objects(Bucket=bucket, Delete={"Objects": keys[:1000]})
    with pytest.raises(ClientError) as refused:
        s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})

    assert code(refused) == "MalformedXML"


def test_a_copy_keeps_metadata_or_replaces_it(s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="a b", Body=b"x", Metadata={"k": "v"}, ContentType="text/plain"
    )
    source = {"Bucket": bucket, "Key": "a b"}

    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    s3.copy_object(
        Bucket=bucket,
        Key="replaced",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"new": "1"},
    )
    s3.delete_object(Bucket=bucket, Key="a b")

    kept = s3.get_object(Bucket=bucket, Key="kept")
    replaced = s3.get_object(Bucket=bucket, Key="replaced")
    assert (kept["Body"].read(), kept["Metadata"], kept["ContentType"]) == (
        b"x",
        {"k": "v"},
        "text/plain",
    )
    assert (replaced["Body"].read(), replaced["Metadata"]) == (b"x", {"new": "1"})


def test_a_copy_keeps_to_its_conditions(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    s3.put_object(Bucket=bucket, Key="b", Body=b"y")
    source = {"Bucket": bucket, "Key": "a"}

    for arguments, expected in [
        ({"Key": "b", "IfNoneMatch": "*"}, "PreconditionFailed"),
        ({"Key": "c", "CopySourceIfMatch": '"other"'}, "PreconditionFailed"),
        ({"Key": "a"}, "InvalidRequest"),
        ({"Key": "c", "CopySource": {"Bucket": bucket, "Key": "no"}}, "NoSuchKey"),
    ]:
        with pytest.raises(ClientError) as refused:
            s3.copy_object(**{"Bucket": bucket, "CopySource": source} | arguments)
        assert code(refused) == expected, arguments

    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"y"


# ------------------------------------------------------------------ listing


def oracle(keys, prefix="", delimiter="", after=""):
    """What S3's documentation says of a listing, in a few slow lines."""
    entries = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            group = prefix + rest[: rest.index(delimiter) + len(delimiter)]
            if ("prefix", group) not in entries:
                entries.append(("prefix", group))
        else:
            entries.append(("key", key))
    return entries


@pytest.fixture(scope="module")
def listed_bucket(shared_server):
    s3 = shared_server.client("s3")
    s3.create_bucket(Bucket="listed-bucket")
    keys = [f"t/dt=2026-01-{day:02d}/{part}" for day in range(1, 29) for part in range(40)]
    keys += ["a", "t", "t-", "t/", "t0", "ü/x", "ü/y", "x y/1", "x+y/1", "x&<y>/1", "z//1", "z//2"]
    for key in keys:
        s3.put_object(Bucket="listed-bucket", Key=key, Body=b"")
    return keys


def entries(page):
    found = [("key", each["Key"]) for each in page.get("Contents", [])]
    found += [("prefix", each["Prefix"]) for each in page.get("CommonPrefixes", [])]
    return sorted(found, key=lambda entry: entry[1].encode())


@pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects"])
@pytest.mark.parametrize("page_size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("prefix", "delimiter"),
    [("", "/"), ("t/", "/"), ("t/dt=2026-01-05/", ""), ("", "t/"), ("z", "//"), ("no", "/")],
)
def test_pages_of_a_listing_add_up_to_what_is_there(
    shared_server, listed_bucket, operation, page_size, prefix, delimiter
):
    pages = shared_server.client("s3").get_paginator(operation)

    found = []
    for page in pages.paginate(
        Bucket="listed-bucket",
        Prefix=prefix,
        Delimiter=delimiter,
        PaginationConfig={"PageSize": page_size},
    ):
        assert len(entries(page)) <= page_size
        found += entries(page)

    assert found == oracle(listed_bucket, prefix, delimiter)


def test_a_whole_listing_takes_two_pages_of_a_thousand(shared_server, listed_bucket):
    s3 = shared_server.client("s3")
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="listed-bucket"))

    assert [page["KeyCount"] for page in pages] == [1000, len(listed_bucket) - 1000]
    assert [entry for page in pages for entry in entries(page)] == oracle(listed_bucket)


@pytest.mark.parametrize("after", ["", "t/dt=2026-01-14/20", "t/", "zz", "nothing"])
def test_a_listing_starts_after_a_key(shared_server, listed_bucket, after):
    s3 = shared_server.client("s3")

    page = s3.list_objects_v2(Bucket="listed-bucket", StartAfter=after, MaxKeys=50)

    assert entries(page) == oracle(listed_bucket, after=after)[:50]


def test_a_listing_that_makes_no_sense_is_refused(s3, bucket):
    for arguments in ({"ContinuationToken": "é!"}, {"EncodingType": "hex"}):
        with pytest.raises(ClientError) as refused:
            s3.list_objects_v2(Bucket=bucket, **arguments)
        assert code(refused) == "InvalidArgument"
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0


# ------------------------------------------------------------------ multipart


def upload(s3, bucket, key, bodies, **complete):
    made = s3.create_multipart_upload(Bucket=bucket, Key=key, Metadata={"k": "v"})
    name = {"Bucket": bucket, "Key": key, "UploadId": made["UploadId"]}
    parts = []
    for number, body in enumerate(bodies, start=1):
        etag = s3.upload_part(**name, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    return name, parts


def test_parts_become_one_object(s3, bucket):
    bodies = [b"a" * 5 * MB, b"b" * 6 * MB, b"c"]
    name, parts = upload(s3, bucket, "k", bodies)
    digests = b"".join(hashlib.md5(body).digest() for body in bodies)

    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    done = s3.complete_multipart_upload(**name, MultipartUpload={"Parts": parts})

    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"".join(bodies)
    assert got["ETag"] == done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert got["Metadata"] == {"k": "v"}
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_an_aborted_upload_is_gone(s3, bucket):
    name, parts = upload(s3, bucket, "k", [b"x"])
    assert [p["Size"] for p in s3.list_parts(**name)["Parts"]] == [1]
    assert [u["Key"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["k"]

    s3.abort_multipart_upload(**name)

    with pytest.raises(ClientError) as refused:
        s3.complete_multipart_upload(**name, MultipartUpload={"Parts": parts})
    assert code(refused) == "NoSuchUpload"
    with pytest.raises(ClientError) as refused:
        s3.upload_part(**name, PartNumber=1, Body=b"x")
    assert code(refused) == "NoSuchUpload"


@pytest.mark.parametrize(
    ("bodies", "change", "expected"),
    [
        ([b"x", b"y"], lambda parts: parts, "EntityTooSmall"),
        ([b"x"], lambda parts: [{"PartNumber": 1, "ETag": '"other"'}], "InvalidPart"),
        ([b"x"], lambda parts: [{"PartNumber": 2, "ETag": '"other"'}], "InvalidPart"),
        ([b"x" * 5 * MB, b"y"], lambda parts: parts[::-1], "InvalidPartOrder"),
        ([b"x"], lambda parts: [], "MalformedXML"),
    ],
)
def test_a_completion_that_names_the_wrong_parts_is_refused(s3, bucket, bodies, change, expected):
    name, parts = upload(s3, bucket, "k", bodies)

    with pytest.raises(ClientError) as refused:
        s3.complete_multipart_upload(**name, MultipartUpload={"Parts": change(parts)})

    assert code(refused) == expected
    assert len(s3.list_parts(**name)["Parts"]) == len(bodies)


def test_a_conditional_completion_refuses_to_replace(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first")
    name, parts = upload(s3, bucket, "k", [b"second"])

    with pytest.raises(ClientError) as refused:
        s3.complete_multipart_upload(**name, MultipartUpload={"Parts": parts}, IfNoneMatch="*")

    assert code(refused) == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"


def test_a_part_may_be_sent_again_and_copied(s3, bucket):
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    name, _ = upload(s3, bucket, "k", [b"wrong"])
    source = {"Bucket": bucket, "Key": "source"}

    copied = s3.upload_part_copy(
        **name, PartNumber=1, CopySource=source, CopySourceRange="bytes=2-5"
    )
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    s3.complete_multipart_upload(**name, MultipartUpload={"Parts": parts})

    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2345"


def test_boto3_moves_a_large_file_there_and_back(s3, bucket, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    block = hashlib.sha256(b"seed").digest() * 32768
    source.write_bytes(b"".join(b"%d" % number + block for number in range(40)))

    s3.upload_file(str(source), bucket, "large")
    s3.download_file(bucket, "large", str(target))

    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-6"')
    assert target.read_bytes() == source.read_bytes()


def test_pyarrow_writes_reads_copies_and_deletes(shared_server, bucket):
    files = fs.S3FileSystem(
        access_key="test",
        secret_key="test",
        endpoint_override=shared_server.url,
        region="us-east-1",
    )
    table = pa.table({"a": list(range(1000))})

    pq.write_table(table, f"{bucket}/t/dt=2026-01-01/x.parquet", filesystem=files)
    with files.open_output_stream(f"{bucket}/large") as stream:
        for _ in range(12):
            stream.write(b"z" * MB)
    files.copy_file(f"{bucket}/large", f"{bucket}/copy")

    assert pq.read_table(f"{bucket}/t", filesystem=files)["a"].to_pylist() == list(range(1000))
    assert files.get_file_info(f"{bucket}/copy").size == 12 * MB
    files.delete_dir(f"{bucket}/t")
    assert files.get_file_info(f"{bucket}/t").type == fs.FileType.NotFound


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/{bucket}/k?tagging"),
        ("PUT", "/{bucket}?policy"),
        ("GET", "/{bucket}?versions"),
        ("GET", "/{bucket}/k?attributes"),
        ("POST", "/{bucket}/k?select&select-type=2"),
        ("POST", "/{bucket}"),
    ],
)
def test_what_is_missing_is_refused_and_never_pretended(shared_server, bucket, method, path):
    response, body = raw(shared_server, method, path.format(bucket=bucket), b"")

    assert (response.status, b"<Code>NotImplemented</Code>" in body) == (501, True)
    assert b"local_aws does not implement" in body


def test_an_upload_without_a_length_is_refused(shared_server, bucket):
    def pieces():
        yield b"x"

    response, body = raw(shared_server, "PUT", f"/{bucket}/k", pieces())

    assert (response.status, b"MissingContentLength" in body) == (411, True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/{bucket}/%ff", "InvalidURI"), ("/{bucket}/" + "k" * 1025, "KeyTooLongError")],
)
def test_a_key_that_s3_refuses_is_refused(shared_server, bucket, path, expected):
    _, body = raw(shared_server, "PUT", path.format(bucket=bucket), b"x")

    assert f"<Code>{expected}</Code>".encode() in body


def test_xml_with_a_document_type_is_refused(shared_server, bucket):
    bomb = b'<!DOCTYPE a [<!ENTITY b "c">]><Delete><Object><Key>&b;</Key></Object></Delete>'

    _, body = raw(shared_server, "POST", f"/{bucket}?delete", bomb)

    assert b"<Code>MalformedXML</Code>" in body


def test_a_page_of_another_site_may_not_write_or_read(shared_server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    path = f"/{bucket}/{quote('k')}"

    foreign, _ = raw(shared_server, "PUT", path, b"x", {"origin": "http://evil.example"})
    rebound, _ = raw(shared_server, "GET", path, headers={"host": "evil.example:4566"})
    own = {"origin": shared_server.url}
    allowed, body = raw(shared_server, "GET", path, headers=own)

    assert (foreign.status, rebound.status) == (403, 403)
    assert (allowed.status, body) == (200, b"secret")


def test_health_answers_in_json(shared_server):
    response, body = raw(shared_server, "GET", "/health")

    assert (response.status, json.loads(body)) == (200, {"status": "ok"})
