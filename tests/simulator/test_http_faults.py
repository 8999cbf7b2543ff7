"""Every fault of an answer, seen byte by byte by a client of the test's own."""

from __future__ import annotations

import email.utils
import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from simulator.faults import HTTP, Faults
from simulator.tokens import Sealer
from tests.simulator.conftest import Start
from tests.simulator.wire import LAST, Address, Answer, ask, opened, send, serving

PAGE_1 = "?after=10005&limit=5"
PAGE_2 = "?after=10010&limit=5"
IDS_1 = list(range(10_006, 10_011))
IDS_2 = list(range(10_011, 10_016))


@dataclass(frozen=True)
class Seen:
    """A page, then the hurt one, then the same again as it should be."""

    before: Answer
    hurt: Answer
    after: Answer
    stranger: str


def _refused(status: int, retry_after: str | None = None) -> Callable[[Seen], bool]:
    return lambda seen: (
        seen.hurt.status == status and seen.hurt.headers.get("retry-after") == retry_after
    )


def _is_date_ahead(seen: Seen) -> bool:
    at = email.utils.parsedate_to_datetime(seen.hurt.headers["retry-after"]).timestamp()
    return seen.hurt.status == 429 and at > time.time() - 60


def _good_body(body: bytes) -> bool:
    return [element["recordId"] for element in json.loads(body)] == IDS_2


def _headed(name: str, value: str) -> Callable[[Seen], bool]:
    return lambda seen: seen.hurt.headers[name] == value and _good_body(seen.hurt.body)


def _body(body: bytes) -> Callable[[Seen], bool]:
    return lambda seen: seen.hurt.status == 200 and seen.hurt.body == body


def _ids(*ids: int) -> Callable[[Seen], bool]:
    return lambda seen: seen.hurt.ids == list(ids)


def _is_cut(seen: Seen) -> bool:
    announced = int(seen.hurt.headers["content-length"])
    return 0 < len(seen.hurt.body) < announced and not seen.hurt.reset


def _is_cut_in_a_chunk(seen: Seen) -> bool:
    size, _, rest = seen.hurt.body.partition(b"\r\n")
    return (
        seen.hurt.headers["transfer-encoding"] == "chunked"
        and "content-length" not in seen.hurt.headers
        and 0 < len(rest) < int(size, 16)
    )


def _is_bomb(seen: Seen) -> bool:
    size = len(seen.hurt.body)
    page = gzip.decompress(seen.hurt.body)
    return (
        seen.hurt.headers["content-encoding"] == "gzip"
        and len(page) > 900 * size
        and page.strip(b"[ ]") == b""
    )


def _is_nested(encoding: str) -> Callable[[Seen], bool]:
    return lambda seen: (
        seen.hurt.headers["content-encoding"] == encoding
        and _good_body(gzip.decompress(gzip.decompress(seen.hurt.body)))
    )


def _has_wrong_checksum(seen: Seen) -> bool:
    body = zlib.decompressobj(31).decompress(seen.hurt.body[:-8])
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(seen.hurt.body)
    return seen.hurt.headers["content-encoding"] == "gzip" and _good_body(body)


def _redirects(scheme: str, host: str) -> Callable[[Seen], bool]:
    def check(seen: Seen) -> bool:
        target = urlsplit(seen.hurt.headers["location"])
        return (seen.hurt.status, target.scheme, target.netloc) == (302, scheme, host)

    return check


def _is_latin_1(seen: Seen) -> bool:
    with pytest.raises(UnicodeDecodeError):
        seen.hurt.body.decode()
    return (
        "utf-8" in seen.hurt.headers["content-type"]
        and len(json.loads(seen.hurt.body.decode("latin-1"))) == 6
    )


def _keys(answer: Answer, stranger: str) -> list[str]:
    return [opened(element["data"], stranger)[0] for element in json.loads(answer.body)]


def _changes_key(seen: Seen) -> bool:
    keys = _keys(seen.hurt, seen.stranger)
    place = keys.index("decrypt-only")
    return (
        seen.hurt.ids == IDS_2
        and place > 0
        and keys == ["primary"] * place + ["decrypt-only"] * (5 - place)
    )


