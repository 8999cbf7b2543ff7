import contextlib
import dataclasses
import gzip
import json
import logging
import socket
import time
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest

from ingestion import ConfigError, Settings, SourceUnavailable
from ingestion.sources import answers, api, patience
from ingestion.sources.envelopes import parse_array, parse_line, read_array
from ingestion.sources.patience import Patience
from tests.ingestion.sources import body, cursor, listening, page, serving

ITEMS = [{"recordId": n, "ArrivalTimeStamp": 1.5, "data": "x"} for n in range(1, 8)]


def read(settings: Settings, start: int | None = None) -> tuple[list[object], list[float]]:
    waits: list[float] = []
    pages = list(api.read(settings, start, Patience(waits.append, random=lambda: 0.5)))
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
    assert waits == [0.5, 1.0]  # half of 1 and of 2 s


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
        ("7", 7.5),
        ("1000000000", 30.5),
        ("9" * 5_000, 30.5),
        ("-5", 0.5),
        ("1e9", 0.5),
        ("soon", 0.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.5),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 30.5),
        ("7\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT", 7.5),
        ("soon\r\nRetry-After: 3", 3.5),
        ("", 0.5),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_read_honours_retry_after_within_bounds_and_scatters_on_top_of_it(
    header: str, wait: float, status: int, make_settings: Callable[..., Settings]
):
    with serving(body(b"", status, Retry_After=header), page([])) as (url, _):
        assert read(make_settings(SOURCE_URL=url))[1] == [wait]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["Fri, 20 Nov 2026 10:00:09 GMT"], 9.0),
        (["Friday, 20-Nov-26 10:00:09 GMT"], 9.0),
        (["Fri Nov 20 10:00:09 2026"], 9.0),
        (["Fri, 20 Nov 2026 19:00:09 +0900"], 9.0),
        (["Fri, 20 Nov 2026 09:59:00 GMT"], 0.0),
        ([" 9 ", "Fri, 20 Nov 2026 09:59:00 GMT"], 9.0),
        (["3", "Fri, 20 Nov 2026 10:00:09 GMT"], 9.0),
        (["Fri, 31 Feb 2026 10:00:09 GMT"], None),
        (["Fri, 20 Nov 99999999999999 10:00:09 GMT"], None),
        (["Fri, 20 Nov 2026 10:00:09 +9999"], None),
        (["\u0663", "1.5", "0x10", "1, 2", "", "--1", "nan", "\0"], None),
        ([], None),
    ],
)
def test_retry_after_is_whole_seconds_or_a_date(headers: list[str], seconds: float | None):
    now = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)

    assert patience.stated_seconds(headers, now) == seconds


def test_pauses_double_are_scattered_evenly_down_to_nothing_and_never_undercut_the_server():
    least, most = (Patience(random=lambda value=value: value) for value in (0.0, 1.0))

    assert [most.seconds(attempt, None) for attempt in range(4)] == [1.0, 2.0, 4.0, 8.0]
    assert [least.seconds(attempt, None) for attempt in range(4)] == [0.0] * 4
    assert [least.seconds(attempt, 7.0) for attempt in range(4)] == [7.0] * 4


def test_read_takes_a_token_that_was_replaced_while_it_ran(
    make_settings: Callable[..., Settings], tmp_path
):
    token = tmp_path / "token"
    token.write_text("old-token\n")

    def check(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        if query["auth"] == "Bearer new-token":
            return cursor(ITEMS, most=3)(handler, query)
        token.write_text("new-token\n")
        return body(b"", 401)(handler, query)

    with serving(cursor(ITEMS, most=3), check) as (url, asked):
        found, _ = read(
            make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor", SOURCE_TOKEN_FILE=str(token))
        )

    assert found == ITEMS
    assert [query["auth"][7:10] for query in asked] == ["old", "old", "new", "new"]


def test_read_does_not_insist_on_a_token_that_is_refused_again(
    make_settings: Callable[..., Settings], tmp_path
):
    (tmp_path / "token").write_text("stale-token")

    with (
        serving(body(b"", 503), body(b"", 401)) as (url, asked),
        pytest.raises(ConfigError, match=r"answered 401, 3 times\. Put a valid bearer") as caught,
    ):
        read(make_settings(SOURCE_URL=url, SOURCE_TOKEN_FILE=str(tmp_path / "token")))

    assert len(asked) == 3
    assert "stale" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "advice"),
    [(403, "SOURCE_TOKEN_FILE"), (404, "Set SOURCE_URL"), (400, "400"), (418, "SOURCE_PAGING")],
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


