"""Athena's history in the lake: every query that ended, once, with its names and without its text.

Against local_aws's own API, and over a history by hand whose runs are killed, race, and overlap.
"""

import io
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import botocore.session
import pyarrow.parquet as pq
import pytest

from ingestion import Settings, query_costs
from ingestion.errors import ConfigError
from ingestion.lake import Lake
from ingestion.tables import QUERY_COSTS
from tests.ingestion.lakes import DyingLake, Killed, MemoryLake

NOW = datetime.now(UTC).replace(microsecond=0)
DBT = (
    '-- /* {"app": "dbt", "node_id": "model.daylight.metrics_a", "invocation_id": "11-22", '
    '"target_name": "prod"} */\n'
)


def execution(number: int, minutes_ago: float, state: str = "SUCCEEDED", **more: Any) -> Any:
    return {
        "QueryExecutionId": f"q{number}",
        "Query": f"{DBT}select 'canary'",
        "WorkGroup": "primary",
        "QueryExecutionContext": {"Database": "daylight"},
        "Status": {"State": state, "SubmissionDateTime": NOW - timedelta(minutes=minutes_ago)},
        "Statistics": {"DataScannedInBytes": number},
        **more,
    }


def landed(lake: Lake) -> list[dict[str, Any]]:
    bodies = [lake.get(key) or b"" for key in lake.keys(QUERY_COSTS.prefix)]
    return [row for body in bodies for row in pq.read_table(io.BytesIO(body)).to_pylist()]


@pytest.fixture
def history(monkeypatch):
    """A work group's history, newest first, in pages of three."""
    found: list[Any] = []

    def pages(_: Settings) -> Any:
        newest = sorted(found, key=lambda one: one["Status"]["SubmissionDateTime"], reverse=True)
        return (newest[at : at + 3] for at in range(0, len(newest), 3))

    monkeypatch.setattr(query_costs, "_pages", pages)
    return found


def collect_into(lake: MemoryLake, settings: Settings, monkeypatch) -> int:
    monkeypatch.setattr(query_costs, "Lake", lake)
    return query_costs.collect(settings)


def test_collect_lands_what_athena_says_of_each_query(lake_settings: Settings):
    lake = Lake(lake_settings)
    lake.ensure_bucket()
    athena = boto3.client("athena", endpoint_url=lake_settings.aws_endpoint_url)
    group = f"costs{lake_settings.lake_bucket[-8:]}"
    output = f"{lake_settings.lake_uri}/athena-results/"
    athena.create_work_group(
        Name=group, Configuration={"ResultConfiguration": {"OutputLocation": output}}
    )
    settings = type(lake_settings)(
        **{name: getattr(lake_settings, name) for name in lake_settings.__slots__}
        | {"athena_workgroup": group}
    )
    texts = [f"{DBT}select 1", "select 'canary'", "select nonsense", *["select 2"] * 60]
    ids = [
        athena.start_query_execution(
            QueryString=text, WorkGroup=group, QueryExecutionContext={"Database": "some_schema"}
        )["QueryExecutionId"]
        for text in texts
    ]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(
        athena.get_query_execution(QueryExecutionId=one)["QueryExecution"]["Status"]["State"]
        in ("QUEUED", "RUNNING")
        for one in ids
    ):
        time.sleep(0.1)

    count = query_costs.collect(settings)

    rows = {row["query_id"]: row for row in landed(lake)}
    assert count == len(rows) == 63
    assert set(rows) == set(ids)
    assert [rows[one]["state"] for one in ids[:4]] == [
        *("SUCCEEDED", "SUCCEEDED", "FAILED", "SUCCEEDED")
    ]
    named, plain = rows[ids[0]], rows[ids[1]]
    assert (named["node_id"], named["invocation_id"]) == ("model.daylight.metrics_a", "11-22")
    assert (plain["node_id"], plain["invocation_id"]) == (None, None)
    assert {row["target_schema"] for row in rows.values()} == {"some_schema"}
    truth = athena.get_query_execution(QueryExecutionId=ids[0])["QueryExecution"]
    assert named["execution_ms"] == truth["Statistics"]["EngineExecutionTimeInMillis"]
    assert named["scanned_bytes"] == truth["Statistics"]["DataScannedInBytes"]
    at = truth["Status"]["SubmissionDateTime"].astimezone(UTC).replace(tzinfo=None)
    assert abs(named["submitted_at"] - at) < timedelta(milliseconds=1)
    bodies = b"".join(lake.get(key) or b"" for key in lake.keys(QUERY_COSTS.prefix))
    assert b"canary" not in bodies
    assert query_costs.collect(settings) == 0