CHECKS: dict[str, Callable[[Seen], bool]] = {
    "retry-after-seconds": _refused(429, "1"),
    "retry-after-date": _is_date_ahead,
    "retry-after-huge": _refused(429, "1000000000"),
    "retry-after-negative": _refused(429, "-5"),
    "retry-after-garbage": _refused(429, "soon"),
    "error-500-twice": _refused(500),
    "outage-503": _refused(503),
    "html-page": lambda seen: (
        seen.hurt.headers["content-type"].startswith("text/html") and b"<form" in seen.hurt.body
    ),
    "empty-body": _body(b""),
    "no-content": lambda seen: seen.hurt.status == 204 and seen.hurt.body == b"",
    "body-cut": _is_cut,
    "chunk-cut": _is_cut_in_a_chunk,
    "slow-answer": lambda seen: _is_cut(seen) and len(seen.hurt.body) == 10,
    "hang": lambda seen: seen.hurt == Answer(0, {}, b"", reset=False),
    "reset": lambda seen: (
        seen.hurt.reset
        and seen.hurt.status == 200
        and int(seen.hurt.headers["content-length"]) > 0
        and not seen.hurt.body
    ),
    "wrong-content-type": _headed("content-type", "image/png"),
    "gzip-claimed": _headed("content-encoding", "gzip"),
    "gzip-bomb": _is_bomb,
    "gzip-nested": _is_nested("gzip, gzip"),
    "gzip-nested-secretly": _is_nested("gzip"),
    "gzip-checksum": _has_wrong_checksum,
    "charset-lie": _headed("content-type", "application/json; charset=utf-16"),
    "body-utf-16": lambda seen: (
        "utf-8" in seen.hurt.headers["content-type"]
        and _good_body(seen.hurt.body.decode("utf-16").encode())
        and b"\x00" in seen.hurt.body
    ),
    "body-latin-1": _is_latin_1,
    "redirect-host": _redirects("http", "elsewhere.invalid"),
    "redirect-file": _redirects("file", ""),
    "redirect-metadata": _redirects("http", "169.254.169.254"),
    "unauthorized-once": _refused(401),
    "page-from-cache": lambda seen: seen.hurt.body == seen.before.body,
    "cursor-loop": _ids(*IDS_1),
    "cursor-backwards": _ids(*range(10_001, 10_006)),
    "last-page-missing": _body(b"[]"),
    "page-skips": _ids(*range(10_014, 10_019)),
    "page-overlaps": _ids(10_008, 10_009, 10_010, 10_011, 10_012),
    "count-lies": lambda seen: (
        int(seen.hurt.headers["x-total-count"]) != LAST - 10_000 and seen.hurt.ids == IDS_2
    ),
    "too-many-records": lambda seen: len(json.loads(seen.hurt.body)) == 1_000_001,
    "empty-page": _body(b"[]"),
    "page-shuffled": lambda seen: sorted(seen.hurt.ids) == IDS_2 != seen.hurt.ids,
    "page-ahead": _ids(*range(10_016, 10_021)),
    "body-null": _body(b"null"),
    "body-object": lambda seen: _good_body(json.dumps(json.loads(seen.hurt.body)["data"]).encode()),
    "body-text": lambda seen: _good_body(json.loads(seen.hurt.body).encode()),
    "key-change-mid-page": _changes_key,
    "page-reversed": _ids(*reversed(IDS_2)),
}
QUERIES = {"last-page-missing": "?after=10027&limit=5"}
LAST_IDS = [10_028, 10_029, 10_030]


def between_two_good_answers(name: str) -> Faults:
    """Return faults by which a good answer precedes the bad one (or few), and one follows."""
    lasts = HTTP[name].lasts or 5
    pattern = [None, *[name] * lasts, None]
    for seed in range(10_000):
        faults = Faults({name: 0.4}, seed, seconds=0.1)
        if [faults.of_request(number) for number in range(1, lasts + 3)] == pattern:
            return faults
    raise AssertionError("no seed hurts exactly the second request")


