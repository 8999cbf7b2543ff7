"""Bad inputs 33 to 107 as a table: what is offered, and what becomes of it.

A row says OK (a row of access_logs), or where and why the record is refused; a pair says D (one
record, offered twice), CONFLICT (two records that claim one id) or TWO.
"""

import base64
import json
from datetime import timedelta
from typing import Any

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from ingestion.keys import KeyRing
from ingestion.privacy import Pseudonyms
from ingestion.records import Rules
from ingestion.sources.envelopes import parse_line
from ingestion.times import SourceClock, milliseconds
from tests.ingestion.envelopes import FETCHED_AT, PSEUDONYM_KEY, STRANGER, envelope, plaintext, seal

NEW, OLD, REMOVED = (Fernet.generate_key().decode() for _ in range(3))
NOW = milliseconds(FETCHED_AT)
RING = [
    {"key": NEW, "state": "primary"},
    {"key": OLD, "state": "decrypt-only"},
    {"key": REMOVED, "state": "retired"},
]
RULES = Rules(KeyRing(RING), Pseudonyms(PSEUDONYM_KEY), SourceClock("Asia/Seoul", True))
SETTINGS = {"batch_seq": 1, "landed_at": NOW, "fetched_at": NOW}
BEFORE, BASE, AFTER = (envelope(NEW, number) for number in (1, 2, 3))
TOKEN = BASE["data"]
RAW = base64.urlsafe_b64decode(TOKEN)
# 361 bytes, so two characters of padding; three blocks more need none.
UNPADDED = seal(NEW, plaintext(2, url="/api/products/product/" + "1" * 32))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def known(**changes: Any) -> dict:
    return BASE | changes


def without(name: str) -> dict:
    return {key: value for key, value in BASE.items() if key != name}


def of(content: object, stamped_at: Any = FETCHED_AT) -> dict:
    return known(data=seal(NEW, content, stamped_at))


def changed(**changes: Any) -> dict:
    return of(str(plaintext(2) | changes))


def spelled(**changes: Any) -> dict:
    return of(json.dumps(plaintext(2) | changes))


def lacking(name: str, **changes: Any) -> dict:
    return of(str({key: value for key, value in plaintext(2).items() if key != name} | changes))


def literal(text: str, field: str = "extra") -> list[dict]:
    """Return records in whose plaintext a field holds ``text`` as it stands, as JSON and repr."""
    rest = {name: value for name, value in plaintext(2).items() if name != field}
    return [
        of(f'{json.dumps(rest)[:-1]}, "{field}": {text}}}'),
        of(f"{str(rest)[:-1]}, '{field}': {text}}}"),
    ]


def restamped(seconds: int) -> dict:
    """Return the record in a token whose clear time is ``seconds``, under a valid signature."""
    return known(data=Fernet(NEW).encrypt_at_time(str(plaintext(2)).encode(), seconds).decode())


def resigned(raw: bytes) -> str:
    """Return bytes as a token, signed anew: by somebody who has the key."""
    fernet = Fernet(NEW)
    signer = HMAC(fernet._signing_key, SHA256())
    signer.update(raw[:-32])
    return base64.urlsafe_b64encode(raw[:-32] + signer.finalize()).decode()


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + "1" + closing * depth


ID_TYPE = "envelope ID_TYPE"
SHAPE = "envelope ENVELOPE_SHAPE"
MALFORMED = "token TOKEN_MALFORMED"
UNKNOWN = "token TOKEN_UNKNOWN_KEY"
FUTURE = "token TOKEN_FUTURE"
ENCODING = "plaintext PLAINTEXT_ENCODING"
SYNTAX = "plaintext PLAINTEXT_SYNTAX"
TOO_DEEP = "plaintext PLAINTEXT_SHAPE"
MISSING = "field FIELD_MISSING"
TYPE = "field FIELD_TYPE"
RANGE = "field FIELD_RANGE"
NO_TIME = "time TIME_MALFORMED"
TOO_FAR = "time TIME_OUT_OF_RANGE"
SAME = "OK, the same record"
OK = "OK"