@pytest.mark.parametrize("depth", [2, 62, 63, 64, 900, *range(940, 1_000), 5_000, 100_000])
@pytest.mark.parametrize("nest", [("[", "]"), ('{"a":', "}")], ids=["array", "object"])
def test_a_record_that_is_too_deep_is_its_own_text_however_it_comes(
    depth: int, nest: tuple[str, str]
):
    deep = f'{{"recordId": 1, "data": {nest[0] * depth}1{nest[1] * depth}}}'
    good = '{"recordId": 2}'

    found = [
        parse_array(f"[{deep}, {good}]")[0],
        parse_array(f"[{good}, {deep}, {'[' * 9_000}{']' * 9_000}]")[1],
        next(read_array(iter(["[", deep[:9], deep[9:], "]", ""]).__next__)),
        parse_line(deep.encode()),
    ]

    assert found == [json.loads(deep) if depth <= 63 else deep] * 4


def test_read_names_the_source_without_a_query_or_a_password(
    make_settings: Callable[..., Settings],
):
    with serving(body(b"", 503)) as (url, _):
        secret = url.replace("http://", "http://user:canary@") + "?key=canary#canary"
        settings = dataclasses.replace(make_settings(), source_url=secret)
        with pytest.raises(SourceUnavailable) as caught:
            read(settings)

    assert str(caught.value).startswith(f"{url} answered 503")
    assert "canary" not in str(caught.value)


