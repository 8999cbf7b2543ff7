"""Publications through a real Glue and Athena: what readers see while they happen, and after."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pyathena
import pytest

from ingestion import ContractError, LakeUnavailable, Settings, sides
from ingestion.lake import Lake
from ingestion.marts import RESULTS_PREFIX, Audit, Marts

AT_ONCE = timedelta(0)
MODELS = {f"model.daylight.{name}" for name in ("facts", "dimension", "facts_final")}
DBT_TEST = "test.daylight.not_null_facts_n.0123456789"


class Warehouse:
    """A build schema that a test fills as dbt would, and a reader."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.names = sides.Names(settings.warehouse_schema)
        self.marts = Marts(settings)
        self.lake = Lake(settings)
        self.lake.ensure_bucket()
        self.glue = boto3.client("glue")
        self.glue.create_database(DatabaseInput={"Name": self.names.build})
        self.builds = 0

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with pyathena.connect(
            schema_name=self.names.readers,
            s3_staging_dir=f"{self.settings.lake_uri}/athena-results/",
            poll_interval=0.01,
        ) as connection:
            return list(connection.cursor().execute(sql).fetchall())

    def build(self) -> int:
        """Build an Iceberg table in place, one of files anew, and a view; all say the number."""
        self.builds += 1
        n, build = self.builds, self.names.build
        root = f"{self.settings.lake_uri}/warehouse/{build}"
        rows = (
            f"select {n} as n, i, timestamp '2026-01-01 00:00:00.000{{}}' as at "
            "from unnest(sequence(1, 20)) as t (i)"
        )
        if n == 1:
            self.ask(
                f"create table {build}.facts with (table_type = 'iceberg', is_external = false, "
                f"location = '{root}/facts/0/') as {rows.format('000')}"
            )
        else:
            self.ask(f"update {build}.facts set n = {n}")
            self.glue.delete_table(DatabaseName=build, Name="dimension")
        self.ask(
            f"create table {build}.dimension with (external_location = '{root}/dimension/{n}/') "
            f"as {rows.format('')}"
        )
        final = f'select * from "awsdatacatalog"."{build}"."facts"'
        self.ask(f"create or replace view {build}.facts_final as {final}")
        return n

    def audit(self, *failed: str) -> None:
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self.marts.note(Audit(at, self.marts.digest(), list(failed), []))

    def publish(self) -> bool:
        return self.marts.publish(MODELS | {DBT_TEST}, "run", grace=AT_ONCE)

    def seen(self) -> set[tuple[int, ...]]:
        """Return the builds that one query sees in the three tables."""
        return set(
            self.ask(
                "select facts.n, dimension.n, facts_final.n from facts "
                "inner join dimension on facts.i = dimension.i "
                "inner join facts_final on facts.i = facts_final.i"
            )
        )


@pytest.fixture
def warehouse(lake_settings: Settings) -> Warehouse:
    return Warehouse(lake_settings)


