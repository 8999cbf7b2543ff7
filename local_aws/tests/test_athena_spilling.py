"""A query that is larger than its memory goes to disk, and leaves nothing there."""

from local_aws.engine import duck


def test_a_sort_that_is_larger_than_the_memory_goes_to_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(duck, "MEMORY_LIMIT", {False: "64MB", True: "64MB"})
    root = tmp_path / "not yet there"
    engine = duck.Engine(root)
    run = engine.run()

    sort = "SELECT i, row_number() OVER (ORDER BY hash(i)) AS n FROM range(4000000) AS t(i)"
    rows = run.evaluate(f"SELECT count(*), sum(n) FROM ({sort})")
    run.close()
    engine.close()

    assert rows == [(4_000_000, 4_000_000 * 4_000_001 // 2)]
    assert (root / duck.SPILL).is_dir()
    assert not [path for path in (root / duck.SPILL).rglob("*") if path.is_file()]
