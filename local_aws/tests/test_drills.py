"""The small form of the drills; the long one is ``python -m local_aws.tests.drills``."""

import random
from pathlib import Path

from local_aws.tests.drills.kills import kill
from local_aws.tests.drills.races import race


def test_of_sixteen_racing_writers_the_acknowledged_are_there(tmp_path: Path):
    found = race(tmp_path / "data", 2, print)

    assert found.problems == []
    assert found.acknowledged + found.refused == 32
    assert found.acknowledged >= 16


def test_sigkill_under_load_loses_nothing_acknowledged_and_tears_nothing(tmp_path: Path):
    found = kill(tmp_path / "data", 4, random.Random(7), print)

    assert found.problems == []
    assert found.kills == 4
    assert found.acknowledged > 20
