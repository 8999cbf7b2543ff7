"""The warehouse while records are taken out of quarantine and batches are derived again.

Everything is done as an operator does it, through ingestion's own functions, the gate and dbt; the
oracle is given what then lies in the lake. One story (``story``), looked at after each step.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

import ingestion
from expectations import check_batch
from ingestion import Settings
from ingestion.lake import Lake as Bucket
from tests.ingestion.envelopes import envelope, fingerprint, plaintext
from tests.ingestion.lakes import markers, publish_checked, quarantine_rows, raw_rows, write
from tests.oracle import Lake, Row, utc
from tests.publishing import SEOUL
from tests.warehouses import Chronicle, Step, Warehouse, assert_same_rows, use_lake

OLD, LEAKED, LATE, OTHER = (Fernet.generate_key().decode() for _ in range(4))


def sealed(key: str, number: int, user: str, seoul: str, **changes: Any) -> Row:
    """One envelope of what a user did at a wall time in Seoul; it arrived at 5 the next morning.

    At 5, because the day of arrival, by which batches are counted, is then the same whether the
    source's Z is believed or not.
    """
    at = utc(seoul) - timedelta(hours=9)
    content = plaintext(number, at, user_id=user, **changes)
    arrived = datetime.combine(utc(seoul) + timedelta(days=1), time(5), UTC)
    return envelope(key, number, content, ArrivalTimeStamp=arrived.timestamp())


def first_dump() -> list[Row]:
    """1 to 5 February 2024; after 15 o'clock a Z that is believed moves a record a day ahead."""
    days = [f"2024-02-0{day}" for day in range(1, 6)]
    hours = ("09:00:00", "14:59:59.999", "15:00:00", "20:00:00")
    many = [
        sealed(OLD, 100 + 4 * d + h, f"user {(d + h) % 3}", f"{day}T{hour}")
        for d, day in enumerate(days)
        for h, hour in enumerate(hours)
    ]
    return [
        *many,
        # The only record of a user, read by a key that will be withdrawn.
        sealed(LEAKED, 120, "leaver", "2024-02-02T12:00:00", url="/leaving"),
        # The only record of a user's last day.
        sealed(OLD, 121, "mover", "2024-02-05T23:00:00", url="/moving"),
        # Ids 122 to 129 are overtaken.
        *[sealed(LATE, 130 + n, "locked out", f"2024-02-0{1 + n}T16:00:00") for n in range(4)],
        {"ArrivalTimeStamp": utc("2024-02-03T01:00:00").timestamp(), "data": "no id"},
    ]


def second_dump() -> list[Row]:
    again = first_dump()[:3]
    return [
        *again,
        sealed(OLD, 100, "someone else", "2024-02-01T09:00:00"),
        sealed(OLD, 125, "user 1", "2024-02-03T10:00:00"),
        *[sealed(OLD, 140 + n, "user 2", "2024-02-04T17:00:00") for n in range(3)],
        sealed(LATE, 145, "locked out", "2024-02-04T10:00:00"),
    ]


@dataclass
class World:
    """One lake, its warehouse, and the settings that an operator would change."""

    url: str
    warehouse: Warehouse
    folder: Path
    chronicle: Chronicle = field(default_factory=Chronicle)

    def configured(self, believe_z: bool, *keys: str) -> Settings:
        ring = [{"key": key, "state": "decrypt-only"} for key in keys]
        ring[0]["state"] = "primary"
        env = {
            "SOURCE_URL": "http://127.0.0.1:9/api/data/log",
            "FERNET_KEYS": json.dumps({"keys": ring}),
            "PSEUDONYM_KEY_FILE": str(self.folder / "pseudonym.key"),
            "SOURCE_FALSE_Z": str(not believe_z).lower(),
            "LAKE_BUCKET": self.warehouse.bucket,
            "RAW_DATABASE": f"{self.warehouse.schema}_raw",
            "WAREHOUSE_SCHEMA": self.warehouse.schema,
            "AWS_ENDPOINT_URL": self.url,
        }
        return Settings.from_env(env)

    def tell(self, *command: str) -> Step:
        """Run dbt, and look at every table and at what lies in the lake."""
        statuses, found = self.warehouse.dbt(*command), self.warehouse.tables()
        bucket = Bucket(self.configured(True, OTHER))
        lake = Lake(_aware(raw_rows(bucket)), _aware(quarantine_rows(bucket)), markers(bucket))
        return self.chronicle.step(found, lake, SEOUL, statuses)


