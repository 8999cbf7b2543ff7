"""Our use of S3 and Glue, against a real server of both."""

import dataclasses
import gzip
import io
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import boto3
import pyarrow as pa
import pytest

import ingestion.landing
from ingestion import (
    ConfigError,
    ContractError,
    LakeUnavailable,
    Settings,
    land_api,
    land_dumps,
)
from ingestion.lake import Lake
from ingestion.tables import ACCESS_LOGS, TABLES, glue_input
from tests.ingestion.envelopes import envelope, judge, population
from tests.ingestion.lakes import publish_checked, quarantine_rows, raw_rows
from tests.ingestion.sources import page, serving

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lake(lake_settings: Settings) -> Lake:
    lake = Lake(lake_settings)
    lake.ensure_bucket()
    return lake


def test_objects_are_written_read_listed_and_replaced(lake: Lake):
    for key in ("a/2", "a/1", "b/1", "a/10"):
        lake.put(key, key.encode())
    lake.put("a/1", b"new")

    assert lake.get("a/1") == b"new"
    assert lake.get("a/3") is None
    assert list(lake.keys("a/")) == ["a/1", "a/10", "a/2"]
    assert list(lake.keys("a/", after="a/10")) == ["a/2"]
    assert lake.key_of(lake.uri("a/1")) == "a/1"


def test_keys_go_on_behind_a_thousand(lake: Lake):
    for number in range(1_003):
        lake.put(f"many/{number:05}", b"")

    assert len(list(lake.keys("many/"))) == 1_003


