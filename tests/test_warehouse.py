"""The warehouse, built by real dbt on local_aws from hand-written batches, against the oracle.

One story is told once (``story``): batches are published one after the other, late, out of order,
with gaps, and dbt runs after each. The tests then look at what readers saw at each step.
"""

import io
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion import tables
from tests import oracle
from tests.oracle import Lake, Row, utc
from tests.warehouses import (
    EXACT_TABLES,
    SEOUL,
    Step,
    Warehouse,
    as_set,
    assert_same_rows,
    use_lake,
)

# ---------------------------------------------------------------------------------- what is loaded


def record(number: int, user: int, occurred_at: datetime, **changed: Any) -> Row:
    return {
        "record_id": number,
        "user_id": bytes([user]) * 32,
        "activity": "view",
        "url": "/api/products/product/",
        "method": "POST",
        "log_name": "json_logger",
        "level_name": "INFO",
        "message": "POST view",
        "occurred_at": occurred_at,
        "occurred_at_text": occurred_at.isoformat(),
        "arrived_at": occurred_at + timedelta(seconds=2),
        "extra_fields": None,
        "key_fingerprint": "00000000000000aa",
        **changed,
    }


def population(seed: int) -> list[Row]:
    """Records of 40 users from 20 January to 5 March 2024, a leap year, in order of arrival.

    Users 0-4 only ever fail; 11-15 February and every hour outside 10-20 UTC of some days are
    empty; some records come up to 20 days late; midnight in Seoul is hit exactly.
    """
    rng = random.Random(seed)
    start = utc("2024-01-20T00:00:00")
    records = []
    for day in range(46):
        if 22 <= day <= 26:
            continue
        for user in rng.sample(range(40), rng.randint(1, 18)):
            for _ in range(rng.randint(1, 4)):
                second = rng.choice([rng.randrange(86_400), 15 * 3600, 15 * 3600 - 1])
                at = start + timedelta(days=day, seconds=second, milliseconds=rng.randrange(1000))
                late = timedelta(seconds=rng.choice([1, 60, 4000, 90_000, 20 * 86_400]))
                levels = ["ERROR", "CRITICAL"] if user < 5 else ["INFO"] * 6 + ["WARNING", "ERROR"]
                records.append(
                    record(
                        0,
                        user,
                        at,
                        activity=rng.choice(["view", "view", "cart", "purchase", "wish", None]),
                        url=rng.choice(
                            [
                                "/api/products/product/",
                                f"/api/products/{rng.randrange(90)}?page={rng.randrange(9)}",
                                f"/orders/{rng.randrange(9)}/{rng.randrange(9)}#top",
                                "/u/123e4567-E89B-12d3-a456-426614174000",
                                "/c/deadbeef/deadbee/",
                                None,
                            ]
                        ),
                        method=rng.choice(["POST", "GET", None]),
                        level_name=rng.choice([*levels, None] if user >= 5 else levels),
                        arrived_at=at + late,
                        key_fingerprint=rng.choice(["00000000000000aa", "00000000000000bb"]),
                    )
                )
    records.sort(key=lambda row: row["arrived_at"])
    for number, row in enumerate(records, start=1000):
        row["record_id"] = number + (number > 1300)  # one id never came
    return records


def rejects(count: int, first_id: int | None, arrived_date: str) -> list[Row]:
    return [
        {
            "record_id": None if first_id is None else first_id + n,
            "record_key": f"sha256:{n}" if first_id is None else str(first_id + n),
            "reason": "ID_MISSING" if first_id is None else "TOKEN_MALFORMED",
            "stage": "envelope" if first_id is None else "token",
            "envelope": "{}",
            "key_fingerprint": None,
            "arrived_date": arrived_date,
        }
        for n in range(count)
    ]


