"""The bad inputs 1 to 32: each fault really committed on a loopback socket, and what became of it.

R: refused whole, and nothing was taken; D: duplicates, counted; OK: taken. Whatever it was, the
next run over a source that is well again has every record exactly once.
"""

import datetime
import gzip
import ipaddress
import json
import logging
import random
import re
import socket
import ssl
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ingestion import ConfigError, IngestionError, Settings, SourceUnavailable, land_api
from ingestion.sources import answers, api
from ingestion.sources.patience import Patience
from tests.ingestion.envelopes import envelope
from tests.ingestion.lakes import MemoryLake, publish_checked, raw_rows
from tests.ingestion.sources import Answer, body, cursor, listening, page

CANARY = "canary-4711"
TOKEN = "bearer-canary-0815"
ITEMS = [{"recordId": n, "ArrivalTimeStamp": 1.5, "data": CANARY} for n in range(1, 8)]
TEXT = json.dumps(ITEMS).encode()
PACKED = gzip.compress(TEXT)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
NOW = datetime.datetime.now(datetime.UTC)


def raw(*pieces: bytes, pause: float = 0, resets: bool = False) -> Answer:
    """Answer with these very bytes, and hang up."""

    def answer(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        handler.close_connection = True
        for piece in pieces:
            handler.wfile.write(piece)
            time.sleep(pause)
        if resets:
            linger = b"\1\0\0\0\0\0\0\0"
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()

    return answer


def busy(status: int, *retry_after: str) -> Answer:
    return body(CANARY.encode(), status, Retry_After="\r\nRetry-After: ".join(retry_after))


def packed(content: bytes, coding: str = "gzip") -> Answer:
    return body(content, Content_Encoding=coding)


def bomb() -> bytes:
    """A gigabyte in a megabyte."""
    packer = zlib.compressobj(9, wbits=31)
    start = packer.compress(b"[" + b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    megabyte = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + megabyte * 1_000 + packer.flush()


def later(seconds: float) -> str:
    return format_datetime(NOW + datetime.timedelta(seconds=seconds), usegmt=True)


@dataclass(frozen=True)
class Fault:
    """One way in which a server answers badly, and what must come of it."""

    number: int
    name: str
    answer: Answer
    seen: str
    """What the error says, where the fault does not pass."""
    error: type[IngestionError] = SourceUnavailable
    attempts: int = 1
    """How often the first page is asked for; 4 for what may pass in a moment."""


BROKEN = r"broke off after [\d,]+ bytes"
NO_ARRAY = "no JSON array"

FAULTS = [
    Fault(1, "429-seconds", busy(429, "7"), "answered 429", attempts=4),
    Fault(2, "429-date", busy(429, later(60)), "answered 429", attempts=4),
    Fault(2, "429-date-that-passed", busy(429, later(-60)), "answered 429", attempts=4),
    Fault(3, "429-for-ever", busy(429, "1000000000"), "answered 429", attempts=4),
    Fault(3, "429-negative", busy(429, "-1"), "answered 429", attempts=4),
    Fault(3, "429-garbage", busy(429, CANARY), "answered 429", attempts=4),
    Fault(3, "429-both", busy(429, "1e9", later(60)), "answered 429", attempts=4),
    Fault(4, "500", busy(500), "answered 500", attempts=4),
    Fault(5, "503-for-an-hour", busy(503, "3600"), "answered 503, 4 times", attempts=4),
    Fault(6, "html", body(f"<html>{CANARY}".encode(), Content_Type="text/html"), "of HTML where"),
    Fault(6, "html-as-json", body(f"<html>{CANARY}".encode()), "of HTML that is " + NO_ARRAY),
    Fault(7, "empty-body", body(b""), NO_ARRAY),
    Fault(7, "empty-gzip", packed(b""), "gzip that is damaged or cut", attempts=4),
    Fault(8, "204", body(b"", 204), "answered 204 where 200"),
    Fault(9, "cut", body(TEXT[:-9], Content_Length=str(len(TEXT))), BROKEN, attempts=4),
    Fault(9, "cut-without-length", raw(HEAD + b"\r\n" + TEXT[:-1]), NO_ARRAY),
    Fault(
        9,
        "cut-at-once",
        raw(HEAD + b"Content-Length: 9\r\n\r\n"),
        BROKEN,
        attempts=4,
    ),
    Fault(
        10,
        "chunk-cut",
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(TEXT) + TEXT[:-9]),
        BROKEN,
        attempts=4,
    ),
    Fault(
        10,
        "last-chunk-missing",
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(TEXT), TEXT)),
        BROKEN,
        attempts=4,
    ),
    Fault(
        10,
        "chunk-garbage",
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CANARY.encode() + b"\r\n[]\r\n"),
        BROKEN,
        attempts=4,
    ),
    Fault(
        11,
        "slow-loris",
        raw(HEAD + b"Content-Length: 999\r\n\r\n", *[b"[ "] * 50, pause=0.01),
        "took more than",
        attempts=4,
    ),
    Fault(
        11,
        "slow-headers",
        raw(HEAD, *[b"A: " + CANARY.encode() + b"\r\n"] * 50, pause=0.01),
        "took more than",
        attempts=4,
    ),
    Fault(12, "hang", raw(b"", pause=0.5), "did not answer", attempts=4),
    Fault(
        13,
        "reset-after-headers",
        raw(HEAD + b"Content-Length: 9\r\n\r\n", resets=True),
        BROKEN,
        attempts=4,
    ),
    Fault(13, "no-http", raw(CANARY.encode() + b"\r\n\r\n"), "did not answer", attempts=4),
    Fault(13, "reset-before-headers", raw(resets=True), "did not answer", attempts=4),
    Fault(14, "wrong-type", body(TEXT, Content_Type="text/plain"), "bytes of text/plain where"),
    Fault(14, "strange-type", body(TEXT, Content_Type=CANARY), "bytes of another type where"),
    Fault(15, "plain-as-gzip", packed(TEXT), "gzip that is damaged", attempts=4),
    Fault(16, "bomb", packed(bomb()), "unpacks to more than 100 times its size"),
    Fault(17, "nested-gzip", packed(gzip.compress(PACKED)), "not UTF-8, at byte 1"),
    Fault(17, "nested-gzip-told", packed(gzip.compress(PACKED), "gzip, gzip"), "nobody asked for"),
    Fault(17, "strange-coding", packed(TEXT, CANARY), "a Content-Encoding that nobody asked for"),
    Fault(18, "wrong-crc", packed(PACKED[:-8] + b"\0" * 4 + PACKED[-4:]), "damaged", attempts=4),
    Fault(18, "wrong-size", packed(PACKED[:-4] + b"\0" * 4), "damaged", attempts=4),
    Fault(18, "gzip-and-more", packed(PACKED + CANARY.encode()), "damaged", attempts=4),
    Fault(19, "latin-1", body(f'["ü{CANARY}"]'.encode("latin-1")), "not UTF-8, at byte 2"),
    Fault(19, "utf-16", body(TEXT.decode().encode("utf-16")), "not UTF-8, at byte 0"),
    Fault(19, "utf-16-le", body(TEXT.decode().encode("utf-16-le")), NO_ARRAY),
    *[
        Fault(
            20,
            f"redirect-{status}",
            body(b"", status, Location=f"{target}?{CANARY}"),
            "a redirect, which is never followed",
            ConfigError,
        )
        for status, target in [
            (301, "http://localhost:9/"),
            (302, "http://169.254.169.254/latest/meta-data/"),
            (303, "file:///etc/passwd"),
            (307, "//elsewhere.example/"),
            (308, "/api/data/elsewhere"),
        ]
    ],
    Fault(22, "401-for-ever", body(b"", 401), "401, 2 times. Put a valid", ConfigError, 2),
    Fault(
        29, "1000001-records", body(b"[" + b"{}," * 10**6 + b"{}]"), "more than 1,000,000 values"
    ),
    Fault(32, "null", page(None), "it is null, not an array"),
    Fault(32, "object", page({"data": ITEMS, "next": "/"}), "it is an object, not an array"),
    Fault(32, "string", page(CANARY), "it is a string, not an array"),
    Fault(32, "number", page(4711), "it is a number, not an array"),
]

