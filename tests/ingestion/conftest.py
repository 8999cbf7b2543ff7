from collections.abc import Callable

import pytest

import ingestion.compacting
import ingestion.expiring
import ingestion.landing
import ingestion.loading
import ingestion.publishing
import ingestion.status
from ingestion import Settings
from tests.ingestion.lakes import MemoryLake


@pytest.fixture
def memory_lake(monkeypatch: pytest.MonkeyPatch) -> MemoryLake:
    """A lake in memory, wherever ingestion makes its lake."""
    lake = MemoryLake()
    place_lake(monkeypatch, lake)
    return lake


def place_lake(patch: pytest.MonkeyPatch, lake: Callable[[Settings], object]) -> None:
    patch.setattr(ingestion.compacting, "Lake", lake)
    patch.setattr(ingestion.expiring, "Lake", lake)
    patch.setattr(ingestion.landing, "Lake", lake)
    patch.setattr(ingestion.loading, "Lake", lake)
    patch.setattr(ingestion.publishing, "Lake", lake)
    patch.setattr(ingestion.status, "Lake", lake)