ENVELOPES: list[tuple[int, str, object, str]] = [
    (33, "no id", without("recordId"), "envelope ID_MISSING"),
    (34, "null", known(recordId=None), "envelope ID_MISSING"),
    (35, "empty", known(recordId=""), "envelope ID_MISSING"),
    (36, "the number as text", known(recordId="2"), ID_TYPE),
    (37, "a float", known(recordId=2.0), ID_TYPE),
    (38, "true", known(recordId=True), ID_TYPE),
    (38, "false", known(recordId=False), ID_TYPE),
    (39, "2^63 - 1", envelope(NEW, 2**63 - 1, plaintext(2**63 - 1)), OK),
    *[
        (39, name, known(recordId=number), ID_TYPE)
        for name, number in {
            "2^63": 2**63,
            "2^64": 2**64,
            "-1": -1,
            "10^400": 10**400,
            "4,401 digits": 10**4400,
            "4,401 digits as the reader keeps them": "1" + "0" * 4400,
        }.items()
    ],
    *[
        (40, repr(value), known(recordId=value), ID_TYPE)
        for value in ([], [2], {}, {"id": 2}, [[[2]]])
    ],
    *[
        (number, repr(text[:30]), known(recordId=text), ID_TYPE)
        for number, text in [
            (41, "../../raw/dt=x"),
            (42, "x' or dt<>'x"),
            (43, "%2e%2e%2f"),
            (43, "..\\..\\raw"),
            (43, "\x00"),
            (43, "2\n"),
            (43, "2\r\nX-Amz-Acl: public-read"),
            (44, "9" * 10_000_000),
            (46, "\u200b2"),
            (46, "\u202e2"),
            (46, "\u0662"),
            (46, "\uff12"),
            (47, " 2"),
            (47, "2 "),
            (48, "__HIVE_DEFAULT_PARTITION__"),
        ]
    ],
    (
        53,
        "an id twice, the last one counts",
        parse_line(b'{"recordId": 9, %s' % json.dumps(BASE).encode()[1:]),
        SAME,
    ),
    (
        53,
        "an id twice, the last one is another's",
        parse_line(b'%s, "recordId": 9}' % json.dumps(BASE).encode()[:-1]),
        RANGE,
    ),
    (54, "unknown members", known(shard="b", hop={"a": [1, None, 2.5]}), OK),
    (54, "a member with half a surrogate pair", known(shard="\ud800"), SHAPE),
    (54, "a member 5,000 deep", known(shard=json.loads(nested(700, "[", "]"))), SHAPE),
    (54, "a member without end", known(shard=float("inf")), SHAPE),
    (54, "1,001 members", known(**{f"k{number}": 1 for number in range(998)}), OK),
    (54, "1,002 members", known(**{f"k{number}": 1 for number in range(1_001)}), SHAPE),
    *[
        (55, repr(value), value, SHAPE)
        for value in (None, 2, 2.5, True, [], [BASE], "", "2", json.dumps(BASE))
    ],
    (55, "an empty object", {}, "envelope ID_MISSING"),
]

