"""The simulator as its users see it: a process that answers HTTP."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import resource
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import InvalidToken

from tests.simulator.conftest import Client, Start

Run = Callable[..., "subprocess.CompletedProcess[str]"]

FROZEN = ("--start", "2026-01-05", "--until", "2026-01-07T12:00:00+09:00", "--users", "400")


@pytest.fixture(scope="module")
def api(started: Start) -> Iterator[Client]:
    with started(*FROZEN) as client:
        yield client


def refused(url: str) -> tuple[int, Any]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, timeout=10)
    with caught.value as answer:
        return answer.code, json.load(answer)


def test_server_window_has_the_latest_records_oldest_first(api: Client) -> None:
    window = api.records()

    ids = [record["record_id"] for record in window]

    assert len(ids) == 1_000
    assert ids == list(range(ids[0], ids[0] + 1_000))
    assert ids[-1] == api.walk(0, 333)[-1]["record_id"]


def test_server_cursor_gives_every_record_once_and_ends_empty(api: Client) -> None:
    walked = api.walk(0, 333)

    assert walked == api.walk(0, 10_000)
    assert walked[-1_000:] == api.records()
    assert api.get(f"?after={walked[-1]['record_id']}") == []
    assert api.records("?limit=5") == walked[:5]


def test_server_envelope_and_plaintext_have_the_source_s_shape(api: Client) -> None:
    for envelope in api.get():
        plain = api.plain(envelope)
        text = api.fernet.decrypt(envelope["data"]).decode()

        assert [(name, type(value)) for name, value in envelope.items()] == [
            ("recordId", int),
            ("ArrivalTimeStamp", float),
            ("data", str),
        ]
        assert list(plain) == (
            ["user_id", "record_id", "activity", "url", "method", "name", "inDate", "detail"]
        )
        assert text == str(plain)
        assert "'" in text
        assert plain["record_id"] == envelope["recordId"]
        assert re.fullmatch(r"[0-9a-f]{64}", plain["user_id"])
        assert plain["name"] == "json_logger"
        assert plain["detail"]["message"] == f"{plain['method']} {plain['activity']}"


def test_server_times_are_seoul_wall_clock_with_a_false_z(api: Client) -> None:
    newest = api.get()[-1]

    happened = datetime.fromisoformat(api.plain(newest)["inDate"])
    arrived = datetime.fromtimestamp(newest["ArrivalTimeStamp"], UTC)

    frozen_wall = datetime(2026, 1, 7, 12, tzinfo=UTC)  # noon in Seoul, called UTC
    assert api.plain(newest)["inDate"].endswith("Z")
    assert frozen_wall - timedelta(minutes=10) < happened < arrived <= frozen_wall


def test_server_encrypts_anew_for_every_request(api: Client) -> None:
    first, second = api.get(), api.get()

    tokens = [{envelope["data"] for envelope in answer} for answer in (first, second)]

    assert not tokens[0] & tokens[1]
    assert [api.plain(e) for e in first] == [api.plain(e) for e in second]
    age = time.time() - api.fernet.extract_timestamp(second[0]["data"].encode())
    assert -1 <= age < 60


def test_server_gives_the_same_records_after_a_restart(api: Client, started: Start) -> None:
    before = api.walk(0, 10_000)

    with started(*FROZEN) as restarted:
        after = restarted.walk(0, 10_000)

    assert after == before


def test_server_frozen_clock_stands_still(api: Client) -> None:
    before = api.records()

    time.sleep(1.1)  # a running clock would not have to move in that time; see the next test

    assert api.records() == before


def test_server_running_clock_is_ahead_of_a_clock_frozen_in_the_past(started: Start) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    flags = ("--start", f"{yesterday - timedelta(days=2):%Y-%m-%d}")

    with started(*flags) as live, started(*flags, "--until", yesterday.isoformat()) as frozen:
        ids = [client.records()[-1]["record_id"] for client in (live, frozen)]

    assert ids[0] > ids[1] + 500


def test_server_plaintext_may_be_json(started: Start) -> None:
    with started(*FROZEN, "--plaintext", "json", "--window", "5") as client:
        texts = [client.fernet.decrypt(envelope["data"]) for envelope in client.get()]

    assert [json.loads(text)["detail"]["levelname"] for text in texts] == ["INFO"] * 5


def test_server_encrypts_with_the_first_key_of_the_ring(api: Client, keys_file: Any) -> None:
    other = keys_file.read_text().splitlines()[2].split("#")[0].strip()
    envelope = api.get()[0]

    assert api.plain(envelope)
    with pytest.raises(InvalidToken):
        Client("", other).plain(envelope)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("?page=2", "Unknown parameters: page; use after and limit."),
        ("?limit=", "limit must be a whole number"),
        ("?after=-1", "after must be a whole number"),
        ("?after=1_0", "after must be a whole number"),
        ("?after=", "after must be a whole number"),
        ("?after=1&limit=0", "limit must be a whole number from 1"),
        ("?after=1&limit=99999", "limit must be a whole number from 1"),
        ("?after=1&after=2", "A parameter was given twice."),
    ],
)
def test_server_says_what_is_wrong_with_a_query(api: Client, query: str, reason: str) -> None:
    code, body = refused(api.url + query)

    assert code == 400
    assert body["error"].startswith(reason)


def test_server_knows_two_paths(api: Client) -> None:
    code, body = refused(api.url + "/more")

    with urllib.request.urlopen(api.url.replace("/api/data/log", "/health"), timeout=10) as health:
        assert json.load(health) == {"status": "ok"}
    assert code == 404
    assert body["error"].startswith("No such path")


def test_server_keeps_a_connection_and_compresses_when_asked(api: Client) -> None:
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=10)
    connection.request("GET", "/api/data/log?after=0&limit=100")
    plain = connection.getresponse()
    body = plain.read()
    socket_before = connection.sock
    connection.request(
        "GET", "/api/data/log?after=0&limit=100", headers={"Accept-Encoding": "gzip"}
    )
    packed = connection.getresponse()
    packed_body = packed.read()
    socket_after = connection.sock
    connection.close()

    assert plain.version == packed.version == 11
    assert int(plain.headers["Content-Length"]) == len(body)
    assert plain.headers["Content-Encoding"] is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(packed_body))) == 100
    assert len(packed_body) < len(body)
    assert socket_before is socket_after is not None


def test_server_answers_other_methods_with_a_json_error(api: Client) -> None:
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=10)
    connection.request("DELETE", "/api/data/log")
    answer = connection.getresponse()
    body = json.load(answer)
    connection.close()

    assert answer.status == 501
    assert body == {"error": "Not Implemented."}


def test_server_listens_on_loopback_only(api: Client) -> None:
    port = urlsplit(api.url).port
    assert port is not None

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Another address of the loopback network: open only if the server listens on all.
        assert probe.connect_ex(("127.0.0.2", port)) != 0


def cpu_seconds() -> float:
    """Return what the servers that have ended computed: a busy machine does not change it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_server_starts_quickly_and_stops_on_both_signals(started: Start) -> None:
    for stop in (signal.SIGINT, signal.SIGTERM):
        before = cpu_seconds()
        with started("--start", "2026-01-05", "--until", "2026-03-01T00:00Z", stop=stop) as client:
            assert len(client.get("?after=0&limit=1")) == 1

        assert cpu_seconds() - before < 3  # 0.3 s