def test_http_faults_all_have_a_check() -> None:
    assert CHECKS.keys() == HTTP.keys()


@pytest.mark.parametrize("name", HTTP)
def test_http_fault_happens_on_the_wire_and_the_server_survives_it(
    name: str, sealer: Sealer
) -> None:
    faults = between_two_good_answers(name)
    query = QUERIES.get(name, PAGE_2)

    with serving(sealer, faults) as address:
        before = ask(address, PAGE_1)
        hurt = [ask(address, query) for _ in range(HTTP[name].lasts or faults.requests)]
        healthy = ask(address, path="/health")
        after = ask(address, query)

    assert (before.status, before.ids) == (200, IDS_1)
    assert (after.status, after.ids) == (200, LAST_IDS if name in QUERIES else IDS_2)
    assert set(_keys(after, faults.stranger)) == {"primary"}
    assert healthy.status == 200
    for answer in hurt:
        assert CHECKS[name](Seen(before, answer, after, faults.stranger)), answer


def test_http_faults_checks_are_not_met_by_a_good_answer(sealer: Sealer) -> None:
    with serving(sealer, None) as address:
        before, good = ask(address, PAGE_1), ask(address, PAGE_2)
    met = []

    for name, check in CHECKS.items():
        try:
            if check(Seen(before, good, good, "")):
                met.append(name)
        except (LookupError, AttributeError, OSError, ValueError, TypeError, zlib.error):
            continue
        except pytest.fail.Exception:
            continue

    assert met == []


def test_http_faults_of_the_window_shift_it_and_leave_it_a_window(sealer: Sealer) -> None:
    window = list(range(LAST - 4, LAST + 1))
    expected = {
        "cursor-backwards": list(range(LAST - 14, LAST - 9)),
        "page-overlaps": list(range(LAST - 7, LAST - 2)),
        "page-ahead": window,
        "page-skips": window[3:],
    }

    for name, ids in expected.items():
        with serving(sealer, Faults({name: 1.0})) as address:
            assert ask(address).ids == ids, name


def test_http_faults_need_no_earlier_page(sealer: Sealer) -> None:
    for name in ("page-from-cache", "cursor-loop", "cursor-backwards", "page-overlaps"):
        with serving(sealer, Faults({name: 1.0})) as address:
            assert ask(address, "?limit=5").ids == [10_001, 10_002, 10_003, 10_004, 10_005], name


def test_http_faults_leave_health_errors_and_head_alone(sealer: Sealer) -> None:
    with serving(sealer, Faults({"outage-503": 1.0})) as address:
        statuses = [
            ask(address, path="/health").status,
            ask(address, path="/else").status,
            ask(address, "?limit=none").status,
            ask(address).status,
        ]

    assert statuses == [200, 404, 400, 503]


def _threads_left(before: set[threading.Thread]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not set(threading.enumerate()) - before:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("name", ["hang", "slow-answer"])
def test_http_fault_that_would_last_a_day_ends_when_the_client_leaves(
    name: str, sealer: Sealer
) -> None:
    with serving(sealer, Faults({name: 1.0}, seconds=86_400)) as address:
        before = set(threading.enumerate())
        connection = send(address, PAGE_2)
        if name == "slow-answer":
            received = b""
            while not received.endswith(b"\r\n\r\n["):
                received += connection.recv(1)
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.close()

        assert not _threads_left(before)
        assert ask(address, path="/health").status == 200


@pytest.mark.parametrize("name", ["hang", "slow-answer"])
def test_http_fault_does_not_keep_the_server_from_stopping(name: str, started: Start) -> None:
    flags = ("--start", "2026-01-05", "--until", "2026-01-07T12:00:00+09:00", "--users", "400")

    with started(*flags, "--fault", f"{name}=1", "--fault-seconds", "86400") as client:
        parts = urlsplit(client.url)
        assert parts.hostname
        assert parts.port
        address: Address = (parts.hostname, parts.port)
        connection = send(address, "?limit=3")
        if name == "slow-answer":
            assert connection.recv(1) == b"H"
        else:
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(1)
        # Leaving `started` sends SIGTERM, and asserts that the process then ends by itself.
    connection.close()
