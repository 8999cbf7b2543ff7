from collections.abc import Iterator

import pytest

from tests.chaos.harness import Harness
from tests.chaos.races import RUNNERS
from tests.chaos.world import World


@pytest.fixture(scope="session")
def harness() -> Iterator[Harness]:
    """A world with its own servers, and the scenes that were set up in it."""
    with World(RUNNERS) as world:
        yield Harness(world)