def test_server_far_from_its_start_still_answers_quickly(started: Start) -> None:
    before = cpu_seconds()
    with started("--start", "2026-01-05", "--until", "2026-04-01T00:00Z") as client:
        client.get()

    assert cpu_seconds() - before < 4  # 0.6 s beside the start, for 85 days


def test_server_names_a_taken_port_in_one_sentence(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = run(*FROZEN, "--port", str(port))

    assert done.returncode == 1
    assert done.stderr == (
        f"error: Port {port} on 127.0.0.1 is taken; stop what listens there or choose another "
        "--port.\n"
    )


def test_server_names_a_useless_key_ring_without_quoting_it(run: Run, tmp_path: Any) -> None:
    ring = tmp_path / "ring"
    ring.write_text("not-a-key\n")

    done = run(*FROZEN, "--keys-file", str(ring))
    missing = run(*FROZEN, "--keys-file", str(tmp_path / "nothing"))

    assert done.returncode == missing.returncode == 1
    assert done.stderr.startswith(f"error: The key ring {ring} has 1 unusable line(s);")
    assert "not-a-key" not in done.stderr
    assert missing.stderr.startswith("error: Cannot read the key ring")
    assert done.stderr.count("\n") == missing.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--history", "3"), "need each other"),
        (("--until", "2026-01-05T00:00:00"), "is not an instant with an offset"),
        (("--users", "0"), "must be at least 1"),
        (("--replay", "x", "--start", "2026-01-05"), "--replay has no clock"),
        (("--time-zone", "Mars/Olympus"), "There is no time zone Mars/Olympus"),
        (("--time-zone", "Europe/Berlin"), "has daylight saving time"),
    ],
)
def test_server_refuses_flags_that_make_no_sense(
    run: Run, flags: tuple[str, ...], reason: str
) -> None:
    done = run(*flags)

    assert done.returncode in (1, 2)
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
