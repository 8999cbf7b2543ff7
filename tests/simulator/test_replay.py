"""A real access log through the encrypted API."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from simulator.errors import SimulatorError
from simulator.records import fields
from simulator.replay import Replay
from tests.simulator.conftest import ROOT, Start

REAL_LOG = ROOT.parent / "shared" / "data" / "apache_access.log"

COMMON = '10.0.0.7 - - [31/Dec/2025:23:30:00 +0100] "{request}" {status} {size}'


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def read(path: Path, *lines: str, zone: str = "UTC") -> Replay:
    return Replay.read(write(path / "access.log", *lines), ZoneInfo(zone))


@pytest.mark.skipif(not REAL_LOG.exists(), reason="the real log is not in this checkout")
def test_replay_serves_the_real_log_line_by_line(started: Start) -> None:
    lines = REAL_LOG.read_text().splitlines()
    users_by_day = defaultdict(set)
    for line in lines:
        users_by_day[line.split("[")[1][:11]].add(line.split()[0])

    with started("--replay", str(REAL_LOG), "--window", "10000") as api:
        window = api.records()
        walked = api.walk(0, 1_500)

    assert walked == window
    assert [record["record_id"] for record in window] == list(range(1, 10_001))
    assert Counter(record["inDate"][:10] for record in window) == {
        "2015-05-17": 1_632,
        "2015-05-18": 2_893,
        "2015-05-19": 2_896,
        "2015-05-20": 2_579,
    }
    assert len({record["user_id"] for record in window}) == 1_753
    active = defaultdict(set)
    for line, record in zip(lines, window, strict=True):
        assert record["user_id"] == hashlib.sha256(line.split()[0].encode()).hexdigest()
        assert record["inDate"][11:19] == line.split(":", 1)[1][:8]
        status = line.split('" ')[1][:3]
        assert record["detail"]["message"] == f"{record['method']} {status}"
        active[record["inDate"][:10]].add(record["user_id"])
    assert sorted(map(len, active.values())) == sorted(map(len, users_by_day.values()))


@pytest.mark.parametrize(
    ("method", "activity"),
    [
        ("GET", "view"),
        ("HEAD", "view"),
        ("OPTIONS", "view"),
        ("PUT", "cart"),
        ("PATCH", "cart"),
        ("DELETE", "cart"),
        ("POST", "purchase"),
    ],
)
def test_replay_takes_the_activity_from_the_verb(
    tmp_path: Path, method: str, activity: str
) -> None:
    line = COMMON.format(request=f"{method} /a/24?b=c HTTP/1.1", status=200, size=12)

    (record,) = read(tmp_path, line).latest(10)

    assert (record.activity, record.method, record.url) == (activity, method, "/a/24?b=c")
    assert record.message == f"{method} 200"


@pytest.mark.parametrize(
    ("status", "level"), [(200, "INFO"), (304, "INFO"), (404, "WARNING"), (503, "ERROR")]
)
def test_replay_takes_the_level_from_the_status(tmp_path: Path, status: int, level: str) -> None:
    line = COMMON.format(request="GET / HTTP/1.1", status=status, size="-")

    (record,) = read(tmp_path, line).latest(10)

    assert record.level == level


@pytest.mark.parametrize(
    ("zone", "text"),
    [("UTC", "2025-12-31T22:30:00.000Z"), ("Asia/Seoul", "2026-01-01T07:30:00.000Z")],
)
def test_replay_converts_times_to_the_declared_wall_clock(
    tmp_path: Path, zone: str, text: str
) -> None:
    line = COMMON.format(request="GET / HTTP/1.1", status=200, size=1)

    (record,) = read(tmp_path, line, zone=zone).latest(10)

    assert fields(record)["inDate"] == text
    assert record.arrived_wall_ms == record.occurred_wall_ms


def test_replay_reads_odd_but_valid_lines(tmp_path: Path) -> None:
    lines = [
        COMMON.format(request="-", status=408, size="-"),
        COMMON.format(request=r"GET /a\"b HTTP/1.1", status=400, size=1),
        COMMON.format(request="GET /with space HTTP/1.1", status=200, size=1) + ' "-" "agent "x""',
        COMMON.format(request="GET /http-0.9", status=200, size=1),
        '::1 - Jane Doe [31/Dec/2025:23:30:00 +0100] "GET /named HTTP/2.0" 200 5',
    ]

    replay = read(tmp_path, *lines)

    assert replay.malformed == []
    urls = [record.url for record in replay.latest(10)]
    assert urls == ["-", r"/a\"b", "/with space", "/http-0.9", "/named"]


def test_replay_counts_malformed_lines_and_keeps_the_numbers_of_the_others(tmp_path: Path) -> None:
    good = COMMON.format(request="GET / HTTP/1.1", status=200, size=1)

    replay = read(tmp_path, good, "", "nonsense", good.replace("Dec", "Foo"), good)

    assert replay.malformed == [2, 3, 4]
    assert [record.record_id for record in replay.after(0, 10)] == [1, 5]
    assert [record.record_id for record in replay.after(1, 10)] == [5]
    assert replay.after(5, 10) == []


def test_replay_reports_malformed_lines_when_it_starts(
    started: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good = COMMON.format(request="GET / HTTP/1.1", status=200, size=1)

    with started("--replay", str(write(tmp_path / "log", good, "nonsense"))) as api:
        assert len(api.records()) == 1

    assert "1 line(s) of" in capfd.readouterr().err


def test_replay_refuses_a_file_without_any_line(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="has no line in Common or Combined Log Format"):
        read(tmp_path, "nonsense")
    with pytest.raises(SimulatorError, match="Cannot read the access log"):
        Replay.read(tmp_path / "missing", ZoneInfo("UTC"))
