from datetime import UTC, datetime, timedelta

from expectations import results
from tests.ingestion.lakes import MemoryLake

START = datetime(2026, 11, 1, tzinfo=UTC)


def document(suite: str, minute: int) -> dict[str, object]:
    at = (START + timedelta(minutes=minute)).isoformat()
    return {
        "suite_name": suite,
        "statistics": {"evaluated_expectations": minute},
        "meta": {"validation_time": at},
    }


def test_same_result_is_stored_once_under_its_suite_and_time():
    lake = MemoryLake()

    keys = {results.store(lake, document("raw_events", 1)) for _ in range(2)}

    assert len(keys) == len(lake.objects) == 1
    assert keys.pop().startswith("expectations/validations/raw_events/20261101T000100.000000Z-")


def test_latest_is_bounded_and_newest_first_and_forgets_no_suite():
    lake = MemoryLake()
    results.store(lake, document("rare", 0))
    for minute in range(1, 20):
        results.store(lake, document("often", minute))

    found = list(results.latest(lake, limit=5).values())

    assert [d["statistics"]["evaluated_expectations"] for d in found] == [19, 18, 17, 16, 0]


def test_last_result_of_each_suite_is_its_newest():
    lake = MemoryLake()
    for suite, minute in (("a", 1), ("b", 5), ("a", 3)):
        results.store(lake, document(suite, minute))

    found = results.latest_of_each_suite(lake)

    minutes = {suite: d["statistics"]["evaluated_expectations"] for suite, d in found.items()}
    assert minutes == {"a": 3, "b": 5}
