import gzip
import json
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest

from ingestion import ConfigError, Settings, SourceUnavailable
from ingestion.sources import api
from tests.ingestion.sources import body, cursor, page, serving

ITEMS = [{"recordId": n, "ArrivalTimeStamp": 1.5, "data": "x"} for n in range(1, 8)]


def read(settings: Settings, start: int | None = None) -> tuple[list[object], list[float]]:
    waits: list[float] = []
    pages = list(api.read(settings, start, sleep=waits.append))
    return [envelope for page in pages for envelope in page.envelopes], waits


def test_read_takes_one_window_without_a_query(make_settings: Callable[..., Settings]):
    with serving(page(ITEMS)) as (url, asked):
        found, _ = read(make_settings(SOURCE_URL=url))

    assert found == ITEMS
    assert asked == [{"path": "/api/data/log", "auth": ""}]


def test_a_page_says_which_ids_and_what_time_it_covers(make_settings: Callable[..., Settings]):
    stamps = [1681996326.819, 1681996300.5, True, "1681990000", None, 1681996310, 0, 4e9, 1e300]
    items: list[object] = [
        {"recordId": 40 - place, "ArrivalTimeStamp": stamp} for place, stamp in enumerate(stamps)
    ]
    items += ["text", {"recordId": "9"}, {"recordId": True}, {"recordId": -1}, {"recordId": 2**63}]

    with serving(page(items), page(items[2:]), page([])) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        first, second, empty = (next(api.read(settings, None)) for _ in range(3))

    assert (first.first_id, first.last_id, first.span_seconds) == (32, 40, 26.319)
    assert (second.first_id, second.last_id, second.span_seconds) == (32, 38, None)
    assert (empty.first_id, empty.last_id, empty.span_seconds) == (None, None, None)


@pytest.mark.parametrize(
    ("span", "interval"), [(None, None), (0.0, 1), (1.9, 1), (180.0, 90), (905.5, 452)]
)
def test_the_polling_interval_lets_one_read_fail(span: float | None, interval: int | None):
    assert api.polling_interval(span) == interval


def test_read_follows_a_cursor_to_the_end_whatever_size_the_pages_have(
    make_settings: Callable[..., Settings],
):
    for most in (1, 2, 3, 7, 100):
        with serving(cursor(ITEMS, most)) as (url, asked):
            settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
            found, _ = read(settings, start=2)

        assert found == ITEMS[2:]
        assert asked[0]["after"] == "2"
        assert asked[0]["limit"] == "1000"


def test_read_sends_the_bearer_token(make_settings: Callable[..., Settings], tmp_path):
    (tmp_path / "token").write_text("secret-token\n")

    with serving(page([])) as (url, asked):
        read(make_settings(SOURCE_URL=url, SOURCE_TOKEN_FILE=str(tmp_path / "token")))

    assert asked[0]["auth"] == "Bearer secret-token"


def test_read_takes_compressed_answers(make_settings: Callable[..., Settings]):
    packed = body(gzip.compress(json.dumps(ITEMS).encode()), Content_Encoding="gzip")

    with serving(packed) as (url, _):
        assert read(make_settings(SOURCE_URL=url))[0] == ITEMS


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_read_waits_and_tries_again_when_the_source_is_busy(
    status: int, make_settings: Callable[..., Settings]
):
    busy = body(b"later", status)

    with serving(busy, busy, page(ITEMS)) as (url, _):
        found, waits = read(make_settings(SOURCE_URL=url))

    assert found == ITEMS
    assert waits == [0.5, 1.0]


def test_read_gives_up_in_the_end_and_says_that_a_retry_may_help(
    make_settings: Callable[..., Settings],
):
    with (
        serving(body(b"", 503)) as (url, asked),
        pytest.raises(SourceUnavailable, match="answered 503, 4 times"),
    ):
        read(make_settings(SOURCE_URL=url))

    assert len(asked) == 4
    assert SourceUnavailable.retryable


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        ("1000000000", 30.0),
        ("9" * 5_000, 30.0),
        ("-5", 0.5),
        ("soon", 0.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 30.0),
        ("", 0.5),
    ],
)
def test_read_honours_retry_after_within_bounds(
    header: str, wait: float, make_settings: Callable[..., Settings]
):
    with serving(body(b"", 429, Retry_After=header), page([])) as (url, _):
        assert read(make_settings(SOURCE_URL=url))[1] == [wait]