@pytest.fixture
def reader(warehouse: Warehouse) -> Iterator[list[set[tuple[int, ...]]]]:
    """Somebody who joins the tables again and again, until the test is over."""
    found: list[set[tuple[int, ...]]] = []
    warehouse.build()
    warehouse.audit()
    warehouse.publish()
    is_over = threading.Event()

    def poll() -> None:
        while not is_over.is_set():
            found.append(warehouse.seen())

    threads = [threading.Thread(target=poll) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield found
    is_over.set()
    for thread in threads:
        thread.join()


class Killed(BaseException):
    pass


def test_a_reader_of_joined_tables_sees_one_build_whenever_a_publication_is_killed(
    warehouse: Warehouse, reader: list[set[tuple[int, ...]]], monkeypatch: pytest.MonkeyPatch
):
    make, stops = Marts._make, 0
    for stop_after in range(20):
        calls = iter(range(stop_after))

        def dying(marts: Marts, call: sides.Call, calls: Iterator[int] = calls) -> None:
            if next(calls, None) is None:
                raise Killed
            make(marts, call)

        n = warehouse.build()
        warehouse.audit()
        monkeypatch.setattr(Marts, "_make", dying)
        try:
            warehouse.publish()
        except Killed:
            stops += 1
        monkeypatch.setattr(Marts, "_make", make)
        warehouse.publish()
        assert warehouse.seen() == {(n, n, n)}
        if stops == stop_after:  # as many calls as a publication has were let through
            break

    assert stops >= 3
    mixed = [seen for seen in reader if len(seen) != 1 or len(set(*seen)) != 1]
    assert len(reader) > 20
    assert not mixed, mixed[:3]


def test_nothing_is_shown_that_the_audit_refused_or_did_not_see(warehouse: Warehouse):
    warehouse.build()
    with pytest.raises(ContractError, match="not what was audited"):
        warehouse.publish()
    warehouse.audit()
    warehouse.publish()

    warehouse.build()
    warehouse.audit("metrics_daily_active: dau: A reason")
    with pytest.raises(ContractError, match="A reason"):
        warehouse.publish()
    assert warehouse.seen() == {(1, 1, 1)}

    warehouse.audit()
    warehouse.build()
    with pytest.raises(ContractError, match="not what was audited"):
        warehouse.publish()
    assert warehouse.seen() == {(1, 1, 1)}

    warehouse.audit()
    assert warehouse.publish()
    assert not warehouse.publish(), "it is shown already"
    found = warehouse.marts._catalogue()
    names = {name.rpartition(".")[2] for name in MODELS}
    assert not sides.plan(warehouse.names, found, names, "2026-01-01T00:00:00Z", "again").calls
    assert warehouse.seen() == {(3, 3, 3)}


def test_a_red_test_of_an_earlier_run_holds_back_what_a_later_run_did_not_build_again(
    warehouse: Warehouse,
):
    def dbt_left(status: str, node: str = DBT_TEST) -> None:
        results = {"results": [{"unique_id": node, "status": status}]}
        warehouse.lake.put(f"{RESULTS_PREFIX}facts.json", json.dumps(results).encode())

    warehouse.build()
    warehouse.audit()
    dbt_left("fail")
    with pytest.raises(ContractError, match="not_null_facts_n"):
        warehouse.publish()

    dbt_left("fail", "test.daylight.of_a_test_that_was_removed.0")
    assert warehouse.publish()
    dbt_left("warn")
    assert not warehouse.publish()


def test_a_model_that_readers_have_and_nobody_built_does_not_vanish(warehouse: Warehouse):
    warehouse.build()
    warehouse.audit()
    warehouse.publish()
    warehouse.glue.delete_table(DatabaseName=warehouse.names.build, Name="dimension")
    warehouse.audit()

    with pytest.raises(ContractError, match="dimension"):
        warehouse.publish()

    assert warehouse.seen() == {(1, 1, 1)}
    without = MODELS - {"model.daylight.dimension"}
    assert warehouse.marts.publish(without, "removed", grace=AT_ONCE) is False
    assert warehouse.ask("show tables") == [("facts",), ("facts_final",), ("published",)]


def test_of_two_who_publish_at_once_one_is_told_so(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(2):
        warehouse.build()
        warehouse.audit()
        warehouse.publish()
    n = warehouse.build()
    warehouse.audit()
    wait = Marts._wait

    def overtaken(marts: Marts, *words: Any) -> None:
        monkeypatch.setattr(Marts, "_wait", wait)
        warehouse.publish()

    monkeypatch.setattr(Marts, "_wait", overtaken)
    with pytest.raises(LakeUnavailable, match="Somebody else"):
        warehouse.publish()

    assert warehouse.seen() == {(n, n, n)}


def test_days_of_red_audits_and_a_sweep_take_no_file_from_readers(warehouse: Warehouse):
    for _ in range(3):
        warehouse.build()
        warehouse.audit()
        warehouse.publish()
    for _ in range(4):
        warehouse.build()
        warehouse.audit("red")
    folder = f"warehouse/{warehouse.names.build}/dimension/"

    assert warehouse.marts.sweep() == 0, "younger than the queries that may read them"
    assert warehouse.marts.sweep(kept=AT_ONCE) > 0

    # What is built (7), what readers see (3), and what a query that began before sees (2).
    assert {key.split("/")[3] for key in warehouse.lake.keys(folder)} == {"2", "3", "7"}
    assert warehouse.seen() == {(3, 3, 3)}


def test_merging_files_is_shown_and_forgetting_waits_for_an_unpublished_build(
    warehouse: Warehouse,
):
    for _ in range(2):
        warehouse.build()
        warehouse.audit()
        warehouse.publish()
    build = warehouse.names.build
    warehouse.ask(f"insert into {build}.facts select 2, 99, timestamp '2026-01-01 00:00:00'")
    assert not warehouse.marts.holds_published_rows(), "a build that nobody audited"
    assert not warehouse.marts.publish_rewritten(MODELS, "maintain", AT_ONCE)
    assert not warehouse.marts.may_vacuum("facts")
    warehouse.audit()
    warehouse.publish()

    assert warehouse.marts.holds_published_rows()
    warehouse.ask(f"optimize {build}.facts rewrite data using bin_pack")
    assert warehouse.marts.holds_published_rows(), "other files, the same rows"
    assert not warehouse.marts.may_vacuum("facts"), "readers need the snapshot before"
    assert warehouse.marts.publish_rewritten(MODELS, "maintain", AT_ONCE)
    assert warehouse.marts.may_vacuum("facts")
    warehouse.ask(
        f"alter table {build}.facts set tblproperties ('vacuum_max_snapshot_age_seconds' = '1')"
    )
    warehouse.ask(f"vacuum {build}.facts")

    assert warehouse.ask("select count(*) from facts_final") == [(21,)]
    assert warehouse.marts.holds_published_rows()


def test_dbt_goes_on_with_the_tables_of_an_earlier_release(warehouse: Warehouse):
    names, root = warehouse.names, f"{warehouse.settings.lake_uri}/warehouse/old"
    warehouse.glue.create_database(DatabaseInput={"Name": names.readers})
    warehouse.ask(
        "create table facts with (table_type = 'iceberg', is_external = false, "
        f"location = '{root}/facts/') as select 7 as n, 1 as i"
    )
    warehouse.ask(f"create table rebuilt with (external_location = '{root}/r/') as select 1 as i")

    assert warehouse.marts.adopt() == 1
    warehouse.ask(f"insert into {names.build}.facts values (8, 2)")
    assert warehouse.ask("select n from facts") == [(7,)], (
        "readers have their own until it is shown"
    )
    warehouse.audit()
    warehouse.publish()

    assert sorted(warehouse.ask("select n from facts")) == [(7,), (8,)]
    with pytest.raises(ContractError, match="holds tables"):
        warehouse.marts.adopt()
