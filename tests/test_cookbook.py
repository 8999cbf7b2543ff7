"""The cookbook, asked of a small warehouse that real dbt built, and the site that shows it.

Each question must compile, run, answer and read little; several answers are computed once more from
the records, by loops over them and without SQL.
"""

import json
import re
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import boto3
import pytest

import dashboard
from dashboard import athena, cookbook
from dashboard.cookbook import Answer
from ingestion import Settings, query_costs, tables
from ingestion.lake import Lake
from tests.oracle.lake import Event, accepted, counting_batches, events
from tests.populations import START, numbered, population
from tests.publishing import SEOUL, Publisher, rejects
from tests.warehouses import Warehouse, use_lake

ANALYSES = Path(__file__).resolve().parent.parent / "dbt_project" / "analyses"
NAMES = sorted(path.stem for path in ANALYSES.glob("*.sql"))
READ_AT_MOST = 5_000_000
"""Bytes; the answers stand in tables of a row per day, not in records."""

DAY = timedelta(days=1)


@dataclass
class Asked:
    """What was built, what was answered, and the records behind it."""

    settings: Settings
    target: Path
    answers: dict[str, Answer]
    events: list[Event]
    publisher: Publisher
    history: list[dict[str, Any]]
    """Athena's own account of the queries that the costs were counted from."""

    def rows(self, name: str) -> list[dict[str, Any]]:
        return self.answers[name].reply.rows


@pytest.fixture(scope="module")
def asked(local_aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    name, folder = f"cookbook{uuid4().hex[:8]}", tmp_path_factory.mktemp("cookbook")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_lake(monkeypatch, local_aws, name, folder)
        settings = Settings(
            source_url="http://127.0.0.1:9/",
            fernet_keys="unused",
            pseudonym_key="5a" * 32,
            lake_bucket=name,
            raw_database=f"{name}_raw",
            warehouse_schema=name,
            aws_endpoint_url=local_aws,
        )
        publisher, warehouse = Publisher(name, f"{name}_raw"), Warehouse(name, name)
        publisher.create_tables()
        # Up to here, so that the day before the last 28 is none of the population's empty days.
        until = START + 61 * DAY
        records = numbered(row for row in population(seed=11) if row["occurred_at"] < until)
        late = [row for row in records if row["record_id"] % 50 == 7]
        on_time = [row for row in records if row["record_id"] % 50 != 7]
        publisher.publish(1, on_time, rejects(5, 50, "2024-02-20"))
        warehouse.dbt("run", "--select", "+fct_metric_history")
        again = rejects(2, None, "2024-02-21")
        publisher.publish(2, late, again, landed_at="2024-03-21T00:00:00.000")
        name_a_missing_id(name)
        warehouse.dbt("run")
        query_costs.collect(settings)
        history = executions(settings)
        warehouse.dbt("compile", "--select", "resource_type:analysis")
        (folder / "target" / "static_index.html").write_text("<p>dbt docs</p>")
        with athena.connected(settings) as connection:
            answers = cookbook.answers(cookbook.questions(folder / "target"), connection)
        lake = publisher.lake
        seen = events(accepted(lake, counting_batches(lake)), ZoneInfo(SEOUL))
        by_name = {answer.question.name: answer for answer in answers}
        yield Asked(settings, folder / "target", by_name, list(seen), publisher, history)


def name_a_missing_id(bucket: str) -> None:
    """Let batch 2 say that it overtook id 1300, which never came."""
    s3 = boto3.client("s3")
    key = f"{tables.PUBLISHED_BATCHES.prefix}{2:012d}.json"
    marker = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    marker |= {"missing": [{"low": 1300, "high": 1300}], "missing_ids": 1}
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(marker).encode())


def executions(settings: Settings) -> list[dict[str, Any]]:
    """Return every query of the schema, asked of Athena one by one."""
    client = boto3.client("athena")
    pages = client.get_paginator("list_query_executions").paginate(WorkGroup="primary")
    ids = [each for page in pages for each in page["QueryExecutionIds"]]
    found = [client.get_query_execution(QueryExecutionId=each)["QueryExecution"] for each in ids]
    schema = settings.warehouse_schema
    return [one for one in found if one["QueryExecutionContext"].get("Database") == schema]


# ------------------------------------------------------------------------------------ the questions


def test_there_are_twenty_and_dbt_knows_them_all(asked: Asked):
    assert len(NAMES) == 20
    assert sorted(asked.answers) == NAMES
    assert [name[:2] for name in NAMES] == [f"{n:02d}" for n in range(1, 21)]


@pytest.mark.parametrize("name", NAMES)
def test_question_is_asked_in_its_file_and_in_dbt_docs_in_the_same_words(name: str, asked: Asked):
    comment = re.match(r"\{# (.*?) #\}", (ANALYSES / f"{name}.sql").read_text(), re.DOTALL)
    question = asked.answers[name].question

    assert comment, f"Begin {name}.sql with a comment that asks the question"
    assert " ".join(comment[1].split()) == f"{question.asked} {question.meaning}"
    assert question.owner
    assert question.asked.count("?") == 1


