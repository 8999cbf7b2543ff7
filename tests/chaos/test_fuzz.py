"""The fuzzer's short form; ``make chaos`` runs the long one."""

from ingestion.reasons import Reason
from tests.chaos import fuzz

UNREACHED = {"ID_CONFLICT", "PLAINTEXT_TOO_LARGE", "RESOURCE_LIMIT", "TOKEN_TOO_LARGE"}
"""What the log decides, what would be a bug, and what only inputs of the long form are."""


def test_twenty_thousand_inputs_lose_nothing_and_tell_nothing():
    lines: list[str] = []

    found = fuzz.run(20_000, 7, lines.append)

    assert {name: found[name] for name in fuzz.BAD} == dict.fromkeys(fuzz.BAD, 0)
    assert found["fuzzed"] == 20_000
    assert found["child_peak_mb"] < 512
    # It has to have been everywhere: every reason that one record alone can have.
    reasons = {line.split()[-1] for line in lines}
    assert reasons >= {str(reason) for reason in Reason} - UNREACHED
    assert found["paths"] > 100


def test_the_same_seed_means_the_same_inputs():
    first, second = (fuzz.Inputs(3).make(500, fuzz.FIRST_ID) for _ in range(2))

    assert [item.envelope for item in first] == [item.envelope for item in second]