def _aware(rows: list[Row]) -> list[Row]:
    return [
        {k: utc(v.isoformat()) if isinstance(v, datetime) else v for k, v in row.items()}
        for row in rows
    ]


@pytest.fixture(scope="module")
def story(local_aws: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Step]]:
    folder, name = tmp_path_factory.mktemp("corrections"), f"corrected{uuid4().hex[:8]}"
    (folder / "pseudonym.key").write_text("5a" * 32)
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_lake(monkeypatch, local_aws, name, folder)
        world = World(local_aws, Warehouse(name, name), folder)
        steps: dict[str, Step] = {}

        def publish_through_the_gate(settings: Settings, manifests: Sequence[str]) -> None:
            for manifest in manifests:
                assert check_batch(settings, manifest).failed_blocking == []
            ingestion.publish(settings, manifests)

        mistaken = world.configured(True, OLD, LEAKED)
        for number, items in enumerate([first_dump(), second_dump()]):
            dump = write(folder / f"{number}.ndjson", items)
            publish_checked(mistaken, ingestion.land_dumps(mistaken, dump))
        steps["landed"] = world.tell("run")

        with_key = world.configured(True, LATE, OLD, LEAKED)
        publish_through_the_gate(with_key, ingestion.replay(with_key))
        steps["replayed"] = world.tell("run")

        # Two corrections at once: Z is not to be believed, and a key is withdrawn. Batch 2 stays as
        # it is, so what the replay (3, now 5) took out of it still lies in the raw quarantine.
        right = world.configured(False, LATE, OLD)
        publish_through_the_gate(right, ingestion.rederive(right, [1, 3]))
        steps["derived again"] = world.tell("build", "--exclude-resource-type", "unit_test")

        # Batch 4 is replaced twice before dbt looks again, the first time by nothing readable.
        blind = world.configured(False, OTHER)
        publish_through_the_gate(blind, ingestion.rederive(blind, [4]))
        publish_through_the_gate(with_key, ingestion.rederive(with_key, [6]))
        steps["derived twice more"] = world.tell("run")
        steps["full refresh"] = world.tell("run", "--full-refresh")
        yield steps


# ---------------------------------------------------------------------------------- what must be so


@pytest.mark.parametrize(
    "step", ["landed", "replayed", "derived again", "derived twice more", "full refresh"]
)
def test_every_table_equals_the_oracle_after(step: str, story: dict[str, Step]):
    told = story[step]

    assert_same_rows(told.found, told.expected)


def test_incremental_tables_equal_a_full_refresh_row_by_row(story: dict[str, Step]):
    assert_same_rows(story["derived twice more"].found, story["full refresh"].found)


def test_what_was_offered_stays_the_same_whatever_is_corrected(story: dict[str, Step]):
    sums = {
        step: totals(told.found["metrics_pipeline_health_daily"]) for step, told in story.items()
    }

    # 27 and 9 envelopes, three of them twice; good, quarantined, duplicate, conflict, replayed.
    assert sums == {
        "landed": (36, 26, 6, 3, 1, 0),
        "replayed": (36, 31, 1, 3, 1, 5),
        "derived again": (36, 30, 2, 3, 1, 5),
        "derived twice more": (36, 31, 1, 3, 1, 5),
        "full refresh": (36, 31, 1, 3, 1, 5),
    }


def totals(health: list[Row]) -> tuple[int, ...]:
    names = ("offered", "good", "quarantined", "duplicate", "conflict", "replayed")
    return tuple(sum(row[f"{name}_count"] for row in health) for name in names)