def test_every_query_is_landed_once_over_runs_that_overlap(history, make_settings, monkeypatch):
    lake = MemoryLake()
    history += [execution(n, 60 - n) for n in range(10)]
    collect_into(lake, make_settings(), monkeypatch)
    history += [execution(n, 40 - n) for n in range(10, 20)]

    assert collect_into(lake, make_settings(), monkeypatch) == 10
    assert collect_into(lake, make_settings(), monkeypatch) == 0
    assert sorted(row["query_id"] for row in landed(lake)) == sorted(f"q{n}" for n in range(20))


def test_a_query_that_was_still_running_is_landed_when_it_has_ended(
    history, make_settings, monkeypatch
):
    lake = MemoryLake()
    long = execution(1, 300, "RUNNING")
    history += [long, *(execution(n, 200 - n) for n in range(2, 30))]
    collect_into(lake, make_settings(), monkeypatch)
    assert "q1" not in {row["query_id"] for row in landed(lake)}
    history.append(execution(30, 1))
    collect_into(lake, make_settings(), monkeypatch)
    long["Status"]["State"] = "CANCELLED"

    assert collect_into(lake, make_settings(), monkeypatch) == 1

    ids = [row["query_id"] for row in landed(lake)]
    assert sorted(ids) == sorted(f"q{n}" for n in range(1, 31))


def test_queries_of_one_instant_that_are_listed_late_do_not_overwrite_each_other(
    history, make_settings, monkeypatch
):
    lake = MemoryLake()
    for number, minutes_ago in ((1, 20), (2, 10), (3, 12), (4, 12)):
        history.append(execution(number, minutes_ago))
        assert collect_into(lake, make_settings(), monkeypatch) == 1

    assert sorted(row["query_id"] for row in landed(lake)) == ["q1", "q2", "q3", "q4"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fatal", range(1, 12))
def test_a_killed_run_loses_nothing_and_the_next_one_completes_it(
    history, make_settings, monkeypatch, fatal: int, when: str
):
    memory = MemoryLake()
    # Over two midnights at least, so that a run has several objects to write.
    history += [execution(n, 3 * 1440 - n * 240) for n in range(18)]
    history.append(execution(18, 100, "RUNNING"))
    dying = DyingLake(memory, fatal, when)
    try:
        collect_into(dying, make_settings(), monkeypatch)
    except Killed:
        assert dying.happened
    history[-1]["Status"]["State"] = "SUCCEEDED"
    history.append(execution(19, 0))

    collect_into(memory, make_settings(), monkeypatch)

    ids = [row["query_id"] for row in landed(memory)]
    assert set(ids) == {f"q{n}" for n in range(20)}
    # Days that the killed run had written may be there twice: the staging model takes each id once.
    assert all(row["scanned_bytes"] == int(row["query_id"][1:]) for row in landed(memory))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (f"{DBT}select 1", {"node_id": "model.daylight.metrics_a"}),
        ('/* {"node_id": "model.d.a"} */ select 1', {"node_id": "model.d.a"}),
        ('select 1\n-- /* {"node_id": "model.d.a"} */', {"node_id": "model.d.a"}),
        ('select 1\n-- /* {"node_id": "x\\nsecret words"} */\nfrom t', {}),
        ('-- /* {"node_id": "two words"} */\nselect 1', {}),
        ("-- /* {broken} */\nselect 1", {}),
        ("-- /* {1: 2} */\nselect 1", {}),
        ("alter table a set location 'b'", {}),
        ("", {}),
    ],
)
def test_names_are_read_from_the_first_or_last_line_and_nothing_else(query, names):
    assert names.items() <= query_costs.comment_of(query).items()
    if not names:
        assert query_costs.comment_of(query) == {}


def test_fields_and_page_size_are_those_of_athenas_own_api():
    athena = botocore.session.get_session().get_service_model("athena")
    asked = athena.operation_model("BatchGetQueryExecution")
    found = asked.output_shape.members["QueryExecutions"].member.members

    assert {"QueryExecutionId", "Query", "WorkGroup", "StatementType", "SubstatementType"} <= set(
        found
    )
    assert "Database" in found["QueryExecutionContext"].members
    assert {"State", "SubmissionDateTime"} <= set(found["Status"].members)
    assert {
        "DataScannedInBytes",
        "EngineExecutionTimeInMillis",
        "QueryQueueTimeInMillis",
    } <= set(found["Statistics"].members)
    states = set(found["Status"].members["State"].enum)
    assert states - query_costs._ENDED == {"QUEUED", "RUNNING"}
    listed = athena.operation_model("ListQueryExecutions").input_shape.members["MaxResults"]
    taken = asked.input_shape.members["QueryExecutionIds"]
    assert query_costs.PAGE_SIZE == listed.metadata["max"] == taken.metadata["max"]


def test_unknown_work_group_is_said_in_one_sentence(lake_settings: Settings):
    wrong = type(lake_settings)(
        **{name: getattr(lake_settings, name) for name in lake_settings.__slots__}
        | {"athena_workgroup": "nobody"}
    )

    with pytest.raises(ConfigError, match="ATHENA_WORKGROUP"):
        query_costs.collect(wrong)
