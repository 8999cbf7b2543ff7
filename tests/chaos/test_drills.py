from tests.chaos import drills


def test_mixed_records_and_an_outage_come_out_as_plain_python_counts_them():
    said: list[str] = []

    assert drills.run("short", said.append) == dict.fromkeys(drills.KINDS, 0), "\n".join(said)
    assert any("789 ids missing" in line for line in said), "the outage left no hole to close"