def test_create_has_one_winner_who_may_repeat_itself(lake: Lake):
    won: list[int] = []
    barrier = threading.Barrier(12)

    def race(number: int) -> None:
        barrier.wait(10)
        if lake.create("log/1", b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=race, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(won) == 1
    assert lake.get("log/1") == b"%d" % won[0]
    assert lake.create("log/1", b"%d" % won[0])  # a lost reply: the same bytes are mine
    assert not lake.create("log/1", b"other")


def test_copy_notices_a_source_that_is_gone_or_has_another_size(lake: Lake):
    lake.put("staging/a", b"12345")

    lake.copy("staging/a", "raw/a", 5)

    assert lake.get("raw/a") == b"12345"
    with pytest.raises(ContractError, match="has 5 bytes after the copy, but its plan says 6"):
        lake.copy("staging/a", "raw/a", 6)
    with pytest.raises(ContractError, match="is gone"):
        lake.copy("staging/b", "raw/b", 5)


def test_list_uris_takes_an_address_for_an_object_or_a_folder(lake: Lake):
    for key in ("dumps/a.gz", "dumps/sub/b", "dumps2/c", "dumps/"):
        lake.put(key, b"123")

    def names(tail: str) -> list[str]:
        return [uri.removeprefix(lake.uri("")) for uri, _ in lake.list_uris(lake.uri(tail))]

    assert names("dumps/") == names("dumps") == ["dumps/a.gz", "dumps/sub/b"]
    assert names("dumps/a.gz") == ["dumps/a.gz"]
    assert names("dumps/a") == []


def test_download_writes_into_a_file_or_says_that_there_is_none(lake: Lake):
    lake.put("dumps/a", b"123")
    target = io.BytesIO()

    lake.download(lake.uri("dumps/a"), target)

    assert target.getvalue() == b"123"
    with pytest.raises(ConfigError, match="There is no object"):
        lake.download(lake.uri("dumps/b"), io.BytesIO())


def test_errors_say_whether_a_retry_may_help(make_settings: Callable, local_aws: str):
    absent = Lake(make_settings(AWS_ENDPOINT_URL=local_aws))
    with pytest.raises(ConfigError, match="NoSuchBucket"):
        absent.get("a")
    with pytest.raises(ConfigError, match="is not in the lake's bucket"):
        absent.key_of("s3://elsewhere/a")

    nowhere = Lake(make_settings(AWS_ENDPOINT_URL="http://127.0.0.1:9"))
    with pytest.raises(LakeUnavailable, match="Is AWS_ENDPOINT_URL right"):
        nowhere.get("a")


def test_ensure_tables_makes_them_as_declared_once(lake: Lake, lake_settings: Settings):
    database = lake_settings.raw_database
    glue = boto3.client("glue", endpoint_url=lake_settings.aws_endpoint_url)

    for _ in range(2):
        lake.ensure_tables(database, TABLES)

    for table in TABLES:
        found = glue.get_table(DatabaseName=database, Name=table.name)["Table"]
        wanted = glue_input(table, lake.bucket)
        assert found["StorageDescriptor"]["Columns"] == wanted["StorageDescriptor"]["Columns"]
        assert found["Parameters"].items() >= wanted["Parameters"].items()
        versions = glue.get_table_versions(DatabaseName=database, TableName=table.name)
        assert len(versions["TableVersions"]) == 1


def test_ensure_tables_brings_an_older_table_up_to_date(lake: Lake, lake_settings: Settings):
    glue = boto3.client("glue", endpoint_url=lake_settings.aws_endpoint_url)
    wider = ACCESS_LOGS.schema.append(pa.field("later", pa.string()))
    database = lake_settings.raw_database
    lake.ensure_tables(database, [ACCESS_LOGS])

    lake.ensure_tables(database, [dataclasses.replace(ACCESS_LOGS, schema=wider)])

    found = glue.get_table(DatabaseName=database, Name="access_logs")["Table"]
    assert found["StorageDescriptor"]["Columns"][-1] == {"Name": "later", "Type": "string"}


def test_a_dump_in_s3_becomes_the_rows_that_the_oracle_says(
    lake: Lake, lake_settings: Settings, fernet_key: str
):
    items = population([fernet_key], 400, seed=21)
    lines = b"".join(json.dumps(item).encode() + b"\n" for item in items[:300])
    lake.put("offered/dumps/a.gz", gzip.compress(lines))
    lake.put("offered/dumps/b.json", json.dumps(items[250:]).encode())

    for _ in range(2):
        manifests = land_dumps(lake_settings, lake.uri("offered/dumps/"))
        publish_checked(lake_settings, manifests)

    verdicts = {item["recordId"]: judge(item, [fernet_key]) for item in items}
    rows = {row["record_id"]: row for row in raw_rows(lake)}
    assert len(rows) == len(raw_rows(lake))
    assert rows.keys() == {number for number, (reason, _) in verdicts.items() if not reason}
    for number, row in rows.items():
        truth = verdicts[number][1]
        row["extra_fields"] = row["extra_fields"] and json.loads(row["extra_fields"])
        assert truth == {name: row[name] for name in truth}
    refused = Counter((row["record_id"], row["reason"]) for row in quarantine_rows(lake))
    assert refused == Counter((n, reason) for n, (reason, _) in verdicts.items() if reason)


def test_racing_runs_over_s3_take_each_record_once(
    lake: Lake, lake_settings: Settings, fernet_key: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ingestion.landing, "MAX_BATCH_RECORDS", 40)
    items = [envelope(fernet_key, number) for number in range(200)]
    failures: list[BaseException] = []
    barrier = threading.Barrier(3)

    def run(start: int) -> None:
        try:
            with serving(page(items[start : start + 120])) as (url, _):
                barrier.wait(10)
                settings = dataclasses.replace(lake_settings, source_url=url)
                publish_checked(settings, land_api(settings))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=[start]) for start in (0, 40, 80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    with serving(page(items[:1])) as (url, _):
        settings = dataclasses.replace(lake_settings, source_url=url)
        publish_checked(settings, land_api(settings))

    assert failures == []
    assert sorted(row["record_id"] for row in raw_rows(lake)) == list(range(200))


def test_a_process_killed_while_it_lands_loses_and_doubles_nothing(
    lake: Lake, lake_settings: Settings, fernet_key: str, tmp_path: Path
):
    items = [envelope(fernet_key, number) for number in range(1_200)]
    (tmp_path / "dump").write_text("".join(json.dumps(item) + "\n" for item in items))
    variables = {
        name.upper(): str(value)
        for name, value in dataclasses.asdict(lake_settings).items()
        if value is not None
    }
    script = (
        "import sys, ingestion.landing; ingestion.landing.MAX_BATCH_RECORDS = 100;"
        "from ingestion.__main__ import main;"
        "from ingestion import Settings, approve;"
        "from ingestion.publishing import staged_manifests;"
        "code = main(sys.argv[1:]); settings = Settings.from_env();"
        "[approve(settings, manifest) for manifest in staged_manifests(settings)];"
        "code = code or main(['publish']);"
        "sys.exit(code)"
    )

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", script, "land", str(tmp_path / "dump")],
            env=os.environ | variables,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    kills = 0
    for lines in (3, 6, 9):  # log lines after which it dies, each time somewhere else
        process = start()
        assert process.stderr is not None
        seen = sum(1 for _ in zip(range(lines), process.stderr, strict=False))
        process.kill()
        process.communicate()
        kills += seen == lines
    process = start()
    errors = process.communicate(timeout=120)[1]

    assert kills == 3
    assert process.returncode == 0, errors
    assert sorted(row["record_id"] for row in raw_rows(lake)) == list(range(1_200))
