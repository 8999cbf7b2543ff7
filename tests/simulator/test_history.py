"""Dumps: what the cursor would have served for whole days."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from tests.simulator.conftest import Client, Start

Run = Callable[..., "subprocess.CompletedProcess[str]"]

FLAGS = ("--start", "2026-01-05", "--users", "400", "--until", "2026-01-09T12:00:00+09:00")


def test_history_holds_what_the_cursor_serves_for_its_days(
    run: Run, started: Start, tmp_path: Path, key: bytes
) -> None:
    done = run(*FLAGS, "--history", "4", "--out", str(tmp_path / "dumps"))
    files = sorted((tmp_path / "dumps").iterdir())
    client = Client("", key)
    dumped = {
        path.name: [
            client.plain(json.loads(line))
            for line in gzip.decompress(path.read_bytes()).splitlines()
        ]
        for path in files
    }

    with started(*FLAGS) as api:
        served = api.walk(0, 5_000)

    assert done.returncode == 0
    days = [str(date(2026, 1, 5) + timedelta(days=n)) for n in range(4)]
    assert list(dumped) == [f"access_logs-{day}.ndjson.gz" for day in days]
    for day, records in zip(days, dumped.values(), strict=True):
        assert records == [record for record in served if record["inDate"].startswith(day)]
        assert len(records) > 100
    assert sum(map(len, dumped.values())) < len(served)


def test_history_written_twice_has_the_same_records(run: Run, tmp_path: Path, key: bytes) -> None:
    client = Client("", key)
    answers = []
    for _ in range(2):
        run(*FLAGS, "--history", "1", "--out", str(tmp_path))
        (path,) = tmp_path.iterdir()
        envelopes = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        answers.append(envelopes)

    assert answers[0] != answers[1]
    assert [client.plain(e) for e in answers[0]] == [client.plain(e) for e in answers[1]]


def test_history_refuses_a_day_that_is_not_over(run: Run, tmp_path: Path) -> None:
    done = run(*FLAGS, "--history", "5", "--out", str(tmp_path / "dumps"))

    assert done.returncode == 1
    assert done.stderr.startswith("error: 2026-01-09 is not over yet;")
    assert not (tmp_path / "dumps").exists()


def test_history_says_when_it_cannot_write(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = run(*FLAGS, "--history", "1", "--out", str(tmp_path / "file"))

    assert done.returncode == 1
    assert done.stderr.startswith("error: Cannot write dumps to ")