def test_retry_after_as_a_date_is_counted_from_now():
    now = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)

    assert api.retry_after("Fri, 20 Nov 2026 10:00:09 GMT", now) == 9.0


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "SOURCE_TOKEN_FILE"), (403, "SOURCE_TOKEN_FILE"), (404, "Set SOURCE_URL"), (400, "400")],
)
def test_read_says_what_to_do_about_a_refusal_and_does_not_insist(
    status: int, advice: str, make_settings: Callable[..., Settings]
):
    with (
        serving(body(b"no", status)) as (url, asked),
        pytest.raises(ConfigError, match=advice),
    ):
        read(make_settings(SOURCE_URL=url))

    assert len(asked) == 1


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/", "file:///etc/passwd", "/elsewhere"]
)
def test_read_follows_no_redirect(location: str, make_settings: Callable[..., Settings]):
    with (
        serving(body(b"", 302, Location=location)) as (url, asked),
        pytest.raises(ConfigError, match="redirect, which is never followed"),
    ):
        read(make_settings(SOURCE_URL=url))

    assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (body(b"<!doctype html><p>hi", Content_Type="text/html"), "20 bytes of HTML where"),
        (body(b"<html>", Content_Type=""), "6 bytes of HTML that is no JSON"),
        (body(b"[]", Content_Type="text/plain"), "2 bytes of text/plain where"),
        (body(b""), "no JSON array: at character 0 of 0"),
        (body(b"", 204), "answered 204"),
        (body(b"null"), "it is null, not an array"),
        (body(b'{"a": []}'), "it is an object, not an array"),
        (body(b'"[]"'), "it is a string, not an array"),
        (body(b'[{"recordId": 1}'), "no JSON array: at character 16 of 16"),
        (body(b"[1] [2]"), "no JSON array: at character 4"),
        (body('["\u00e9"]'.encode("latin-1")), "not UTF-8, at byte 2"),
    ],
)
def test_read_refuses_an_answer_that_is_no_array_of_json_and_says_what_it_saw(
    answer: Callable, seen: str, make_settings: Callable[..., Settings]
):
    with (
        serving(answer) as (url, asked),
        pytest.raises(SourceUnavailable, match=seen),
    ):
        read(make_settings(SOURCE_URL=url))

    assert len(asked) == 1


def test_read_shows_nothing_of_an_answer_in_its_error(make_settings: Callable[..., Settings]):
    with (
        serving(body(b"canary-4711 " * 9, Content_Type="text/html")) as (url, _),
        pytest.raises(SourceUnavailable) as caught,
    ):
        read(make_settings(SOURCE_URL=url))

    assert "canary" not in str(caught.value)


def cut(content: bytes, promised: int) -> Callable:
    return body(content, Content_Length=str(promised), Connection="close")


def chunked_and_cut(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"10\r\n[1,2,")
    handler.close_connection = True


def reset_after_headers(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()
    handler.close_connection = True


PACKED = gzip.compress(json.dumps(ITEMS).encode())


@pytest.mark.parametrize(
    "answer",
    [
        cut(b"[1, 2]", 100),
        chunked_and_cut,
        reset_after_headers,
        body(b"[]", Content_Encoding="gzip"),
        body(PACKED[:-6] + b"\0" * 6, Content_Encoding="gzip"),
        body(PACKED[:-12], Content_Encoding="gzip"),
    ],
    ids=["content-length", "chunked", "reset", "plain-as-gzip", "gzip-crc", "gzip-cut"],
)
def test_read_refuses_an_answer_that_breaks_off(
    answer: Callable, make_settings: Callable[..., Settings]
):
    with (
        serving(answer) as (url, _),
        pytest.raises(SourceUnavailable),
    ):
        read(make_settings(SOURCE_URL=url))


def test_read_takes_at_most_32_mb_and_no_bomb(make_settings: Callable[..., Settings]):
    bomb = body(gzip.compress(b" " * 60_000_000, 1), Content_Encoding="gzip")
    large = body(b"[" + b" " * (33 * 1024 * 1024) + b"]")

    for answer in (bomb, large):
        with (
            serving(answer) as (url, _),
            pytest.raises(SourceUnavailable, match="more than 33,554,432 bytes"),
        ):
            read(make_settings(SOURCE_URL=url))


def test_read_does_not_wait_for_ever_for_a_server_that_drips(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(api, "_DEADLINE_SECONDS", 0.2)

    def drip(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        body(b"", Content_Length="100")(handler, query)
        for _ in range(30):
            handler.wfile.write(b"1")
            handler.wfile.flush()
            time.sleep(0.02)

    with (
        serving(drip) as (url, _),
        pytest.raises(SourceUnavailable, match=r"took more than 0\.2 s"),
    ):
        read(make_settings(SOURCE_URL=url))


def test_read_says_that_nothing_answers_at_an_address(make_settings: Callable[..., Settings]):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/api/data/log"

        with pytest.raises(SourceUnavailable, match="did not answer") as caught:
            read(make_settings(SOURCE_URL=url))

    assert url in str(caught.value)


@pytest.mark.parametrize("items", [ITEMS, [{"recordId": None}], ["text"], [{"recordId": 5}]])
def test_read_stops_when_a_cursor_does_not_progress(
    items: list, make_settings: Callable[..., Settings]
):
    with (
        serving(page(items)) as (url, asked),
        pytest.raises(SourceUnavailable, match="SOURCE_PAGING=window"),
    ):
        read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"), start=7)

    assert len(asked) == 1
