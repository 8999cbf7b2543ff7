"""SIGKILL at random moments under load: it opens again, nothing is torn, nothing promised is lost.

Every writer notes what it is about to write, and then that it was acknowledged. After the kill each
such write must be there whole; of those between the two, whole or not at all.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.tests.athena import Athena, Failed
from local_aws.tests.conftest import Server
from local_aws.tests.drills.races import catalog_of

ROWS = 50
"""Of each INSERT: one that is torn would show fewer."""

PART = 5 * 1024 * 1024


@dataclass
class Casualties:
    """What came of it."""

    kills: int = 0
    acknowledged: int = 0
    unknown: int = 0
    """Writes that were under way when the kill came."""

    problems: list[str] = field(default_factory=list)


@dataclass
class Writer:
    """One kind of write, numbered: what is attempted, and what was acknowledged."""

    name: str
    write: Callable[[Server, int], None]
    present: Callable[[Server], set[int]]
    """The numbers of the writes that are there; raises Torn for one that is there in part."""

    attempted: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)

    def work(self, server: Server, enough: threading.Event) -> None:
        """Write until the server is gone."""
        number = max(self.attempted, default=0)
        with contextlib.suppress(BotoCoreError, ClientError, Failed):
            while not enough.is_set():
                number += 1
                self.attempted.add(number)
                self.write(server, number)
                self.acknowledged.add(number)


class Torn(Exception):
    """Part of a write is there."""


def kill(folder: Path, kills: int, dice: random.Random, say: Callable[[str], None]) -> Casualties:
    """Start, load, kill and look, again and again."""
    found = Casualties()
    if not kills:
        return found
    server = Server(folder)
    try:
        _prepare(server)
        writers = _writers()
        for number in range(1, kills + 1):
            moment = dice.uniform(0.05, 1.2)
            asked = _load_and_kill(server, writers, moment)
            server = Server(folder)
            if not server.port:
                found.problems.append(f"kill {number}: it did not open again: {server.stop()[1]}")
                return found
            problems = [
                f"kill {number} after {moment:.2f} s: {problem}"
                for problem in _look(server, writers, asked)
            ]
            found.kills += 1
            found.problems += problems
            acknowledged = sum(len(writer.acknowledged) for writer in writers)
            unknown = sum(len(writer.attempted - writer.acknowledged) for writer in writers)
            say(f"kill {number}: {acknowledged} writes acknowledged, {unknown} unknown")
            found.acknowledged, found.unknown = acknowledged, unknown
        found.problems += [f"nothing was written: {w.name}" for w in writers if not w.acknowledged]
        return found
    finally:
        if server.process.poll() is None:
            server.stop()


def _prepare(server: Server) -> None:
    server.client("s3").create_bucket(Bucket="lake")
    glue = server.client("glue")
    glue.create_database(DatabaseInput={"Name": "d"})
    glue.create_table(DatabaseName="d", TableInput={"Name": "counted", "Parameters": {"n": "0"}})
    athena = Athena(server, "lake", "d")
    athena.run(
        "create external table files (id bigint, part bigint) partitioned by (p bigint) "
        "stored as parquet location 's3://lake/files/'"
    )
    athena.run(
        "create table ice (id bigint, part bigint) location 's3://lake/ice/' "
        "tblproperties ('table_type'='iceberg')"
    )
    athena.run(
        "create table merged (id bigint, n bigint) location 's3://lake/merged/' "
        "tblproperties ('table_type'='iceberg')"
    )
    athena.run("insert into merged values (1, 0)")


def _load_and_kill(server: Server, writers: list[Writer], moment: float) -> list[str]:
    """The ids of queries that were acknowledged as started."""
    enough = threading.Event()
    asked: list[str] = []

    def ask() -> None:
        athena = Athena(server, "lake", "d")
        with contextlib.suppress(BotoCoreError, ClientError):
            while not enough.is_set():
                asked.append(athena.start("select p, count(*), sum(part) from files group by p"))
                athena.wait(asked[-1])

    threads = [
        threading.Thread(target=writer.work, args=(server, enough)) for writer in writers
    ] + [threading.Thread(target=ask)]
    for thread in threads:
        thread.start()
    time.sleep(moment)
    server.stop(signal.SIGKILL)
    enough.set()
    for thread in threads:
        thread.join()
    return asked


def _look(server: Server, writers: list[Writer], asked: list[str]) -> list[str]:
    problems = []
    for writer in writers:
        try:
            present = writer.present(server)
        except (Torn, Failed, ClientError) as error:
            problems.append(f"{writer.name}: {error}")
            continue
        if lost := writer.acknowledged - present:
            problems.append(f"{writer.name}: acknowledged and not there: {sorted(lost)}")
        if strange := present - writer.attempted:
            problems.append(f"{writer.name}: there and never written: {sorted(strange)}")
    athena = Athena(server, "lake", "d")
    for query_id in asked:
        try:
            state = athena.wait(query_id)["Status"]["State"]
            if state == "SUCCEEDED":
                athena.results(query_id)
        except ClientError as error:
            problems.append(f"query {query_id}: {error}")
    files = sum(path.is_file() for path in (server.data / "objects").rglob("*"))
    pages = server.client("s3").get_paginator("list_objects_v2").paginate(Bucket="lake")
    objects = sum(page["KeyCount"] for page in pages)
    if files != objects:
        problems.append(f"{files} files for {objects} objects")
    return problems


# ------------------------------------------------------------------ the kinds of writes


def _writers() -> list[Writer]:
    return [
        Writer("put", _put, _puts),
        Writer("multipart upload", _upload, _uploads),
        Writer("Glue update", _update, _updates),
        Writer("INSERT into files", _insert("files", ", 1"), _inserted("files")),
        Writer("INSERT into Iceberg", _insert("ice", ""), _inserted("ice")),
        Writer("MERGE", _merge, _merged),
    ]


def _body(number: int) -> bytes:
    return f"{number}:".encode() + bytes([number % 256]) * 200_000


def _put(server: Server, number: int) -> None:
    key = f"puts/{number % 7}"
    metadata = {"number": str(number)}
    server.client("s3").put_object(Bucket="lake", Key=key, Body=_body(number), Metadata=metadata)


def _puts(server: Server) -> set[int]:
    """An object holds its last write; so those before it on the same key count as there."""
    s3, present = server.client("s3"), set()
    for found in s3.list_objects_v2(Bucket="lake", Prefix="puts/").get("Contents", []):
        answer = s3.get_object(Bucket="lake", Key=found["Key"])
        number = int(answer["Metadata"]["number"])
        if answer["Body"].read() != _body(number):
            raise Torn(f"{found['Key']} is not what write {number} wrote")
        present |= set(range(number, 0, -7))
    return present


def _upload(server: Server, number: int) -> None:
    s3, place = server.client("s3"), {"Bucket": "lake", "Key": f"parts/{number}"}
    upload = {**place, "UploadId": s3.create_multipart_upload(**place)["UploadId"]}
    tags = [
        s3.upload_part(**upload, PartNumber=n, Body=bytes([number % 256]) * size)["ETag"]
        for n, size in ((1, PART), (2, 1000))
    ]
    parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def _uploads(server: Server) -> set[int]:
    s3, present = server.client("s3"), set()
    for found in s3.list_objects_v2(Bucket="lake", Prefix="parts/").get("Contents", []):
        number = int(found["Key"].rpartition("/")[2])
        body = s3.get_object(Bucket="lake", Key=found["Key"])["Body"].read()
        if body != bytes([number % 256]) * (PART + 1000):
            raise Torn(f"{found['Key']} has {len(body)} bytes that are not its own")
        present.add(number)
    for left in s3.list_multipart_uploads(Bucket="lake").get("Uploads", []):
        s3.abort_multipart_upload(Bucket="lake", Key=left["Key"], UploadId=left["UploadId"])
    return present


def _update(server: Server, number: int) -> None:
    glue = server.client("glue")
    table = glue.get_table(DatabaseName="d", Name="counted")["Table"]
    glue.update_table(
        DatabaseName="d", VersionId=table["VersionId"],
        TableInput={"Name": "counted", "Parameters": {"n": str(number)}},
    )  # fmt: skip


def _updates(server: Server) -> set[int]:
    glue = server.client("glue")
    table = glue.get_table(DatabaseName="d", Name="counted")["Table"]
    pages = glue.get_paginator("get_table_versions").paginate(DatabaseName="d", TableName="counted")
    versions = [v["Table"]["Parameters"]["n"] for page in pages for v in page["TableVersions"]]
    if len(versions) != int(table["VersionId"]) + 1:
        raise Torn(f"version {table['VersionId']} with {len(versions)} versions")
    return {int(n) for n in versions} - {0}


def _insert(table: str, partition: str) -> Callable[[Server, int], None]:
    def insert(server: Server, number: int) -> None:
        Athena(server, "lake", "d").run(
            f"insert into {table} select {number}, x{partition} "
            f"from unnest(sequence(1, {ROWS})) as t (x)"
        )

    return insert


def _inserted(table: str) -> Callable[[Server], set[int]]:
    def inserted(server: Server) -> set[int]:
        rows: list[tuple[Any, ...]] = Athena(server, "lake", "d").rows(
            f"select id, count(*), count(distinct part) from {table} group by id"
        )
        for number, count, distinct in rows:
            if (count, distinct) != (str(ROWS), str(ROWS)):
                raise Torn(f"INSERT {number} has {count} rows, {distinct} different")
        present = {int(row[0]) for row in rows}
        if table == "ice":
            seen = set(catalog_of(server).load_table("d.ice").scan().to_arrow()["id"].to_pylist())
            if seen != present:
                raise Torn(f"pyiceberg sees {seen ^ present} otherwise")
        return present

    return inserted


def _merge(server: Server, number: int) -> None:
    Athena(server, "lake", "d").run(
        f"merge into merged using (values (bigint '1', bigint '{number}')) as s (id, n) "
        "on merged.id = s.id when matched then update set n = s.n"
    )


def _merged(server: Server) -> set[int]:
    return set(
        range(1, int(Athena(server, "lake", "d").value("select max(n) from merged") or 0) + 1)
    )