@dataclass
class Publisher:
    """Writes batches as ingestion's contract says, and remembers them for the oracle."""

    bucket: str
    database: str
    source_zone: str = SEOUL
    lake: Lake = field(default_factory=Lake)

    def create_tables(self) -> None:
        boto3.client("s3").create_bucket(Bucket=self.bucket)
        glue = boto3.client("glue")
        glue.create_database(DatabaseInput={"Name": self.database})
        for table in tables.TABLES:
            declaration = tables.glue_input(table, self.bucket)
            glue.create_table(DatabaseName=self.database, TableInput=declaration)

    def publish(
        self,
        seq: int,
        records: Sequence[Row],
        quarantined: Sequence[Row] = (),
        duplicates: dict[str, int] | None = None,
        landed_at: str = "2024-03-20T00:00:00.000",
        version: str = "0.2",
    ) -> None:
        stamp = {"batch_seq": seq, "landed_at": utc(landed_at)}
        records = [{**row, **stamp} for row in records]
        quarantined = [{**row, **stamp} for row in quarantined]
        event_days = defaultdict(list)
        for row in records:
            event_days[self._source_day(row["occurred_at"])].append(row)
        for day, rows in event_days.items():
            key = f"{tables.ACCESS_LOGS.prefix}dt={day}/seq={seq:012d}-0.parquet"
            self._put_parquet(key, rows, tables.ACCESS_LOGS.schema)
        if quarantined:
            key = f"{tables.QUARANTINED_RECORDS.prefix}seq={seq:012d}.parquet"
            self._put_parquet(key, quarantined, tables.QUARANTINED_RECORDS.schema)
        good = Counter(self._source_day(row["arrived_at"]) for row in records)
        refused = Counter(row["arrived_date"] for row in quarantined)
        again = Counter(duplicates or {})
        marker = {
            "seq": seq,
            "source": "api",
            "offered": good.total() + refused.total() + again.total(),
            "good": good.total(),
            "quarantined": refused.total(),
            "duplicate": again.total(),
            "landed_at": f"{landed_at}Z",
            "published_at": f"{landed_at}Z",
            "bytes": 1,
            "files": len(event_days),
            "key_fingerprints": sorted({row["key_fingerprint"] for row in records}),
            "event_days": [
                {
                    "dt": day,
                    "rows": len(rows),
                    "first_at": _instant_text(min(row["occurred_at"] for row in rows)),
                    "last_at": _instant_text(max(row["occurred_at"] for row in rows)),
                }
                for day, rows in sorted(event_days.items())
            ],
            "arrival_days": [
                {
                    "arrived_date": day,
                    "offered": good[day] + refused[day] + again[day],
                    "good": good[day],
                    "quarantined": refused[day],
                    "duplicate": again[day],
                    **({} if version == "0.1" else {"conflict": 0, "replayed": 0}),
                }
                for day in sorted({*good, *refused, *again})
            ],
        }
        if version != "0.1":  # whose markers, once written, stay as they are
            reasons = Counter(row["reason"] for row in quarantined)
            marker |= {
                "conflict": 0,
                "replayed": 0,
                "supersedes": [],
                "reasons": [
                    {"reason": reason, "quarantined": count, "replayed": 0}
                    for reason, count in sorted(reasons.items())
                ],
                "keys": [],
                "missing": [],
                "missing_ids": 0,
            }
        body = json.dumps(marker).encode()
        self._put(f"{tables.PUBLISHED_BATCHES.prefix}{seq:012d}.json", body)
        self.lake.records += records
        self.lake.quarantined += quarantined
        self.lake.batches.append(marker)

    def _source_day(self, instant: datetime) -> str:
        return instant.astimezone(ZoneInfo(self.source_zone)).date().isoformat()

    def _put_parquet(self, key: str, rows: Sequence[Row], schema: pa.Schema) -> None:
        rows = [
            {k: v.replace(tzinfo=None) if isinstance(v, datetime) else v for k, v in row.items()}
            for row in rows
        ]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
        self._put(key, buffer.getvalue())

    def _put(self, key: str, body: bytes) -> None:
        boto3.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)