TOKENS: list[tuple[int, str, object, str]] = [
    (56, "no token", without("data"), "token TOKEN_TYPE"),
    *[
        (56, repr(value), known(data=value), "token TOKEN_TYPE")
        for value in (None, 2, 2.5, True, [TOKEN], {"data": TOKEN})
    ],
    (57, "empty", known(data=""), MALFORMED),
    (58, "not ASCII", known(data=f"{TOKEN}\u00e9"), MALFORMED),
    (58, "digits of another script", known(data="\u0661" * 484), MALFORMED),
    (59, "half a surrogate pair", known(data=f"{TOKEN[:-1]}\ud800"), MALFORMED),
    (60, "a newline behind it", known(data=f"{TOKEN}\n"), SAME),
    (60, "a newline before it", known(data=f"\r\n{TOKEN}"), SAME),
    (61, "junk inside", known(data=f"{TOKEN[:100]}!? {TOKEN[100:]}"), SAME),
    (61, "a NUL inside", known(data=f"{TOKEN[:5]}\x00{TOKEN[5:]}"), SAME),
    (62, "the other alphabet", known(data=TOKEN.replace("-", "+").replace("_", "/")), SAME),
    (63, "padding missing", known(data=TOKEN.rstrip("=")), MALFORMED),
    (64, "padding behind padding", known(data=f"{TOKEN}=="), SAME),
    (64, "padding where none belongs", known(data=f"{UNPADDED}="), OK),
    (64, "padding and nothing else", known(data="=" * 1_000_000), MALFORMED),
    (64, "padding and padding", known(data=TOKEN + "= " * 400_000), SAME),
    *[
        (65, f"another last character, {last}", known(data=f"{TOKEN[:-3]}{last}=="), SAME)
        for last in ALPHABET[ALPHABET.index(TOKEN[-3]) // 16 * 16 :][:16]
    ],
    (
        66,
        "version 0x81",
        known(data=base64.urlsafe_b64encode(b"\x81" + RAW[1:]).decode()),
        MALFORMED,
    ),
    (
        69,
        "the IV of another token",
        known(data=base64.urlsafe_b64encode(RAW[:9] + bytes(16) + RAW[25:]).decode()),
        UNKNOWN,
    ),
    (
        69,
        "the IV of another token, signed",
        known(data=resigned(RAW[:9] + bytes([RAW[9] ^ ord("{") ^ 0xFF]) + RAW[10:])),
        ENCODING,
    ),
    (70, "of the old key", known(data=seal(OLD, plaintext(2))), SAME),
    (71, "of an unknown key", known(data=seal(STRANGER, plaintext(2))), UNKNOWN),
    (72, "of a retired key", known(data=seal(REMOVED, plaintext(2))), UNKNOWN),
    (73, "stamped 1970", restamped(0), SAME),
    (74, "stamped tomorrow", of(str(plaintext(2)), FETCHED_AT + timedelta(days=1)), FUTURE),
    (74, "stamped in 301 s", of(str(plaintext(2)), FETCHED_AT + timedelta(seconds=301)), FUTURE),
    (74, "stamped in 300 s", of(str(plaintext(2)), FETCHED_AT + timedelta(seconds=300)), SAME),
    (75, "stamped 2^63 - 1", restamped(2**63 - 1), FUTURE),
    (75, "stamped 2^64 - 1", restamped(2**64 - 1), FUTURE),
    (76, "ten years old", of(str(plaintext(2)), FETCHED_AT - timedelta(days=3650)), SAME),
    (77, "50 MB", known(data="A" * 50_000_000), "token TOKEN_TOO_LARGE"),
    (
        77,
        "one character too many",
        known(data=TOKEN + " " * (1_000_001 - len(TOKEN))),
        "token TOKEN_TOO_LARGE",
    ),
    (77, "as long as may be", known(data=TOKEN + " " * (1_000_000 - len(TOKEN))), SAME),
    (78, "a token inside a token", of(TOKEN), SYNTAX),
    (79, "two tokens", known(data=TOKEN + TOKEN), MALFORMED),
    (79, "two tokens and a newline", known(data=f"{TOKEN}\n{TOKEN}"), MALFORMED),
    (79, "two tokens without padding", known(data=UNPADDED + UNPADDED), MALFORMED),
    (80, "nothing encrypted", of(b""), SYNTAX),
    (81, "in quotes", known(data=json.dumps(TOKEN)), SAME),
    (81, "in quotes twice", known(data=json.dumps(json.dumps(TOKEN))), SAME),
    (82, "JWT", known(data="eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl"), MALFORMED),
    (82, "age", known(data="age-encryption.org/v1\n-> X25519 abc\n--- def\n"), MALFORMED),
    (
        82,
        "PGP",
        known(data="-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----"),
        MALFORMED,
    ),
]

PLAINTEXTS: list[tuple[int, str, object, str]] = [
    (83, "a byte FF at its end", of(str(plaintext(2)).encode() + b"\xff"), ENCODING),
    (83, "Latin-1", of(str(plaintext(2, url="/caf\u00e9")).encode("latin-1")), ENCODING),
    (83, "an overlong slash", of(b"{'user_id': '\xc0\xaf'}"), ENCODING),
    (84, "UTF-16", of(json.dumps(plaintext(2)).encode("utf-16")), ENCODING),
    (84, "UTF-16 without a mark", of(json.dumps(plaintext(2)).encode("utf-16-le")), SYNTAX),
    (84, "UTF-32 without a mark", of(json.dumps(plaintext(2)).encode("utf-32-be")), SYNTAX),
    (
        84,
        "UTF-8 behind a byte order mark",
        of(json.dumps(plaintext(2)).encode("utf-8-sig")),
        ENCODING,
    ),
    *[
        (85, repr(text), of(text), SYNTAX)
        for text in (
            "no record",
            "",
            " ",
            "{",
            "{'user_id'",
            "<html></html>",
            "user_id=a&record_id=2",
            "__import__('os').system('touch pwned')",
            "{'user_id': open('/etc/passwd').read()}",
            "{'user_id': 'a' + 'b'}",
            "{'user_id': f'{1}'}",
            "dict(user_id='a')",
            "[x for x in ()]",
            "lambda: 0",
            "{**{}}",
            "...",
            "b'bytes'",
            "{'user_id': 'a', 'user_id': 'b'}",
            '{"user_id": "a", "user_id": "b"}',
        )
    ],
    (86, "a second document", of(json.dumps(plaintext(2)) + "{}"), SYNTAX),
    (86, "a second line", of(f"{plaintext(2)}\n{plaintext(3)}"), SYNTAX),
    (86, "blanks behind it", of(f"{plaintext(2)} \n"), SAME),
    *[
        (87, text[:20], of(text), TOO_DEEP)
        for text in ("[]", "()", "2", "2.5", "'text'", '"text"', "true", "True", "null", "None")
    ],
    (87, "a list of the record", of([plaintext(2)]), TOO_DEEP),
    *[
        (88, f"{depth} {opening} {field} {place}", item, TOO_DEEP)
        for depth in (65, 900, 5_000, 100_000)
        for opening, closing in (("[", "]"), ("(", ")"), ("{'a':", "}"), ('{"a":', "}"))
        for field in ("extra", "url")
        for place, item in enumerate(literal(nested(depth, opening, closing)[:250_000], field))
        # JSON has no tuples, so it is a literal with more quotes; a cut one is too deep as well.
    ],
    (88, "64 deep with the record itself", changed(extra=json.loads(nested(63, "[", "]"))), OK),
    (88, "64 deep in JSON", spelled(extra=json.loads(nested(63, "[", "]"))), OK),
    *[
        (89, f"{text} in {name}", item, expected)
        for text, expected in {
            "NaN": SYNTAX,
            "Infinity": SYNTAX,
            "-Infinity": SYNTAX,
            "nan": SYNTAX,
            "inf": SYNTAX,
            "1e999": "plaintext FIELD_RANGE",
            "-1e999": "plaintext FIELD_RANGE",
        }.items()
        for field in ("extra", "user_id")
        for name, item in zip(("JSON", "repr"), literal(text, field), strict=True)
    ],
    *[
        (90, f"{digits} digits in {field}, {name}", item, expected)
        for digits, expected in {
            100: OK,
            101: "plaintext FIELD_RANGE",
            4_301: "plaintext FIELD_RANGE",
        }.items()
        for field in ("extra", "user_id")
        for name, item in zip(("JSON", "repr"), literal("9" * digits, field), strict=True)
    ],
    *[(91, "an id", item, TYPE) for item in literal("9007199254740993.0", "record_id")],
    *[(91, "a user", item, TYPE) for item in literal("9007199254740993.0", "user_id")],
    *[(91, "unknown", item, OK) for item in literal("9007199254740993.0")],
    (92, "a number where text belongs", changed(activity=12), TYPE),
    (92, "a number for a message", changed(detail={"message": 12, "levelname": "INFO"}), TYPE),
    (92, "a number for a user", changed(user_id=12), OK),
    *[
        (92, f"the id as {text!r}", changed(record_id=text), TYPE)
        for text in ("2", "1_000", "\u0662\u0660\u0662\u0664", "0x2", " 2")
    ],
    *[(92, "1_000 without quotes", item, SYNTAX) for item in literal("1_000", "record_id")],
    *[(92, "digits of another script", item, SYNTAX) for item in literal("\u0662", "record_id")],
    (93, "1.5", changed(record_id=1.5), TYPE),
    (93, "2.0", changed(record_id=2.0), TYPE),
    (94, "true", spelled(record_id=True), TYPE),
    (94, "true for a user", changed(user_id=True), TYPE),
    (94, "true for text", changed(url=True), TYPE),
    (95, "an id of -0.0", changed(record_id=-0.0), TYPE),
    *[(95, "an id of -0", item, RANGE) for item in literal("-0", "record_id")],
    (95, "a user of -0.0", changed(user_id=-0.0), TYPE),
    (95, "unknown", changed(extra=-0.0), OK),
    (95, "an arrival at -0.0", known(ArrivalTimeStamp=-0.0), "envelope TIME_OUT_OF_RANGE"),
    *[
        (96, f"{field} {name}", item, RANGE)
        for field in ("url", "user_id", "extra", "\ud800")
        for name, item in {
            "repr": changed(**{field: "a\ud800"}),
            "JSON": spelled(**{field: "a\ud800"}),
        }.items()
    ],
    (96, "in detail", changed(detail={"message": "\udfff"}), RANGE),
    (96, "a pair of them, in JSON", spelled(url="\ud83d\ude00"), OK),
    (97, "NUL in repr", changed(url="a\0b"), OK),
    (97, "NUL in JSON", spelled(url="a\0b"), OK),
    *[(97, "NUL as it is", item, SYNTAX) for item in literal('"a\0b"', "url")],
    (98, "a million keys", of(str(dict.fromkeys(map(str, range(10**6))))), "token TOKEN_TOO_LARGE"),
    (98, "1,001 keys", of(str({f"k{n}": 1 for n in range(1_001)})), TOO_DEEP),
    (98, "1,001 keys inside", changed(extra={f"k{n}": 1 for n in range(1_001)}), TOO_DEEP),
    (98, "1,000 keys", changed(**{f"k{n}": 1 for n in range(992)}), OK),
    (98, "256 KB and a byte", of(b"{}" + b" " * (256 * 1024 - 1)), "plaintext PLAINTEXT_TOO_LARGE"),
    (98, "256 KB", of(str(plaintext(2)).ljust(256 * 1024)), SAME),
    (98, "a text of 64 KB", changed(url="u" * 65_536), OK),
    (98, "a text of 64 KB and one", changed(url="u" * 65_537), RANGE),
    (99, "a and A", changed(a=1, A=2, Activity="x"), OK),
    (100, "every sign", changed(**{"a.b": 1, "c-d": 2, "e'f\"g": 3, "\U0001f600": 4, "": 5}), OK),
    (102, "a nested field", changed(detail={"message": "m", "trace": {"id": [1]}}), OK),
    (102, "detail is text now", changed(detail="POST view"), TYPE),
    (103, "inDate", lacking("inDate", in_date="2026-11-19T10:00:00.000Z"), MISSING),
    (103, "user_id", lacking("user_id", userId="a"), MISSING),
    (103, "activity", lacking("activity", action="view"), OK),
]

TIMES: list[tuple[int, str, object, str]] = [
    *[
        (105, repr(text), changed(inDate=text), expected)
        for text, expected in {
            "2026-11-19T10:00:00.000": OK,
            "2026-11-19 10:00:00": OK,
            "2026-11-19T10:00:00.000+14:00": OK,
            "2026-11-19T10:00:00.000-12:00": OK,
            "2026-11-19T10:00:00.000+00:00": OK,
            "2026-11-19T10:00:00.000+24:00": NO_TIME,
            "2026-11-19T10:00:00.000+09:60": NO_TIME,
            "0001-01-01T00:00:00+23:59": TOO_FAR,
            "9999-12-31T23:59:59.999-23:59": TOO_FAR,
            "2026-11-19T24:00:00.000Z": NO_TIME,
            "2026-11-19T10:00:60.000Z": NO_TIME,
            "2026-11-19T10:60:00.000Z": NO_TIME,
            "2024-W01-1": NO_TIME,
            "2024-W01-1T00:00:00Z": NO_TIME,
            "2024-366T00:00:00Z": NO_TIME,
            "20261119T100000Z": NO_TIME,
            "2024-02-30T12:00:00.000Z": NO_TIME,
            "2023-02-29T12:00:00.000Z": NO_TIME,
            "0000-01-01T00:00:00.000Z": NO_TIME,
            "9999-12-31T23:59:59.999Z": TOO_FAR,
            "+292278994-08-17T07:12:55.807Z": NO_TIME,
            "-2026-11-19T10:00:00.000Z": NO_TIME,
            "1700000000": NO_TIME,
            "\u0662\u0660\u0662\u0666-11-19T10:00:00.000Z": NO_TIME,
            "2026-11-19T10:00:00.000Z\n": NO_TIME,
            "2026-11-19T10:00:00.000z": NO_TIME,
            "2026-11-19T10:00:00.Z": NO_TIME,
            "2026-11-19T10:00:00.0000000000Z": NO_TIME,
            "": NO_TIME,
            "now": NO_TIME,
        }.items()
    ],
    *[
        (105, f"inDate {value}", changed(inDate=value), TYPE)
        for value in (1700000000, 1700000000000, 1700000000000000, 1700000000000000000, 1.7e9, True)
    ],
    *[(105, "inDate NaN", item, SYNTAX) for item in literal("NaN", "inDate")],
    *[
        (105, f"ArrivalTimeStamp {stamp}", known(ArrivalTimeStamp=stamp), expected)
        for stamp, expected in {
            1700000000: OK,
            1700000000000: SHAPE,
            1700000000000000: SHAPE,
            1700000000000000000: SHAPE,
            "1700000000": SHAPE,
            "NaN": SHAPE,
            float("nan"): SHAPE,
            float("inf"): SHAPE,
            None: SHAPE,
        }.items()
    ],
    (105, "ArrivalTimeStamp true", known(ArrivalTimeStamp=True), SHAPE),
    (105, "no ArrivalTimeStamp", without("ArrivalTimeStamp"), SHAPE),
    (106, "the far future", changed(inDate="2099-01-01T00:00:00.000Z"), TOO_FAR),
    (106, "a day from now in Seoul", changed(inDate="2026-11-21T12:00:00.000Z"), OK),
    (106, "a day and a millisecond", changed(inDate="2026-11-21T12:00:00.001Z"), TOO_FAR),
    (106, "1970", changed(inDate="1970-01-01T00:00:00.000Z"), TOO_FAR),
    (106, "the last millisecond before 2015", changed(inDate="2014-12-31T23:59:59.999Z"), TOO_FAR),
    (106, "midnight", changed(inDate="2026-11-19T00:00:00.000Z"), OK),
    (106, "the last leap day", changed(inDate="2024-02-29T23:59:59.999Z"), OK),
    (106, "a leap second", changed(inDate="2016-12-31T23:59:60.000Z"), NO_TIME),
    (107, "an hour late", changed(inDate="2026-11-19T09:00:02.000Z"), OK),
    (107, "3 days late", changed(inDate="2026-11-16T10:00:02.000Z"), OK),
    (107, "400 days late", changed(inDate="2025-10-15T10:00:02.000Z"), OK),
    (
        107,
        "an arrival from tomorrow's tomorrow",
        known(ArrivalTimeStamp=BASE["ArrivalTimeStamp"] + 4 * 86_400),
        "envelope TIME_OUT_OF_RANGE",
    ),
]

TWIN = known(data=seal(OLD, plaintext(2)))
PAIRS: list[tuple[int, str, object, object, str]] = [
    (45, "NFC and NFD", known(recordId="caf\u00e9"), known(recordId="cafe\u0301"), "TWO"),
    (
        46,
        "with and without a zero-width space",
        known(recordId="a\u200b"),
        known(recordId="a"),
        "TWO",
    ),
    (49, "the same token", BASE, dict(BASE), "D"),
    (49, "no id, the same token", without("recordId"), without("recordId"), "D"),
    (50, "encrypted anew", BASE, TWIN, "D"),
    (
        50,
        "no id, encrypted anew",
        without("recordId"),
        {k: v for k, v in TWIN.items() if k != "recordId"},
        "D",
    ),
    (51, "another plaintext", BASE, changed(url="/other"), "CONFLICT"),
    (
        51,
        "another plaintext under the old key",
        BASE,
        known(data=seal(OLD, plaintext(2, url="/"))),
        "CONFLICT",
    ),
]

CASES = [*ENVELOPES, *TOKENS, *PLAINTEXTS, *TIMES]
