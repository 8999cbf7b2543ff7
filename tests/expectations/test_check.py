"""The gate: what is published, what is not, and that the reason is stored either way."""

import hashlib
import json

import pytest

import expectations.check
import ingestion.publishing
from expectations import CheckFailed, check_batch, docs, results
from ingestion.errors import ContractError, LakeUnavailable
from tests.expectations.batches import (
    FOLDER,
    MANIFEST_KEY,
    conflict_row,
    good_row,
    refused_row,
    staged,
)
from tests.ingestion.lakes import MemoryLake

URI = f"s3://memory/{MANIFEST_KEY}"
CANARY = "canary-3f9c1b7a"


@pytest.fixture
def check(monkeypatch, make_settings):
    def run(lake: MemoryLake):
        for module in (expectations.check, docs, ingestion.publishing):
            monkeypatch.setattr(module, "Lake", lambda settings: lake)
        return check_batch(make_settings(), URI)

    return run


def stored(lake: MemoryLake) -> dict[str, dict]:
    return {
        key: json.loads(body)
        for key, body in lake.objects.items()
        if key.startswith(results.PREFIX)
    }


def test_clean_batch_passes_and_its_results_are_stored(check):
    lake = staged([good_row(n) for n in range(100)], [refused_row(900)], duplicate=5)

    found = check(lake)

    documents = stored(lake).values()
    assert found.failed_blocking == found.failed_warning == []
    assert {document["suite_name"] for document in documents} == {
        "raw_access_logs",
        "raw_quarantined_records",
        "raw_published_batches",
    }
    assert found.evaluated == sum(d["statistics"]["evaluated_expectations"] for d in documents)
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


def test_only_a_batch_that_passed_is_approved_for_publication(check):
    clean, doubled = staged([good_row(1)], []), staged([good_row(1), good_row(1)], [])

    check(clean)
    with pytest.raises(CheckFailed):
        check(doubled)

    approval = json.loads(clean.objects[f"{FOLDER}/checked.json"])
    digest = hashlib.sha256(clean.objects[MANIFEST_KEY]).hexdigest()
    assert approval == {"manifest_sha256": digest}
    assert f"{FOLDER}/checked.json" not in doubled.objects


@pytest.mark.parametrize(
    "lake",
    [
        pytest.param(
            staged([good_row(n) for n in range(9)], [], 0, 9, {"source": "replay"}), id="replay"
        ),
        pytest.param(
            staged([], [refused_row(n) for n in range(9)], 0, 9, {"source": "replay"}),
            id="replay that was refused again",
        ),
        pytest.param(
            staged([good_row(1)], [conflict_row(1)], 2, -5, {"supersedes": [3]}),
            id="derived again after a replay took five",
        ),
        pytest.param(
            staged([], [], 2, -5, {"supersedes": [3]}),
            id="derived again after a replay took all",
        ),
    ],
)
def test_corrections_pass_the_gate(check, lake):
    assert check(lake).failed_blocking == []


def test_batch_that_version_0_1_staged_can_still_be_checked(check):
    later = ("conflict", "replayed", "reasons", "replayed_reasons", "supersedes", "keys")
    lake = staged([good_row(1)], [])
    manifest = json.loads(lake.objects[MANIFEST_KEY])
    kept = {name: value for name, value in manifest.items() if name not in later}
    days = [{k: v for k, v in day.items() if k not in later} for day in kept["arrival_days"]]
    lake.objects[MANIFEST_KEY] = json.dumps(kept | {"arrival_days": days}).encode()

    assert check(lake).failed_blocking == []


def test_many_conflicts_warn_and_do_not_block(check):
    found = check(staged([good_row(n) for n in range(50)], [conflict_row(1)]))

    assert found.failed_blocking == []
    assert [failure for failure in found.failed_warning if "uses its ids again" in failure]


def test_batch_of_refused_records_only_may_be_published_with_a_warning(check):
    lake = staged([], [refused_row(n) for n in range(20)])

    found = check(lake)

    assert found.failed_blocking == []
    assert len(found.failed_warning) == 1
    assert "At most 5 %" in found.failed_warning[0]


def test_batch_without_any_record_is_refused(check):
    lake = staged([], [], duplicate=3)

    with pytest.raises(CheckFailed, match="settles at least one record"):
        check(lake)


def test_blocking_failure_raises_after_the_result_was_stored(check):
    lake = staged([good_row(1), good_row(1)], [])

    with pytest.raises(CheckFailed, match="No id occurs twice") as raised:
        check(lake)

    assert not raised.value.retryable
    verdicts = {d["suite_name"]: docs.verdict(d) for d in stored(lake).values()}
    assert verdicts == {"raw_access_logs": "failed", "raw_published_batches": "passed"}