CURSOR_FAULTS = [
    Fault(23, "same-page-for-ever", page(ITEMS[:3]), "and brought none of them"),
    Fault(
        24,
        "cursor-loop",
        body(json.dumps(ITEMS[:3]).encode(), Link="</api/data/log?after=0>; rel=next"),
        "and brought none of them",
    ),
    Fault(25, "backwards", page(ITEMS[:1]), "and brought none of them"),
    Fault(26, "last-page-missing", body(b"", 404), "answered 404"),
]
"""Only an answer to ``?after=`` can be wrong in these ways."""

SLOW = (11, 12)
"""What only a deadline ends; a small one, set as late as can be: good answers take time too."""

Read = Callable[..., list[object]]


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> set[object]:
    """Every address to which this process opened a connection."""
    found: set[object] = set()
    connect = socket.socket.connect

    def note(self: socket.socket, address: object) -> None:
        found.add(address)
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", note)
    return found


@pytest.fixture
def read(
    make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Read:
    """Read a source as a run does, without sleeping; in a hurry behind ``hurry`` pages."""
    (tmp_path / "token").write_text(TOKEN)

    def read(
        url: str, paging: str, pages: list[api.Page] | None = None, hurry: int | None = None
    ) -> list[object]:
        settings = make_settings(
            SOURCE_URL=url, SOURCE_PAGING=paging, SOURCE_TOKEN_FILE=str(tmp_path / "token")
        )
        pages = [] if pages is None else pages
        with monkeypatch.context() as patch:
            run = api.read(settings, None, Patience(lambda _: None))
            while True:
                if hurry == len(pages):
                    patch.setattr(answers, "ANSWER_SECONDS", 0.1)
                    patch.setattr(answers, "READ_SECONDS", 0.08)
                found = next(run, None)
                if found is None:
                    return [envelope for page in pages for envelope in page.envelopes]
                pages.append(found)

    return read


class Moody:
    """A source that pages in threes, and misbehaves as it is told."""

    def __init__(self, fault: Answer, good_pages: int = 0, faults: float = float("inf")) -> None:
        self._fault = fault
        self._good_pages = good_pages
        self._faults = faults
        self._good = cursor(ITEMS, most=3)

    def get_well(self) -> None:
        self._faults = 0

    def __call__(self, handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        if not self._good_pages and self._faults:
            self._faults -= 1
            self._fault(handler, query)
            return
        self._good_pages = max(0, self._good_pages - 1)
        answer = self._good if "limit" in query else page(ITEMS)
        answer(handler, query)


def chain(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield repr(error)
        yield str(error)
        error = error.__cause__ or error.__context__


def id_of(fault: Fault) -> str:
    return f"{fault.number}-{fault.name}"


@pytest.mark.parametrize("paging", ["window", "cursor"])
@pytest.mark.parametrize("fault", FAULTS, ids=id_of)
def test_a_bad_first_page_is_refused_whole_and_the_next_run_has_everything(
    fault: Fault,
    paging: str,
    read: Read,
    addresses: set[object],
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)
    source = Moody(fault.answer)
    pages: list[api.Page] = []

    with listening(source) as (url, calls):
        with pytest.raises(fault.error, match=fault.seen) as caught:
            read(url, paging, pages, 0 if fault.number in SLOW else None)
        asked = len(calls.asked)
        source.get_well()
        found = read(url, paging)

    shrunk = 4 if fault.number == 29 and paging == "cursor" else 1
    assert pages == []
    assert asked == fault.attempts * shrunk
    assert found == ITEMS
    assert caught.value.retryable is (fault.error is SourceUnavailable)
    assert str(caught.value).startswith(f"{url} ")
    assert "limit=" not in str(caught.value)
    for text in (*chain(caught.value), caplog.text):
        assert "canary" not in text
    port = int(url.split(":")[2].split("/")[0])
    assert addresses == {("127.0.0.1", port)}


@pytest.mark.parametrize("fault", FAULTS + CURSOR_FAULTS, ids=id_of)
def test_a_bad_page_behind_a_good_one_is_asked_for_again(
    fault: Fault, read: Read, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)

    with listening(Moody(fault.answer, good_pages=1, faults=1)) as (url, _):
        assert read(url, "cursor", hurry=1 if fault.number in SLOW else None) == ITEMS

    assert "canary" not in caplog.text


@pytest.mark.parametrize("fault", FAULTS + CURSOR_FAULTS, ids=id_of)
def test_a_page_that_stays_bad_behind_a_good_one_ends_the_run_and_the_next_has_everything(
    fault: Fault, read: Read
):
    source = Moody(fault.answer, good_pages=1)
    pages: list[api.Page] = []
    error = ConfigError if fault.number == 22 else SourceUnavailable

    with listening(source) as (url, _):
        with pytest.raises(error, match=fault.seen) as caught:
            read(url, "cursor", pages, 1 if fault.number in SLOW else None)
        source.get_well()
        found = read(url, "cursor")

    assert [page.envelopes for page in pages] == [ITEMS[:3]]
    assert found == ITEMS
    for text in chain(caught.value):
        assert "canary" not in text


def test_12_a_port_that_accepts_and_never_answers_is_refused(read: Read):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/log"
        with pytest.raises(SourceUnavailable, match=r"did not answer \(ReadTimeoutError\), 4 t"):
            read(url, "window", hurry=0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_20_the_server_that_a_redirect_or_a_link_names_is_never_asked(
    status: int, read: Read, addresses: set[object]
):
    with listening(page(ITEMS)) as (trap, trapped):
        away = {
            "Location": trap,
            "Link": f"<{trap}?after=3>; rel=next",
            "Refresh": f"0; url={trap}",
        }
        with listening(body(TEXT, status, **away)) as (url, _), pytest.raises(ConfigError):
            read(url, "cursor")
        linking = body(json.dumps(ITEMS[:3]).encode(), **{**away, "X_Total_Count": "999"})
        with listening(linking, cursor(ITEMS, most=3)) as (url, _):
            assert read(url, "cursor") == ITEMS

    assert trapped.opened == 0
    assert len(addresses) == 2


def certificate(
    folder: Path, name: str, names: list[x509.GeneralName], days: int, signer: Path | None = None
) -> Path:
    """Write a certificate and its key into one file; without a signer it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signing = subject, key
    if signer:
        issuer = x509.load_pem_x509_certificate(signer.read_bytes()).subject
        loaded = serialization.load_pem_private_key(signer.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signing = loaded
    end = NOW + datetime.timedelta(days=days)
    built = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(end - datetime.timedelta(days=30))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .sign(signing, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        built.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_21_only_a_certificate_that_this_machine_trusts_is_talked_to(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    here: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    authority = certificate(tmp_path, "authority", [x509.DNSName("authority.example")], 20)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    refused = {
        "self-signed": certificate(tmp_path, "self-signed", here, 20),
        "expired": certificate(tmp_path, "expired", here, -1, authority),
        "not-yet-valid": certificate(tmp_path, "not-yet-valid", here, 50, authority),
        "other-host": certificate(
            tmp_path, "other-host", [x509.DNSName("elsewhere.example")], 20, authority
        ),
    }

    for name, path in refused.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        with (
            listening(page(ITEMS), tls=context) as (url, calls),
            pytest.raises(ConfigError, match="no certificate that this machine trusts"),
        ):
            read(url, "window")
        assert calls.asked == [], f"{name}: the token went out to somebody unknown"

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, "good", here, 20, authority))
    with listening(page(ITEMS), tls=context) as (url, _):
        assert read(url, "window") == ITEMS
    with (
        listening(page(ITEMS)) as (url, _),
        pytest.raises(SourceUnavailable, match=r"did not answer \(SSLError\)"),
    ):
        read(url.replace("http:", "https:"), "window")


@pytest.mark.parametrize(
    "charset", ["utf-8", "UTF8", "latin-1", "utf-16", "shift_jis", CANARY, '"'], ids=str
)
def test_19_the_charset_that_a_header_claims_changes_no_character(charset: str, read: Read):
    items = [{"recordId": 1, "name": "é\u3042\U0001f600"}]
    text = json.dumps(items, ensure_ascii=False).encode()

    for content in (text, b"\xef\xbb\xbf" + text):
        claim = body(content, Content_Type=f"application/json; charset={charset}")
        with listening(claim) as (url, _):
            assert read(url, "window") == items


@dataclass(frozen=True)
class Course:
    """What a source answers in turn, and what one run and the next take of it."""

    number: int
    name: str
    answers: Callable[[list[dict[str, object]]], list[Answer]]
    first: list[int]
    """The ids behind the first run."""
    duplicates: int = 0
    """Of the first run; the second one's are what it re-reads."""


def course_id(course: Course) -> str:
    return f"{course.number}-{course.name}"


COURSES = [
    Course(4, "500-twice", lambda e: [busy(500), busy(500)], [*range(1, 8)]),
    Course(22, "401-then-ok", lambda e: [body(b"", 401)], [*range(1, 8)]),
    Course(23, "same-page-twice", lambda e: [page(e[:3]), page(e[:3])], [*range(1, 8)]),
    Course(23, "records-twice", lambda e: [page(e[:3] * 2)], [*range(1, 8)], 3),
    Course(25, "backwards-once", lambda e: [page(e[:4]), page(e[:2])], [*range(1, 8)]),
    Course(26, "last-page-missing", lambda e: [page(e[:3]), page([])], [1, 2, 3]),
    Course(27, "shifted", lambda e: [page(e[:3]), page(e[1:5])], [*range(1, 8)], 2),
    Course(
        28,
        "total-lies",
        lambda e: [
            body(
                json.dumps(e[:3]).encode(), X_Total_Count=total, Content_Range=f"items 0-2/{total}"
            )
            for total in ("3",)
        ],
        [*range(1, 8)],
    ),
    Course(30, "empty-page-in-the-middle", lambda e: [page(e[:3]), page([])], [1, 2, 3]),
    Course(31, "page-backwards", lambda e: [page(e[2::-1])], [*range(1, 8)]),
    Course(31, "later-page-first", lambda e: [page(e[3:6])], [4, 5, 6, 7]),
]


@pytest.mark.parametrize("course", COURSES, ids=course_id)
def test_every_course_of_pages_ends_with_every_record_once(
    course: Course,
    memory_lake: MemoryLake,
    make_settings: Callable[..., Settings],
    fernet_key: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(Patience, "seconds", lambda *_: 0.0)
    items = [envelope(fernet_key, n) for n in range(1, 8)]

    with listening(*course.answers(items), cursor(items, most=3)) as (url, calls):
        settings = make_settings(SOURCE_URL=url, SOURCE_PAGING="cursor")
        sums = publish_checked(settings, land_api(settings))
        first = sorted(row["record_id"] for row in raw_rows(memory_lake))
        publish_checked(settings, land_api(settings))

    assert first == course.first
    assert sums["duplicate"] == course.duplicates
    assert sorted(row["record_id"] for row in raw_rows(memory_lake)) == [*range(1, 8)]
    assert all(set(query) <= {"path", "auth", "limit", "after"} for query in calls.asked)


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\nA: b\r\n\r\n"
WHOLE = [
    HEAD + b"Content-Length: %d\r\n\r\n" % len(TEXT) + TEXT,
    HEAD + CHUNKED % (99, TEXT[:99], len(TEXT) - 99, TEXT[99:]),
    HEAD + b"Content-Encoding: gzip\r\n\r\n" + PACKED,
    b"HTTP/1.1 429 Busy\r\nRetry-After: 5\r\n\r\n",
]
JUNK = [b"\r\n", b"\0", b"0", b"-1", b"9" * 20, b":", b"\xff", b"[", b'"', b"1e999", b"A" * 70_000]
JUNK += [line + b"\r\n" for line in (b"Transfer-Encoding: chunked", b"Content-Length: 3", b"A;")]
JUNK += [b"HTTP/1.1 100 Continue\r\n\r\n", b"\x1f\x8b", b"gzip, "]


def mangled(dice: random.Random) -> bytes:
    answer = bytearray(dice.choice(WHOLE))
    for _ in range(dice.choice((1, 1, 2, 4))):
        place, kind = dice.randrange(len(answer) + 1), dice.randrange(4)
        if kind == 0:
            answer[place : place + 1] = bytes([dice.randrange(256)])
        elif kind == 1:
            del answer[place : place + dice.choice((1, 2, 8, 40))]
        elif kind == 2:
            answer[place:place] = dice.choice(JUNK)
        else:
            del answer[max(place, 1) :]
    return bytes(answer)


def test_a_mangled_answer_is_a_page_or_an_error_of_ours(
    read: Read, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(api, "ATTEMPTS", 1)
    dice = random.Random(32)
    outcomes: Counter[str] = Counter()
    said: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        raw(mangled(dice))(handler, query)

    with listening(answer) as (url, _):
        for _ in range(400):
            try:
                read(url, "window")
                outcomes["page"] += 1
            except IngestionError as error:
                outcomes[type(error).__name__] += 1
                said.append(str(error))

    assert all(text.startswith(f"{url} ") and "canary" not in text for text in said)
    assert outcomes["page"] > 10
    assert outcomes["SourceUnavailable"] > 100


def test_every_number_from_1_to_32_has_its_row():
    text = Path(__file__).read_text()
    named = {int(number) for number in re.findall(r"def test_(\d+)_", text)}

    rows = {row.number for row in (*FAULTS, *CURSOR_FAULTS, *COURSES)}

    assert rows | named == {*range(1, 33)}
