"""The audit has to see whatever may be wrong with a lake, or the harness proves nothing."""

import json

import pytest

from tests.chaos.audit import Truth, audit
from tests.chaos.harness import Harness

LOG = "log/access_logs/000000000002.json"
MARKER = "published/access_logs/000000000002.json"
REFUSED = "quarantine/access_logs/seq=000000000002.parquet"


@pytest.fixture(scope="module")
def lake(harness: Harness) -> tuple[dict[str, bytes], Truth]:
    scene = harness.scene("window")
    bucket, job, _ = scene.play(harness.world)
    assert harness.world.run({**job, "has_child": False}).code == 0
    return harness.world.objects(bucket), scene.truth


def raw_of(objects: dict[str, bytes], seq: int) -> str:
    return next(key for key in objects if key.startswith("raw/") and f"seq={seq:012d}" in key)


def changed(body: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(body), **fields}).encode()


def test_a_lake_that_is_right_passes(lake: tuple[dict[str, bytes], Truth]):
    objects, truth = lake

    found = audit(objects, truth)

    assert str(found) == ""
    assert found.batches == 2
    assert len(truth.rows) + len(truth.reasons) == 35


def test_rows_that_are_gone_are_lost(lake: tuple[dict[str, bytes], Truth]):
    objects, truth = lake
    key = raw_of(objects, 2)

    found = audit({k: body for k, body in objects.items() if k != key}, truth)

    assert len(found.lost) > 5
    assert any(f"{key} is planned and not there" in said for said in found.wrong)


def test_rows_that_are_there_twice_are_doubled(lake: tuple[dict[str, bytes], Truth]):
    objects, truth = lake
    twin = raw_of(objects, 2).replace("-0.parquet", "-1.parquet")

    found = audit({**objects, twin: objects[raw_of(objects, 2)]}, truth)

    assert len(found.doubled) > 5


def test_a_refusal_that_is_gone_is_lost_even_without_an_id(lake: tuple[dict[str, bytes], Truth]):
    objects, truth = lake

    found = audit({k: body for k, body in objects.items() if k != REFUSED}, truth)

    assert {"ID_MISSING", "ID_CONFLICT"} <= set(found.lost)


def test_a_batch_that_nobody_published_is_told(lake: tuple[dict[str, bytes], Truth]):
    objects, truth = lake

    found = audit({k: body for k, body in objects.items() if k != MARKER}, truth)

    assert "unpublished: [2]" in found.wrong
    assert found.lost


@pytest.mark.parametrize(
    ("key", "fields", "said"),
    [
        (LOG, {"prev_sha256": "0" * 64}, "entry 2 does not continue the chain"),
        (LOG, {"body_sha256": "0" * 64}, "the body of 2 is not what the log says"),
        (MARKER, {"good": 1}, "the sum of batch 2 is off"),
        (MARKER, {"supersedes": [1]}, "rows per reason are not what the markers say"),
    ],
)
def test_an_entry_that_is_not_true_is_told(
    lake: tuple[dict[str, bytes], Truth], key: str, fields: dict[str, object], said: str
):
    objects, truth = lake

    found = audit({**objects, key: changed(objects[key], **fields)}, truth)

    assert any(said in wrong for wrong in found.wrong) or ("supersedes" in fields and found.lost), (
        found
    )


def test_a_row_with_another_content_is_told(lake: tuple[dict[str, bytes], Truth]):
    objects, truth = lake
    identifier = min(truth.rows)
    rows = {**truth.rows, identifier: {**truth.rows[identifier], "url": "/elsewhere"}}

    found = audit(objects, Truth(rows, truth.reasons, truth.nameless))

    assert found.wrong == [f"{identifier} differs in ['url']"]


def test_a_record_in_the_wrong_place_is_told(lake: tuple[dict[str, bytes], Truth]):
    objects, truth = lake
    identifier = min(truth.rows)
    rows = {i: row for i, row in truth.rows.items() if i != identifier}
    reasons = {**truth.reasons, identifier: "FIELD_TYPE"}

    found = audit(objects, Truth(rows, reasons, truth.nameless))

    assert found.wrong == [f"{identifier} is in raw"]