def test_quarantine_by_reason_is_what_is_there_now(story: dict[str, Step]):
    reasons = {}
    for step in ("landed", "replayed", "derived again"):
        reasons[step] = Counter[str]()
        for row in story[step].found["metrics_quarantine_daily"]:
            reasons[step][row["reason"]] += row["quarantined_count"]

    assert reasons == {
        "landed": {"ID_CONFLICT": 1, "ID_MISSING": 1, "TOKEN_UNKNOWN_KEY": 5},
        "replayed": {"ID_CONFLICT": 1, "ID_MISSING": 1},
        "derived again": {"ID_CONFLICT": 1, "ID_MISSING": 1, "TOKEN_UNKNOWN_KEY": 1},
    }


def test_groups_that_lost_their_last_record_are_gone(story: dict[str, Step]):
    before, after = story["replayed"].found, story["derived again"].found

    # The mover's record, and with it the last day of history, went back to 5 February.
    assert max(row["metric_date"] for row in before["metrics_daily_active"]) == date(2024, 2, 6)
    assert max(row["metric_date"] for row in after["metrics_daily_active"]) == date(2024, 2, 5)
    for table, keys in {
        "fct_user_daily": ("user_id", "event_date"),
        "fct_sessions": ("session_id",),
        "metrics_endpoint_daily": ("metric_date", "route", "method"),
        "metrics_retention_cohort": ("cohort_grain", "period_grain", "cohort_date"),
        "metrics_daily_active": ("metric_date",),
    }.items():
        had, has = ({tuple(row[key] for key in keys) for row in t[table]} for t in (before, after))
        assert had - has, f"{table}: nothing vanished, so this story proves nothing"
    assert not [row for row in after["metrics_endpoint_daily"] if row["route"] == "/leaving"]
    assert len(before["dim_users"]) - len(after["dim_users"]) == 1


def test_ids_that_never_came_are_listed_until_they_come(story: dict[str, Step]):
    gaps = [
        (row["first_missing_id"], row["last_missing_id"], row["missing_id_count"])
        for row in story["derived again"].found["metrics_missing_ids"]
    ]

    # 125 came late; 134 to 139 and 143 to 144 were overtaken by the second dump.
    assert sorted(gaps) == [(122, 124, 3), (126, 129, 4), (134, 139, 6), (143, 144, 2)]


def test_replayed_records_are_late_but_no_sign_of_a_slow_pipeline(story: dict[str, Step]):
    health = {
        row["arrived_date"]: row for row in story["replayed"].found["metrics_pipeline_health_daily"]
    }
    day = health[date(2024, 2, 5)]

    assert day["replayed_count"] == 2
    assert day["late_7d_count"] == day["good_count"]
    before = {
        row["arrived_date"]: row for row in story["landed"].found["metrics_pipeline_health_daily"]
    }
    assert day["lag_max_seconds"] == before[date(2024, 2, 5)]["lag_max_seconds"]


def test_keys_in_use_are_named_by_day(story: dict[str, Step]):
    def keys(step: str) -> list[str]:
        rows = story[step].found["metrics_pipeline_health_daily"]
        return next(r["keys_used"] for r in rows if r["arrived_date"] == date(2024, 2, 3))

    assert keys("landed") == ", ".join(sorted(map(fingerprint, (OLD, LEAKED))))
    assert keys("derived again") == ", ".join(sorted(map(fingerprint, (OLD, LATE))))


def test_a_changed_number_of_a_final_day_names_its_cause(story: dict[str, Step]):
    causes = {
        step: Counter(row["cause"] for row in told.found["metrics_restatement"])
        for step, told in story.items()
    }

    assert set(causes["landed"]) == set()
    assert set(causes["replayed"]) == {"key_arrived"}
    # The replay was derived again meanwhile: its batch is no more, but its cause was recorded.
    assert set(causes["derived again"]) == {"derived_again", "key_arrived"}