def test_no_log_quotes_a_malformed_header(
    make_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)

    def malformed(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncanary-4711 and no colon\r\nA: b\r\n\r\n[]")

    with serving(malformed) as (url, asked):
        assert read(make_settings(SOURCE_URL=url))[0] == []

    assert asked
    assert "canary" not in caplog.text


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


def test_read_takes_at_most_32_mb(make_settings: Callable[..., Settings]):
    large = body(b"[" + b" " * (33 * 1024 * 1024) + b"]")

    with (
        serving(large) as (url, _),
        pytest.raises(SourceUnavailable, match="more than 33,554,432 bytes"),
    ):
        read(make_settings(SOURCE_URL=url))


@pytest.mark.parametrize(
    "member", [gzip.compress(b""), gzip.compress(b" " * 1_000)], ids=["empty", "dense"]
)
def test_read_counts_what_is_sent_and_what_it_unpacks_to(
    member: bytes, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answers, "MAX_BODY_BYTES", 1024 * 1024)
    endless = body(member * (2**21 // len(member)), Content_Encoding="gzip")

    with (
        serving(endless) as (url, _),
        pytest.raises(SourceUnavailable, match="more than 1,048,576 bytes"),
    ):
        read(make_settings(SOURCE_URL=url))


def test_read_refuses_a_bomb_before_it_has_grown(make_settings: Callable[..., Settings]):
    packer = zlib.compressobj(9, wbits=31)
    start = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    megabyte = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = start + megabyte * 1_000

    with serving(body(bomb, Content_Encoding="gzip")) as (url, _):
        settings = make_settings(SOURCE_URL=url)
        tracemalloc.start()
        with pytest.raises(SourceUnavailable, match="more than 100 times its size"):
            read(settings)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert len(bomb) * 900 < 2**30  # a gigabyte
    assert peak < 16 * 2**20


def test_read_counts_values_before_it_makes_objects_of_them(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(api, "parse_array", None)
    many = body(b"[" + b"{}," * 1_000_000 + b"{}]")

    with (
        serving(many) as (url, _),
        pytest.raises(SourceUnavailable, match="more than 1,000,000 values"),
    ):
        read(make_settings(SOURCE_URL=url))


def test_read_asks_for_shorter_pages_where_one_is_too_large(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answers, "MAX_BODY_BYTES", 3_000)
    items = [{"recordId": n, "ArrivalTimeStamp": 1.5, "data": "x" * 1_000} for n in range(5)]

    with serving(cursor(items)) as (url, asked):
        found, waits = read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"))

    assert found == items
    assert [query["limit"] for query in asked[:5]] == ["1000", "100", "10", "1", "2"]
    assert waits == []


@pytest.mark.parametrize("id_comes", ["first", "last"])
def test_read_passes_one_giant_record_and_gives_a_text_in_its_place(
    id_comes: str,
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(answers, "MAX_BODY_BYTES", 3_000)
    items = [{"recordId": n, "data": "x" * 100} for n in range(1, 20)]
    giant = {"recordId": 12, "data": "canary" * 1_000}
    items[11] = giant if id_comes == "first" else dict(reversed(giant.items()))

    with serving(cursor(items)) as (url, asked):
        settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
        found, _ = read(settings)
        again, _ = read(settings, start=11)

    stand_in = "A record of more than 33,554,432 bytes, after 11."
    assert found == [*items[:11], stand_in, *items[12:]]
    assert again == [stand_in, *items[12:]]
    assert len(asked) < 30
    assert "refused source=api record_after=11 because=too_large" in caplog.text
    assert "canary" not in caplog.text


def test_read_does_not_take_a_server_that_ignores_the_limit_for_one_giant_record(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answers, "MAX_BODY_BYTES", 3_000)
    items = [{"recordId": n, "data": "x" * 100} for n in range(1, 100)]

    for answer in (page(items), body(b"[" + b" " * 5_000 + b"]"), body(b"<p>" + b" " * 5_000)):
        with (
            serving(answer) as (url, _),
            pytest.raises(SourceUnavailable, match="more than 3,000 bytes"),
        ):
            read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"))


def test_read_asks_once_more_where_a_page_leaves_out_ids_that_follow_each_other(
    make_settings: Callable[..., Settings],
):
    paged = cursor(ITEMS, most=2)

    for ahead in (page(ITEMS[3:5]), page(ITEMS[6:])):
        with serving(paged, ahead, paged) as (url, asked):
            found, _ = read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"))
        assert found == ITEMS
        assert [query.get("after") for query in asked[:3]] == [None, "2", "2"]


def test_read_keeps_a_page_with_a_hole_when_asking_again_fails(
    make_settings: Callable[..., Settings],
):
    bad, rest = body(b"", 503), cursor(ITEMS, most=2)

    with serving(page(ITEMS[:2]), page(ITEMS[4:6]), bad, bad, bad, bad, rest) as (url, _):
        found, _ = read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"))

    assert found == ITEMS[:2] + ITEMS[4:]


@pytest.mark.parametrize(("declared", "requests"), [("true", 4), ("false", 3)])
def test_read_takes_a_real_hole_for_what_it_is(
    declared: str, requests: int, make_settings: Callable[..., Settings]
):
    items = ITEMS[:2] + ITEMS[4:6]

    with serving(cursor(items, most=2)) as (url, asked):
        found, _ = read(
            make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor", SOURCE_CONSECUTIVE_IDS=declared)
        )

    assert found == items
    assert len(asked) == requests


WHOLE_DRIPS: list[bytes] = []
"""What was dripped to its end, because nobody hung up before."""


def drip(start: bytes, drop: bytes) -> Callable:
    def answer(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(start)
            for _ in range(250):
                handler.wfile.write(drop)
                time.sleep(0.02)
            if drop:
                WHOLE_DRIPS.append(drop)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"1"),
        drip(b"HTTP/1.1 200 OK\r\n\r\n[]", b" "),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n1\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + PACKED[:10], b"\0\0\0\xff\xff"),
    ],
    ids=["status", "header", "continue", "body", "no-length", "chunks", "size", "trailer", "gzip"],
)
def test_read_does_not_wait_for_ever_for_a_server_that_drips(
    answer: Callable, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(api, "ATTEMPTS", 1)

    with (
        serving(answer) as (url, _),
        pytest.raises(SourceUnavailable, match=r"took more than 0\.1 s for one answer"),
    ):
        read(make_settings(SOURCE_URL=url))

    assert WHOLE_DRIPS == []


def test_read_does_not_wait_for_ever_for_a_server_that_says_nothing(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answers, "READ_SECONDS", 0.1)
    monkeypatch.setattr(api, "ATTEMPTS", 1)

    for start in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[1,"):
        with (
            serving(drip(start, b"")) as (url, _),
            pytest.raises(SourceUnavailable, match="ReadTimeoutError"),
        ):
            read(make_settings(SOURCE_URL=url))


def test_read_says_that_nothing_answers_at_an_address(make_settings: Callable[..., Settings]):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/api/data/log"

        with pytest.raises(SourceUnavailable, match="did not answer") as caught:
            read(make_settings(SOURCE_URL=url))

    assert url in str(caught.value)


@pytest.mark.parametrize("items", [ITEMS, [{"recordId": 5}], [{"recordId": 7}]])
def test_read_stops_when_a_cursor_does_not_progress(
    items: list, make_settings: Callable[..., Settings]
):
    with (
        serving(page(items)) as (url, asked),
        pytest.raises(SourceUnavailable, match="SOURCE_PAGING=window"),
    ):
        read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"), start=7)

    assert len(asked) == 1


@pytest.mark.parametrize(
    "bad",
    [
        page(ITEMS[:3]),
        page(None),
        body(b"<html>", Content_Type="text/html"),
        body(b"", 404),
        body(b"", 302, Location="http://169.254.169.254/"),
        body(b"", 204),
        body(b"[]", Content_Encoding="br"),
    ],
    ids=["same-page", "null", "html", "404", "302", "204", "brotli"],
)
def test_read_asks_again_for_a_bad_page_behind_a_good_one(
    bad: Callable, make_settings: Callable[..., Settings]
):
    paged = cursor(ITEMS, most=3)

    with serving(paged, bad, bad, paged) as (url, asked):
        found, waits = read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"))

    assert found == ITEMS
    assert [query.get("after") for query in asked] == [None, "3", "3", "3", "6"]
    assert len(waits) == 2


def test_read_gives_up_on_a_bad_page_behind_a_good_one_and_a_retry_may_help(
    make_settings: Callable[..., Settings],
):
    with serving(cursor(ITEMS, most=3), body(b"", 404)) as (url, asked):
        pages = api.read(
            make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"), None, Patience(lambda _: None)
        )
        first = next(pages)
        with pytest.raises(SourceUnavailable, match=r"404, 4 times\. Pages before it were good"):
            next(pages)

    assert first.envelopes == ITEMS[:3]
    assert len(asked) == 5


def test_read_takes_a_shifted_or_shuffled_page_whole(make_settings: Callable[..., Settings]):
    shifted = [ITEMS[2], ITEMS[6], ITEMS[3], ITEMS[5], ITEMS[4]]

    with serving(page(ITEMS[2::-1]), page(shifted), page([])) as (url, asked):
        found, _ = read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"))

    assert found == ITEMS[2::-1] + shifted
    assert [query.get("after") for query in asked] == [None, "3", "7"]


def test_read_passes_pages_of_spoiled_ids_without_overtaking_a_record(
    make_settings: Callable[..., Settings],
):
    stored = [{"recordId": n} for n in (0, 1, 2, 5, 6, 7, 8, 9, 11, 12, 13, 14)]
    spoiled = {0, 1, 2, 7, 8, 9, 11}

    def answer(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        found = [item for item in stored if item["recordId"] > int(query.get("after", -1))][:3]
        page([{"spoiled": n} if (n := item["recordId"]) in spoiled else item for item in found])(
            handler, query
        )

    with serving(answer) as (url, asked):
        found, _ = read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"))

    assert {item.get("recordId", item.get("spoiled")) for item in found} == {
        item["recordId"] for item in stored
    }
    assert "2" in [query.get("after") for query in asked]


def test_read_keeps_what_it_has_and_says_so_when_no_page_has_an_id(
    make_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
):
    with serving(page(["text", {"recordId": None}])) as (url, asked):
        found, _ = read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"), start=7)

    assert len(found) == 2 * len(asked) == 20
    assert "stopped early source=api pages=10 because=no_ids" in caplog.text


def test_read_ends_at_an_empty_page_and_the_next_run_goes_on_behind_it(
    make_settings: Callable[..., Settings],
):
    with serving(page(ITEMS[:3]), page([]), page(ITEMS[3:]), page([])) as (url, asked):
        settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
        first, _ = read(settings)
        second, _ = read(settings, start=3)

    assert (first, second) == (ITEMS[:3], ITEMS[3:])
    assert [query.get("after") for query in asked] == [None, "3", "3", "7"]


def test_read_stops_at_its_cap_of_pages_and_says_so(
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(api, "MAX_PAGES", 2)

    with serving(cursor(ITEMS, most=2)) as (url, _):
        found, _ = read(make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor"))

    assert found == ITEMS[:4]
    assert "stopped early source=api pages=2 because=page_cap" in caplog.text


class Clock:
    """A clock that only sleeping moves, and the server."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.patience = Patience(self.sleep, lambda: self.now, lambda: 1.0)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def slow(self, answer: Callable, seconds: float) -> Callable:
        def later(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
            self.now += seconds
            answer(handler, query)

        return later


@pytest.mark.parametrize("bad", [None, body(b"", 503, Retry_After="30")])
def test_read_stops_at_its_cap_of_time_keeps_whole_pages_and_says_so(
    bad: Callable | None,
    make_settings: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
):
    clock = Clock()
    paged = clock.slow(cursor(ITEMS, most=2), api.MAX_RUN_SECONDS / 2 - 1)

    with serving(paged, paged, bad or clock.slow(cursor(ITEMS, most=2), 3), bad or paged) as (
        url,
        asked,
    ):
        settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
        pages = list(api.read(settings, None, clock.patience))

    assert len(pages) == (2 if bad else 3)
    assert len(asked) == 3
    assert f"stopped early source=api pages={len(pages)} because=time_cap" in caplog.text
    assert clock.now <= 1_000 + api.MAX_RUN_SECONDS + 1


def test_read_does_not_sleep_beyond_its_cap_of_time_and_fails_where_it_has_nothing(
    make_settings: Callable[..., Settings],
):
    clock = Clock()
    dead = clock.slow(body(b"", 503), api.MAX_RUN_SECONDS - 2)

    for paging in ("window", "cursor"):
        with (
            serving(dead) as (url, asked),
            pytest.raises(SourceUnavailable, match=r"answered 503, 2 times"),
        ):
            list(
                api.read(make_settings(SOURCE_URL=url, SOURCE_PAGING=paging), None, clock.patience)
            )
        assert len(asked) == 2


def test_read_uses_one_connection_for_all_pages_and_hangs_up_at_the_end(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    lines: list[answers.Line] = []  # kept, so that nothing is closed by being forgotten

    def dial(url: str) -> answers.Line:
        lines.append(answers.Line(url))
        return lines[-1]

    monkeypatch.setattr(api, "Line", dial)
    packed = body(PACKED, Content_Encoding="gzip")

    def chunked(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        text = json.dumps([{"recordId": 8}] * 7).encode()
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
            % (len(text), text)
        )

    with listening(packed, chunked, page([]), packed) as (url, calls):
        settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
        assert len(list(api.read(settings, None))) == 2
        assert calls.opened == 1
        calls.await_hangup()

        pages = api.read(settings, None)
        next(pages)
        pages.close()
        assert calls.opened == 2
        calls.await_hangup()
