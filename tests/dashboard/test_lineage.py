"""Recorded events of a real scheduler and of dbt, shortened to what is read of them."""

import json
from pathlib import Path

import pytest

from dashboard import lineage, runs_page
from tests.ingestion.lakes import MemoryLake

RECORDED = Path(__file__).with_name("openlineage_events.ndjson")
BATCHES = "transform_warehouse.warehouse.stg_access_logs__batches_model_build"
RECORDS = "transform_warehouse.warehouse.stg_access_logs__records_model_build"


def empty() -> dict:
    return {"runs": {}, "tasks": {}, "tables": {}}


def events() -> list[dict]:
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def folded(*found: dict) -> dict:
    return lineage.fold(empty(), map(json.dumps, found))


@pytest.fixture
def document() -> dict:
    return lineage.fold(empty(), RECORDED.open())


@pytest.fixture
def lake(monkeypatch):
    lake = MemoryLake()
    monkeypatch.setattr(lineage, "Lake", lake)
    return lake


def test_waiting_and_working_are_the_times_between_the_events(document):
    times = {
        (event["job"]["name"], event["eventType"]): event["eventTime"][17:23]
        for event in events()
        if event["eventTime"].startswith("2026-11-22T00:10")
    }
    assert times[BATCHES, "START"] == "33.273"
    assert times[BATCHES, "COMPLETE"] == "45.628"
    assert times["transform_warehouse", "START"] == "31.755"

    first, second = document["tasks"][BATCHES], document["tasks"][RECORDS]

    assert lineage.took_seconds(first) == pytest.approx(45.628 - 33.273, abs=0.002)
    assert lineage.waited_seconds(document, first) == pytest.approx(33.273 - 31.755, abs=0.002)
    assert lineage.waited_seconds(document, second) == pytest.approx(47.365 - 45.628, abs=0.002)


def test_tables_come_from_dbt_and_the_raw_one_from_the_asset(document):
    assert document["tables"]["daylight.stg_access_logs__records"] == [
        "daylight.stg_access_logs__batches",
        "daylight_raw.access_logs",
    ]
    assert document["tasks"]["load_dumps.publish"]["assets"] == ["daylight://raw/access_logs"]


def test_each_event_twice_or_one_at_a_time_makes_no_difference(document):
    one_by_one = empty()
    for event in events():
        lineage.fold(one_by_one, [json.dumps(event)])

    assert one_by_one == document


def test_a_new_run_replaces_the_old_one_but_not_what_is_usual(document):
    again = []
    for event in events():
        text = json.dumps(event).replace("2026-11-22T00:", "2026-11-22T05:")
        for run in {found["run"]["runId"] for found in events()}:
            text = text.replace(f'"{run}"', f'"again-{run}"')
        again.append(text)

    lineage.fold(document, again)

    task = document["tasks"][BATCHES]
    assert task["started_at"].startswith("2026-11-22T05:10:33")
    assert len(task["recent"]) == 2
    assert document["tables"] == folded(*events())["tables"]


def test_what_is_usual_is_bounded(document):
    for number in range(30):
        for event in events()[:3]:
            text = json.dumps(event)
            for found in events()[:3]:
                text = text.replace(found["run"]["runId"], f"{found['run']['runId']}-{number}")
            lineage.fold(document, [text])

    assert len(document["tasks"]["load_dumps.list_files"]["recent"]) == lineage.RECENT


def test_a_task_that_failed_or_has_not_ended_says_so():
    start, end = (event for event in events() if event["job"]["name"] == BATCHES)

    running = folded(start)["tasks"][BATCHES]
    failed = folded(start, end | {"eventType": "FAIL"})["tasks"][BATCHES]

    assert (running["state"], lineage.took_seconds(running)) == ("running", None)
    assert failed["state"] == "failed"
    assert failed["recent"] == []


def test_a_second_try_counts_from_its_own_start():
    start, end = (event for event in events() if event["job"]["name"] == BATCHES)
    again = start | {"eventTime": "2026-11-22T00:10:40.000000+00:00"}

    task = folded(start, end | {"eventType": "FAIL"}, again, end)["tasks"][BATCHES]

    assert lineage.took_seconds(task) == pytest.approx(5.628, abs=0.001)


def test_half_a_line_and_other_producers_are_passed_over(caplog):
    lines = ["{", '"text"', '{"eventType": "OTHER"}', json.dumps(events()[0])[:100]]

    document = lineage.fold(empty(), [*lines, *RECORDED.open()])

    assert document == folded(*events())
    assert "passed over 4" in caplog.text


def test_collecting_empties_the_file_and_loses_nothing_to_a_kill(
    lake, tmp_path, make_settings, monkeypatch, document
):
    file = tmp_path / "events"
    lines = RECORDED.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:10]))

    def killed(*_: object) -> None:
        raise SystemExit(137)

    with monkeypatch.context() as patched:
        patched.setattr(lake, "put", killed)
        with pytest.raises(SystemExit):
            lineage.collect(make_settings(), file)
    file.write_text("".join(lines[10:]))
    lineage.collect(make_settings(), file)

    assert lineage.read(lake) == document
    assert not file.exists()
    lineage.collect(make_settings(), file)  # nothing came since
    lineage.collect(make_settings(), None)
    assert lineage.read(lake) == document


def test_the_page_joins_tasks_tables_and_bytes(document):
    bytes_read = {
        "node_id": "model.daylight.stg_access_logs__records",
        "scanned_bytes": 7_000_000,
    }

    page = runs_page.render(document, [bytes_read], "daylight_raw")

    assert page.index("<h2>transform_warehouse</h2>") < page.index("<h2>load_dumps</h2>")
    row = page[page.index("stg_access_logs__records_model_build") :]
    row = row[: row.index("</tr>")]
    for cell in ("green", "1.7 s", "14.4 s", "7.0 MB"):
        assert cell in row
    made = page[page.index("daylight_raw.access_logs") :]
    made = made[: made.index("</tr>")]
    assert "load_dumps: publish" in made
    assert "stg_access_logs__records" in made


def test_a_task_that_takes_much_longer_than_usual_is_marked(document):
    document["tasks"][BATCHES]["recent"] = [1.0, 1.1, 0.9]

    page = runs_page.render(document, [], "daylight_raw")

    assert '<td class="some">12.4 s</td>' in page


def test_a_run_that_has_just_begun_leaves_the_one_before_on_the_page(document):
    begun = next(event for event in events() if event["job"]["name"] == "transform_warehouse")
    begun["run"]["runId"] = "the next"
    lineage.fold(document, [json.dumps(begun | {"eventTime": "2026-11-22T06:00:00.000000+00:00"})])

    page = runs_page.render(document, [], "daylight_raw")

    assert "3 tasks, the next one has begun" in page
    assert "stg_access_logs__records_model_build" in page


def test_a_circle_of_tables_ends():
    document = empty() | {"tables": {"a.b": ["a.c"], "a.c": ["a.b"]}}

    assert "Lineage" in runs_page.render(document, [], "raw")
