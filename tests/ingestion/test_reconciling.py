import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion import ContractError, Settings, land_api, reconcile
from tests.ingestion.envelopes import STRANGER, envelope, plaintext, seal
from tests.ingestion.lakes import MemoryLake, publish_checked, raw_rows
from tests.ingestion.sources import cursor, page, serving

FOUND = ("read", "late", "equal", "differing", "quarantined", "unpublished", "lost", "gone")


def landed(settings: Settings) -> None:
    publish_checked(settings, land_api(settings))


def counts(found: object) -> dict[str, int]:
    return {name: count for name in FOUND if (count := getattr(found, name))}


def rewrite(lake: MemoryLake, edit: Callable[[pa.Table], pa.Table]) -> None:
    """Change the raw files behind the log's back."""
    for key in list(lake.keys("raw/")):
        sink = io.BytesIO()
        pq.write_table(edit(pq.read_table(io.BytesIO(lake.objects[key]))), sink)
        lake.objects[key] = sink.getvalue()


def test_a_source_that_shows_the_same_is_equal_record_by_record(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    items = [envelope(fernet_key, n) for n in range(10)]
    items.append(envelope(fernet_key, 10, data=seal(STRANGER, "x")))
    with serving(page(items)) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        landed(settings)
        before = dict(memory_lake.objects)
        found = reconcile(settings)

    assert counts(found) == {"read": 11, "equal": 10, "quarantined": 1}
    assert found.is_clean
    assert found.manifests == []
    assert [sorted(day.values()) for day in found.days.values()] == [[11, 11]]
    assert memory_lake.objects == before


def test_what_came_late_is_landed_and_counted(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    items = [envelope(fernet_key, n) for n in range(1, 9) if n != 4]
    with serving(cursor(items)) as (url, _):
        settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
        landed(settings)
        items.append(envelope(fernet_key, 4))
        found = reconcile(settings)
        publish_checked(settings, found.manifests)

    assert counts(found) == {"read": 8, "equal": 7, "late": 1}
    assert sorted(row["record_id"] for row in raw_rows(memory_lake)) == list(range(1, 9))


def test_a_row_that_was_altered_and_one_that_vanished_are_found(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    with serving(page([envelope(fernet_key, n) for n in range(10)])) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        landed(settings)

        def damage(table: pa.Table) -> pa.Table:
            rows = [row for row in table.to_pylist() if row["record_id"] != 3]
            for row in rows:
                row["message"] = "altered" if row["record_id"] == 5 else row["message"]
            return pa.Table.from_pylist(rows, table.schema)

        rewrite(memory_lake, damage)
        found = reconcile(settings)

    assert counts(found) == {"read": 10, "equal": 8, "differing": 1, "lost": 1}
    assert (found.differing_ids, found.lost_ids) == ([5], [3])
    with pytest.raises(ContractError, match=r"10 records at the source, 1 are lost .* \[3\]"):
        found.refuse_unless_clean()


def test_a_source_that_rewrote_a_record_differs_and_the_first_one_stands(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    first = [envelope(fernet_key, 1), envelope(fernet_key, 2)]
    second = [envelope(fernet_key, 1, plaintext(1, activity="rewritten")), first[1]]
    with serving(page(first), page(second)) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        landed(settings)
        found = reconcile(settings)
        publish_checked(settings, found.manifests)

    assert counts(found) == {"read": 2, "equal": 1, "differing": 1}
    assert {row["activity"] for row in raw_rows(memory_lake)} == {"cart", "purchase"}


def test_records_that_the_source_no_longer_shows_and_unpublished_ones_are_counted(
    memory_lake: MemoryLake, make_settings: Callable[..., Settings], fernet_key: str
):
    items = [envelope(fernet_key, n) for n in range(1, 7)]
    with serving(page(items[:5]), page([*items[:2], *items[3:]])) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        landed(settings)
        land_api(settings)  # the sixth is committed, and nobody has checked it yet
        found = reconcile(settings)

    assert counts(found) == {"read": 5, "equal": 4, "unpublished": 1, "gone": 1}


@pytest.mark.parametrize(("days", "after"), [(7, None), (1, "2000")])
def test_a_cursor_starts_where_it_stood_so_many_days_ago(
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    after: str | None,
):
    from ingestion import landing

    now = [0]
    real = landing.milliseconds
    monkeypatch.setattr(landing, "milliseconds", lambda at: real(at) - now[0] * 86_400_000)
    items = [envelope(fernet_key, n) for n in range(1, 2001)]
    with serving(cursor(items)) as (url, asked):
        settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
        now[0] = 1
        landed(settings)
        now[0] = 0
        items += [envelope(fernet_key, n) for n in range(2001, 2011)]
        landed(settings)
        asked.clear()
        found = reconcile(settings, days)

    assert asked[0].get("after") == after
    assert found.is_clean
    assert found.equal == (2010 if after is None else 10)
