from collections.abc import Iterator

import pytest

from tests.proof.world import World


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """A world with its own local_aws and dbts that start at once."""
    with World() as world:
        yield world