def test_failed_check_refreshes_the_data_docs_and_no_other_page(check):
    lake = staged([good_row(1), good_row(1)], [])

    with pytest.raises(CheckFailed):
        check(lake)

    shown = {key for key in lake.objects if key.startswith("site/")}
    assert {"site/data_docs/index.html", "site/data_docs/validations/01.html"} <= shown
    assert all(key.startswith("site/data_docs/") for key in shown)
    assert b'class="verdict failed"' in lake.objects["site/data_docs/index.html"]


def test_check_that_fails_while_the_docs_cannot_be_written_still_says_what_failed(
    check, monkeypatch
):
    def fail(settings: object) -> None:
        raise LakeUnavailable("S3 is away")

    monkeypatch.setattr(docs, "publish", fail)

    with pytest.raises(CheckFailed, match="No id occurs twice"):
        check(staged([good_row(1), good_row(1)], []))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"offered": 3}, "none is lost"),
        ({"good": 3, "offered": 3}, "as many good rows"),
        ({"event_days": []}, "per day of the event"),
        ({"arrival_days": []}, "per day of arrival"),
        ({"seq": 8}, "number of its own batch"),
        ({"quarantined": 1, "offered": 3, "reasons": {"ID_TYPE": 1}}, "as many refused rows"),
        ({"conflict": 1, "offered": 3, "reasons": {"ID_CONFLICT": 1}}, "as many conflicts"),
        ({"replayed": 1, "offered": 1}, "Only a replay takes"),
        ({"source": "replay"}, "Only a replay takes"),
        ({"replayed": -1, "offered": 3}, "Only a replay takes"),
        ({"replayed_reasons": {"ID_TYPE": 1}}, "counts per reason"),
        ({"keys": {"0123456789abcdef": 1}}, "counts per key"),
    ],
)
def test_manifest_that_claims_something_else_than_was_staged_is_refused(check, change, reason):
    lake = staged([good_row(1), good_row(2)], [], claims=change)

    with pytest.raises(CheckFailed, match=reason):
        check(lake)


def test_manifest_whose_days_do_not_come_out_is_refused(check):
    day = {"arrived_date": "2026-11-02", "offered": 1, "good": 2, "quarantined": 0, "duplicate": 0}
    other = day | {"arrived_date": "2026-11-03", "good": 0}
    lake = staged([good_row(1), good_row(2)], [], claims={"arrival_days": [day, other]})

    with pytest.raises(CheckFailed, match="On each day of arrival the sum comes out"):
        check(lake)


def test_file_that_was_altered_after_staging_is_refused(check):
    lake = staged([good_row(1), good_row(2)], [])
    other = staged([good_row(1), good_row(3)], [])
    name = next(key for key in lake.objects if key.endswith("raw.parquet"))
    lake.objects[name] = other.objects[name]

    with pytest.raises(CheckFailed, match="still has the bytes"):
        check(lake)


def test_missing_file_or_manifest_says_what_to_do(check):
    lake = staged([good_row(1)], [])
    name = next(key for key in lake.objects if key.endswith("raw.parquet"))
    del lake.objects[name]

    with pytest.raises(ContractError, match=r"raw\.parquet\. Land the batch again"):
        check(lake)
    with pytest.raises(ContractError, match="no manifest"):
        check(MemoryLake())


def test_no_personal_value_reaches_results_docs_messages_or_logs(check, tmp_path, caplog):
    caplog.set_level(0)
    personal = {
        "user_id": CANARY.encode(),
        "url": f"no-slash?token={CANARY}",
        "message": f"{CANARY}@example.org",
        "extra_fields": json.dumps({"mail": f"{CANARY}@example.org"}),
        "activity": CANARY,
        "occurred_at_text": CANARY,
    }
    # The second id occurs twice, and one time is missing: nearly every expectation is red.
    rows = [good_row(1, **personal), good_row(2, **personal), good_row(2, **personal)]
    lake = staged(rows, [refused_row(9, envelope=f"{{'user_id': '{CANARY}'}}", reason=CANARY)])

    with pytest.raises(CheckFailed) as raised:
        check(lake)
    docs.write(stored(lake), tmp_path)

    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 6
    assert len(raised.value.result.failed_blocking) >= 3
    for text in (*written, json.dumps(stored(lake)), str(raised.value), caplog.text):
        assert CANARY not in text
        assert CANARY.encode().hex() not in text


def test_importing_the_package_does_not_import_great_expectations():
    import subprocess
    import sys

    code = "import sys, expectations, dashboard; print('great_expectations' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert found.strip() == "False"