@pytest.mark.parametrize("name", NAMES)
def test_question_is_answered_with_rows_and_few_bytes(name: str, asked: Asked):
    reply = asked.answers[name].reply

    assert reply.rows
    assert reply.scanned_bytes <= READ_AT_MOST


@pytest.mark.parametrize("name", NAMES)
def test_question_reads_models_only_and_reads_no_record(name: str):
    sql = (ANALYSES / f"{name}.sql").read_text()
    read = set(re.findall(r"ref\('(\w+)'\)", sql))

    assert read
    assert "source(" not in sql
    assert {one for one in read if not one.startswith("metrics_")} <= {
        "dim_users",
        "fct_user_daily",
    }


# ----------------------------------------------------------------- the answers, from the records


def active_on(asked: Asked) -> dict[date, set[str]]:
    found: dict[date, set[str]] = defaultdict(set)
    for event in asked.events:
        if not event.is_error:
            found[event.day].add(event.user)
    return found


def window(active: dict[date, set[str]], last: date, days: int) -> set[str]:
    return set().union(*(active.get(last - n * DAY, set()) for n in range(days)))


def test_people_are_counted_once_per_day_week_and_month(asked: Asked):
    active, first = active_on(asked), min(event.day for event in asked.events)
    rows = asked.rows("01_how_many_people_use_it")

    assert [row["metric_date"] for row in rows] == [
        max(event.day for event in asked.events) - n * DAY for n in range(28)
    ]
    for row in rows:
        day = row["metric_date"]
        counts = tuple(len(window(active, day, days)) for days in (1, 7, 28))
        assert (row["dau"], row["wau"], row["mau"]) == counts
        assert row["dau_mau"] == counts[0] / counts[2]
        assert row["is_mau_complete"] == (day - first >= 27 * DAY)


def test_growth_is_told_by_sets_of_people(asked: Asked):
    active = active_on(asked)
    first_day = {
        user: min(day for day, users in active.items() if user in users)
        for user in set().union(*active.values())
    }
    rows = asked.rows("02_is_it_growing_and_where_from")

    assert len(rows) >= 6
    for row in rows:
        monday = row["week_start_date"]
        now, before = window(active, monday + 6 * DAY, 7), window(active, monday - DAY, 7)
        new = {user for user in now if first_day[user] >= monday}
        assert row["active_user_count"] == len(now)
        assert row["net_user_count"] == len(now) - len(before)
        assert row["new_user_count"] == len(new)
        assert row["retained_user_count"] == len(now & before)
        assert row["resurrected_user_count"] == len(now - before - new)
        assert row["churned_user_count"] == len(before - now)


def last_final_days(asked: Asked, rows: list[dict[str, Any]]) -> set[date]:
    assert all(row["is_final"] for row in rows)
    last = max(event.day for event in asked.events)  # landed more than 48 hours later
    return {last - n * DAY for n in range(28)}


def test_peak_hour_is_the_hour_with_most_records(asked: Asked):
    rows = asked.rows("10_when_is_the_peak_hour")
    days = last_final_days(asked, rows)

    counts = Counter(event.hour for event in asked.events if event.day in days)

    assert {row["hour"]: row["request_count"] for row in rows} == counts
    assert rows[0]["request_count"] == max(counts.values())
    assert rows[0]["rank_by_requests"] == 1


def test_endpoints_add_up_and_fail_within_their_bounds(asked: Asked):
    busiest = asked.rows("06_which_endpoints_are_busiest")
    days = last_final_days(asked, busiest)
    own: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in asked.events:
        if event.day in days:
            own[event.route or "(none)", event.method or "(none)"].append(event)

    for row in busiest:
        requests = own[row["route"], row["method"]]
        assert row["request_count"] == len(requests)
        assert row["error_count"] == sum(event.is_error for event in requests)
    assert sum(row["share_of_requests"] for row in busiest) <= 1 + 1e-9
    for row in asked.rows("07_which_endpoints_fail_most"):
        n, e = row["request_count"], row["error_count"]
        # The ends of Wilson's interval are where the observed rate is 1.96 deviations away.
        for bound in (row["error_rate_low"], row["error_rate_high"]):
            if 0 < bound < 1:
                assert abs(e / n - bound) == pytest.approx(1.96 * (bound * (1 - bound) / n) ** 0.5)