def _instant_text(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


@dataclass
class World:
    """Where one test module works: its own bucket, raw database and schema on local_aws."""

    publisher: Publisher
    warehouse: Warehouse
    metric_zone: str

    def expected(self) -> dict[str, list[Row]]:
        return oracle.warehouse(self.publisher.lake, self.metric_zone, self.publisher.source_zone)


def make_world(
    monkeypatch: pytest.MonkeyPatch, url: str, folder: Path, metric_zone: str = SEOUL
) -> World:
    name = f"warehouse{uuid4().hex[:8]}"
    use_lake(monkeypatch, url, name, folder, metric_zone)
    world = World(Publisher(name, f"{name}_raw"), Warehouse(name, name), metric_zone)
    world.publisher.create_tables()
    return world


@pytest.fixture(scope="module")
def story(local_aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Step]]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = make_world(monkeypatch, local_aws, tmp_path_factory.mktemp("story"))
        records = population(seed=7)
        steps: dict[str, Step] = {}

        def tell(step: str, *commands: Sequence[str]) -> None:
            statuses: Counter[str] = Counter()
            for command in commands:
                statuses += world.warehouse.dbt(*command)
            steps[step] = Step(world.warehouse.tables(), world.expected(), statuses)

        publish = world.publisher.publish
        without_unit_tests = ("build", "--exclude-resource-type", "unit_test")
        dense, late = records[: len(records) // 2], records[len(records) // 2 :]
        # The second half brings days before the first one too: history grows at both ends.
        first = [row for row in dense if row["occurred_at"] >= utc("2024-01-24T00:00:00")]
        skipped = [row for row in dense if row["occurred_at"] < utc("2024-01-24T00:00:00")]

        tell("nothing is published", without_unit_tests)
        publish(1, first[:300], rejects(3, 500, "2024-01-25"), version="0.1")
        tell("one batch", ("build",))
        publish(2, [*first[300:], *skipped], rejects(2, None, "2024-02-01"), {"2024-02-01": 40})
        tell("late records", ("run",))
        publish(4, late[150:], landed_at="2024-03-21T12:34:56.789")
        tell("a gap", ("run",))
        publish(3, late[:150], duplicates={"2024-02-20": 7})
        tell("the gap is closed", ("run",))
        old, far = utc("2024-02-10T01:00:00"), utc("2024-03-12T01:00:00")
        publish(5, [record(9000, 39, far), record(9001, 77, far), record(9002, 88, old)])
        publish(6, [], [*rejects(1, 0, "2024-04-19"), *rejects(1, 2**63 - 1, "2024-04-19")])
        # Someone builds the metric without the fact below it; the next whole run must still see.
        partial_run = ("run", "--select", "stg_access_logs__batches", "metrics_daily_active")
        tell("a partial run", partial_run, without_unit_tests)
        tell("full refresh", ("run", "--full-refresh"))
        yield steps


# ---------------------------------------------------------------------------------- what must be so


@pytest.mark.parametrize(
    "step",
    [
        "nothing is published",
        "one batch",
        "late records",
        "a gap",
        "the gap is closed",
        "a partial run",
        "full refresh",
    ],
)
def test_every_table_equals_the_oracle_after(step: str, story: dict[str, Step]):
    told = story[step]

    assert_same_rows(told.found, told.expected)


def test_an_empty_lake_builds_tables_without_rows(story: dict[str, Step]):
    told = story["nothing is published"]

    assert {table: len(rows) for table, rows in told.found.items()} == dict.fromkeys(
        EXACT_TABLES, 0
    )
    assert told.statuses["success"] == 13


def test_a_batch_behind_a_gap_is_invisible_until_the_gap_is_closed(story: dict[str, Step]):
    newest = {
        step: max(row["as_of_batch_seq"] for row in story[step].found["metrics_daily_active"])
        for step in ("late records", "a gap", "the gap is closed")
    }

    assert newest == {"late records": 2, "a gap": 2, "the gap is closed": 4}


def test_running_again_without_news_does_not_even_compute_a_row_again(story: dict[str, Step]):
    once, twice = story["late records"].found, story["a gap"].found

    for table in EXACT_TABLES:
        assert as_set(once[table], ignore=None) == as_set(twice[table], ignore=None), table


def test_only_touched_days_are_computed_again(story: dict[str, Step]):
    rows = story["a partial run"].found["metrics_endpoint_daily"]

    newest = {row["metric_date"] for row in rows if row["as_of_batch_seq"] == 6}
    assert newest == {date(2024, 2, 10), date(2024, 3, 12)}


def test_days_without_any_event_have_a_row_of_zeros(story: dict[str, Step]):
    rows = {row["metric_date"]: row for row in story["a partial run"].found["metrics_daily_active"]}

    # Nothing happened between the population's last day and 12 March; no batch names those days.
    assert [rows[date(2024, 3, day)]["dau"] for day in (9, 10, 11, 12)] == [0, 0, 0, 2]
    assert rows[date(2024, 3, 10)]["mau"] > 0
    assert rows[date(2024, 3, 10)]["events_per_dau"] is None


def test_the_story_is_worth_telling(story: dict[str, Step]):
    """The population really holds what the other tests rely on."""
    told = story["full refresh"].found
    daily = told["metrics_daily_active"]

    assert any(row["metric_date"] == date(2024, 2, 29) and row["dau"] > 0 for row in daily)
    assert any(user["first_active_date"] is None for user in told["dim_users"])
    assert min(row["metric_date"] for row in daily) < min(
        row["metric_date"] for row in story["one batch"].found["metrics_daily_active"]
    )
    assert any(row["as_of_batch_seq"] < 6 for row in story["a partial run"].found["fct_user_daily"])
    health = told["metrics_pipeline_health_daily"]
    assert any(row["sequence_completeness"] == 2 / 2**63 for row in health)
    assert max(row["mau"] for row in daily) > max(row["wau"] for row in daily)


def test_a_metric_zone_with_summer_time_dates_events_by_its_own_midnight(
    local_aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # New York's clocks jump on 10 March 2024; its days never coincide with the partitions'.
    world = make_world(monkeypatch, local_aws, tmp_path, metric_zone="America/New_York")
    hours = [utc("2024-03-09T00:00:00") + timedelta(hours=hour / 2) for hour in range(120)]
    records = [record(number, number % 7, at) for number, at in enumerate(hours, start=1)]
    world.publisher.publish(1, records[::2])
    world.warehouse.dbt("run")
    world.publisher.publish(2, records[1::2])

    world.warehouse.dbt("run")

    assert_same_rows(world.warehouse.tables(), world.expected())
