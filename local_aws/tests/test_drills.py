"""The small form of the drills; the long one is ``python -m local_aws.tests.drills``."""

import random
from pathlib import Path

from local_aws.tests.drills.kills import kill
from local_aws.tests.drills.races import race


def test_of_sixteen_racing_writers_the_acknowledged_are_there(tmp_path: Path):
    found = race(tmp_path / "data", 1, print)

    assert found.problems == []
    assert found.acknowledged + found.refused == 16
    assert found.acknowledged >= 8


def test_sigkill_under_load_loses_nothing_acknowledged_and_tears_nothing(tmp_path: Path):
    found = kill(tmp_path / "data", 3, random.Random(7), print)

    assert found.problems == []
    assert found.kills == 3
    assert found.acknowledged > 10