def test_funnel_is_walked_person_by_person(asked: Asked):
    by_user: dict[str, list[Event]] = defaultdict(list)
    for event in sorted(asked.events, key=lambda event: (event.at, event.record_id)):
        if not event.is_error:
            by_user[event.user].append(event)
    reached: dict[date, Counter[str]] = defaultdict(Counter)
    for own in by_user.values():
        for day in {event.day for event in own}:
            wanted, monday = ["view", "cart", "purchase"], day - day.weekday() * DAY
            for event in own:
                in_time = day <= event.day <= (day if wanted[0] == "view" else day + 6 * DAY)
                if in_time and event.activity == wanted[0]:
                    reached[monday][wanted.pop(0)] += 1
                    if not wanted:
                        break

    for row in asked.rows("09_how_does_the_funnel_convert_by_week"):
        found = [row[f"{step}_user_days"] for step in ("view", "cart", "purchase")]
        counts = reached[row["week_start_date"]]
        assert found == [counts["view"], counts["cart"], counts["purchase"]]
        assert row["overall_rate"] == (found[2] / found[0] if found[0] else None)


def test_yesterday_is_compared_with_the_same_weekday(asked: Asked):
    active, last = active_on(asked), max(event.day for event in asked.events)
    row = next(row for row in asked.rows("12_how_does_yesterday_compare") if row["metric"] == "dau")
    counts = [len(active[last - DAY - 7 * n * DAY]) for n in range(5)]

    assert row["metric_date"] == last - DAY
    assert (row["value"], row["value_a_week_before"]) == (counts[0], counts[1])
    assert row["change_in_a_week"] == (counts[0] - counts[1]) / counts[1]
    assert row["mean_of_four_weeks"] == sum(counts[1:]) / 4


def test_late_records_are_why_final_numbers_moved(asked: Asked):
    rows = asked.rows("14_what_was_restated_and_why")

    assert {row["cause"] for row in rows} == {"late_data"}
    assert all(row["new_value"] - row["old_value"] == row["delta"] != 0 for row in rows)


def test_quarantine_and_missing_ids_are_those_that_were_published(asked: Asked):
    reasons = Counter(row["reason"] for row in asked.publisher.lake.quarantined)
    found = asked.rows("16_which_reasons_fill_the_quarantine")

    assert {row["reason"]: row["quarantined_count"] for row in found} == reasons
    missing = asked.rows("17_which_ids_are_missing")
    assert [(row["first_missing_id"], row["missing_id_count"]) for row in missing] == [(1300, 1)]


def test_one_query_equals_the_loop_over_the_users(asked: Asked):
    last = max(event.day for event in asked.events)
    recent = [event for event in asked.events if event.day > last - 28 * DAY]
    expected = {}
    for user in {event.user for event in recent}:  # as the report used to ask: once for each
        own = [event for event in recent if event.user == user]
        kinds = Counter(event.activity for event in own)
        expected[user] = {
            "event_count_28": len(own),
            "active_day_count_28": len({event.day for event in own if not event.is_error}),
            "view_count_28": kinds["view"],
            "cart_count_28": kinds["cart"],
            "purchase_count_28": kinds["purchase"],
            "error_count_28": sum(event.is_error for event in own),
            "first_seen_date": min(e.day for e in asked.events if e.user == user),
        }

    rows = asked.rows("19_what_does_each_user_do")

    assert {row["user_id"] for row in rows} == set(expected)
    for row in rows:
        wanted = expected[row["user_id"]]
        assert {name: row[name] for name in wanted} == wanted


def test_costs_are_those_of_athenas_own_history(asked: Asked):
    expected: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for one in asked.history:
        named = re.search(r'"node_id": "([^"]+)"', one["Query"].splitlines()[0])
        node = named[1] if named else "(none)"
        expected[node] += one["Statistics"]["DataScannedInBytes"]
        count[node] += 1
    rows = [
        row
        for row in asked.rows("20_what_do_the_tables_cost")
        if row["target_schema"] == asked.settings.warehouse_schema
    ]

    assert any(row["node_id"] == "model.daylight.fct_user_daily" for row in rows)
    for row in rows:
        assert row["scanned_bytes"] == expected[row["node_id"]], row["node_id"]
        assert row["query_count"] == count[row["node_id"]], row["node_id"]


# ----------------------------------------------------------------------------------------- the site


def test_site_shows_every_answer_but_nobodys_pseudonym(asked: Asked):
    uri = dashboard.build(asked.settings, asked.target)

    lake, settings = Lake(asked.settings), asked.settings
    for key, kind in ((lake.key_of(uri), "text/html"), ("site/style.css", "text/css")):
        address = f"{settings.aws_endpoint_url}/{settings.lake_bucket}/{key}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
    page = (lake.get("site/answers.html") or b"").decode()
    costs = (lake.get("site/costs.html") or b"").decode()
    days = (lake.get("site/days.html") or b"").decode()
    assert page.count('<section id="q') == 20
    assert f"{len(asked.rows('19_what_does_each_user_do'))} rows. They hold pseudonyms" in page
    users = {event.user for event in asked.events}
    assert users
    for key in lake.keys("site/"):
        body = (lake.get(key) or b"").decode()
        assert not [user for user in users if user in body], key
    assert "fct_user_daily" in costs
    assert "late data" in days
    assert "1300" in days
