"""Makes what the fuzzer offers: good records and known bad ones, mutated, at three depths.

Deterministic: the same seed and the same feedback make the same inputs.
"""

import base64
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.fernet import Fernet

from ingestion.canonical import spell
from tests.ingestion import bad_records
from tests.ingestion.envelopes import FETCHED_AT, plaintext

FIRST_ID = 7_000_000_000_001
"""The id in every seed; replaced by the record's own, which has as many digits."""

CANARY = "cAnArY-of-a-plaintext"
STAMP = datetime(2026, 11, 19, 10, tzinfo=UTC).timestamp()

_MAX_SEED_BYTES = 4_000
_BIG_EVERY = 10_000
_ID = str(FIRST_ID).encode()

_WORDS = [
    *(b"'", b'"', b"\\", b"{", b"}", b"[", b"]", b"(", b")", b",", b":", b" ", b"\n", b"#", b"\0"),
    *(b"'''", b'"""', b"{}", b"[]", b"()", b"(1,)", b"{1}", b"''", b'""', b", ", b": ", b"\\\n"),
    *(b"None", b"True", b"False", b"null", b"true", b"false", b"NaN", b"-Infinity", b"nan", b"inf"),
    *(
        b"0",
        b"-0",
        b"-0.0",
        b"1_0",
        b"01",
        b"0x1",
        b"1e999",
        b"-1e-999",
        b"1.",
        b".5",
        b"1j",
        b"--1",
    ),
    *(b"9223372036854775807", b"9223372036854775808", b"9" * 100, b"9" * 101, b"9" * 4_301),
    *(b"9007199254740993.0", b"1.7976931348623159e308", b"5e-324"),
    *(
        b"\\x41",
        b"\\x4",
        b"\\u00e9",
        b"\\ud800",
        b"\\U0001f600",
        b"\\U00110000",
        b"\\N{DASH}",
        b"\\777",
    ),
    *(b"\\\\", b"\\'", b'\\"', b"\\/", b"\\b", b"\\a", b"\\0", b"\\z"),
    *(
        t.encode()
        for t in ("\u00e9", "\u2028", "\ufeff", "\u202e", "\u0662", "\U0001f600", "\x85", "\xa0")
    ),
    *(b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\x1b[31m", b"\r\n"),
    *(b"[" * 63, b"[" * 65, b"[" * 1_200, b"{'a':" * 70, b'{"a":' * 70, b"]" * 64, b"}" * 70),
    *(b"__import__('os')", b"eval(1)", b"b'a'", b"r'a'", b"f'{1}'", b"u'a'", b"*a", b"**a", b"1+1"),
    *(f"'{name}'".encode() for name in (*plaintext(1), "message", "levelname", "$envelope")),
    *(f'"{name}":'.encode() for name in plaintext(1)),
    *(b"2026-11-19T10:00:00.000Z", b"2024-02-30", b"T24:00:00", b":60", b"+23:59", b"-00:00", b"Z"),
    *(
        b"0001-01-01T00:00:00+23:59",
        b"9999-12-31T23:59:59.999Z",
        b"1970-01-01T00:00:00Z",
        b"2024-W01-1",
    ),
]
_SCALARS: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**99),
    *(0.0, -0.0, 1.5, 1e308, 5e-324, 0.1, 1e16, 9007199254740993.0),
    *("", "a", " ", "'", '"', "\\", "'\"", "\0", "\n", "\u00e9", "\ud800", "\U0001f600", "\u2028"),
    *("None", "true", "1", "1_000", "{}", "a" * 300, "2026-11-19T10:00:00.000Z"),
]
_NAMES = [*plaintext(1), "message", "levelname", "$envelope", "", "a.b", "A", "\ud800", "x" * 70]
_MARKS = b"{}[]()'\":,\\ \n0123456789.eE+-_TFNtfnuxabUr"
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_JUNK = [*"+/=!? \n\r\t\0", "==", "\u00e9", "\ud800", "\u0661", '"', "gAAAA", "\u200b"]


class Sealer:
    """Encrypts like Fernet, but with dice in place of the operating system's."""

    def __init__(self, name: str, dice: random.Random) -> None:
        secret = hashlib.sha256(f"fuzz/{name}".encode()).digest()
        self.key = base64.urlsafe_b64encode(secret).decode()
        self._fernet = Fernet(self.key)
        self._dice = dice

    def seal(self, content: bytes, stamp: int = int(FETCHED_AT.timestamp())) -> str:
        return self._fernet._encrypt_from_parts(content, stamp, self._dice.randbytes(16)).decode()


@dataclass(slots=True)
class Input:
    """One envelope, and what it was made of if that may become a seed."""

    envelope: object
    depth: str
    content: Any = None


class Inputs:
    """A corpus, and the dice that mutate it."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.new = Sealer("new", self.dice)
        self.old = Sealer("old", self.dice)
        self.stranger = Sealer("stranger", self.dice)
        opener = Fernet(bad_records.NEW)
        good = plaintext(FIRST_ID, user_id=CANARY)
        self.plaintexts = [str(good).encode(), json.dumps(good).encode()]
        self.plaintexts += [str(good | {"url": CANARY + "it's"}).encode()]
        for _, _, item, _ in (*bad_records.PLAINTEXTS, *bad_records.TIMES):
            if isinstance(item, dict) and len(str(item.get("data"))) < _MAX_SEED_BYTES:
                content = opener.decrypt(item["data"])
                self.plaintexts.append(content.replace(b"record_id': 2,", b"record_id': %s," % _ID))
        self.tokens = [self.new.seal(self.plaintexts[0]), self.old.seal(self.plaintexts[1])]
        self.tokens += [self.stranger.seal(self.plaintexts[0]), self.new.seal(b"")]
        self.tokens += [
            item["data"]
            for number, _, item, _ in bad_records.TOKENS
            if isinstance(item, dict)
            and isinstance(item.get("data"), str)
            and number in (57, 58, 59, 61, 82)
            and len(item["data"]) < _MAX_SEED_BYTES
        ]
        whole = {"recordId": FIRST_ID, "ArrivalTimeStamp": STAMP, "data": self.tokens[0]}
        self.envelopes = [whole]
        for _, _, item, _ in bad_records.ENVELOPES:
            if len(spell(item)) < _MAX_SEED_BYTES:
                self.envelopes.append(_hurt(whole, item) if isinstance(item, dict) else item)

    def learn(self, item: Input) -> None:
        """Keep what reached a new place, to go on from there."""
        if item.depth == "plaintext" and len(item.content) < _MAX_SEED_BYTES:
            self.plaintexts.append(item.content)
        elif item.depth == "token" and len(item.content) < _MAX_SEED_BYTES:
            self.tokens.append(item.content)
        elif item.depth == "envelope" and len(spell(item.content)) < _MAX_SEED_BYTES:
            self.envelopes.append(item.content)

    def make(self, count: int, first_id: int) -> list[Input]:
        """Return so many new inputs; those that have an id have one of their own."""
        return [self._one(first_id + number) for number in range(count)]

    def _one(self, record_id: int) -> Input:
        draw = self.dice.random()
        if draw < 0.6:
            content = self._plaintext()
            depth, kept = "plaintext", content
            sealer = self.old if draw < 0.1 else self.new
            token = sealer.seal(content.replace(_ID, b"%d" % record_id))
        elif draw < 0.85:
            token = kept = self._token()
            depth = "token"
        else:
            envelope = self._envelope()
            made = envelope
            if isinstance(envelope, dict) and envelope.get("recordId") == FIRST_ID:
                made = {**envelope, "recordId": record_id}
            return Input(made, "envelope", envelope)
        made = {"recordId": record_id, "ArrivalTimeStamp": STAMP, "data": token}
        return Input(made, depth, kept)

    # ---------- plaintexts

    def _plaintext(self) -> bytes:
        dice = self.dice
        if dice.random() < 0.25:
            return self._written()
        content = bytearray(dice.choice(self.plaintexts))
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5, 8))):
            self._mutate(content)
        if dice.randrange(_BIG_EVERY) == 0:
            content = content * dice.randrange(2, 900)
        return bytes(content[:300_000])

    def _mutate(self, content: bytearray) -> None:
        dice = self.dice
        here = dice.randrange(len(content) + 1)
        there = min(len(content), here + dice.choice((1, 1, 2, 4, 8, 30, 200)))
        way = dice.randrange(10)
        if way == 0 and here < len(content):
            content[here] ^= 1 << dice.randrange(8)
        elif way == 1 and here < len(content):
            content[here] = dice.choice(_MARKS)
        elif way == 2:
            del content[here:there]
        elif way == 3:
            content[here:here] = content[here:there] * dice.choice((1, 1, 2, 50))
        elif way in (4, 5):
            content[here:here] = dice.choice(_WORDS)
        elif way == 6:
            content[here:there] = dice.choice(_WORDS)
        elif way == 7:
            other = dice.choice(self.plaintexts)
            begin = dice.randrange(len(other) + 1)
            content[here:] = other[begin:]
        elif way == 8:
            del content[here:]
        else:
            name = dice.choice(_MARKS)
            content[:] = content.replace(bytes([name]), bytes([dice.choice(_MARKS)]))

    def _written(self) -> bytes:
        """Return a record by the grammar, with a few values that may not be, as JSON or repr."""
        dice = self.dice
        fields = plaintext(FIRST_ID, user_id=CANARY)
        for _ in range(dice.choice((0, 1, 1, 2, 4))):
            fields[dice.choice(_NAMES)] = self._value(dice.choice((0, 0, 0, 1, 3)))
        for _ in range(dice.choice((0, 0, 1, 2))):
            fields.pop(dice.choice(_NAMES), None)
        spelled: Callable[[Any], str] = dice.choice((repr, repr, json.dumps))
        try:
            text = spelled(fields)
        except (TypeError, ValueError):
            text = repr(fields)
        return text.encode("utf-8", "surrogatepass")

    def _value(self, depth: int) -> Any:
        dice = self.dice
        if depth == 0:
            return dice.choice(_SCALARS)
        inner = [self._value(depth - 1) for _ in range(dice.randrange(4))]
        way = dice.randrange(4)
        if way == 0:
            return {dice.choice(_NAMES): value for value in inner}
        if way == 1:
            return tuple(inner)
        return inner if way == 2 else {"detail": inner}

    # ---------- tokens

    def _token(self) -> str:
        dice = self.dice
        if dice.random() < 0.2:
            return self._forged()
        token = dice.choice(self.tokens)
        for _ in range(dice.choice((1, 1, 2, 3))):
            here = dice.randrange(len(token) + 1)
            there = min(len(token), here + dice.choice((1, 1, 4, 16, 100)))
            way = dice.randrange(8)
            if way == 0:
                token = token[:here] + dice.choice(_BASE64) + token[here + 1 :]
            elif way == 1:
                token = token[:here] + token[there:]
            elif way == 2:
                token = token[:here] + dice.choice(_JUNK) + token[here:]
            elif way == 3:
                token = token[:here]
            elif way == 4:
                token = token[:here] + dice.choice(self.tokens)[here:]
            elif way == 5:
                token = token.translate(dice.choice(_SWAPS))
            elif way == 6:
                token = token[:here] + token[here:there] * 2 + token[there:]
            else:
                token = token + dice.choice(("=", "==", "\n", "A", "  ", token))
        if dice.randrange(_BIG_EVERY) == 0:
            token = token * dice.randrange(2, 3_000)
        return token

    def _forged(self) -> str:
        """Return bytes in the shape of a token; the signature may be right, the rest not."""
        dice = self.dice
        way = dice.randrange(4)
        if way == 0:  # every time there is, under a good signature
            stamp = dice.choice((0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 253402300800))
            return self.new.seal(self.plaintexts[0], stamp)
        if way == 1:  # a token inside a token
            return self.new.seal(dice.choice(self.tokens).encode("utf-8", "surrogatepass"))
        raw = b"\x80" + dice.randbytes(24 + 16 * dice.randrange(0, 20) + 32)
        if way == 2:
            raw = raw[: dice.randrange(len(raw) + 1)]
        return base64.urlsafe_b64encode(raw).decode()

    # ---------- envelopes

    def _envelope(self) -> object:
        dice = self.dice
        found = dice.choice(self.envelopes)
        if not isinstance(found, dict) or dice.random() < 0.02:
            return self._value(dice.randrange(3))
        envelope = dict(found)
        for _ in range(dice.choice((1, 1, 2))):
            name = dice.choice(("recordId", "ArrivalTimeStamp", "data", "data", "extra", ""))
            way = dice.randrange(4)
            if way == 0:
                envelope.pop(name, None)
            elif way == 1:
                envelope[name] = self._value(dice.choice((0, 0, 1, 2)))
            elif way == 2:
                envelope[name] = dice.choice((STAMP * 1_000, -STAMP, 1e300, 10**300, 2**70, 1.5))
            else:
                envelope[name] = dice.choice(self.tokens)
        return envelope


def _hurt(whole: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """Return a good envelope with what is bad about a known bad one."""
    hurt = {name: value for name, value in item.items() if bad_records.BASE.get(name) != value}
    return {name: value for name, value in whole.items() if name in item} | hurt


_SWAPS = [
    str.maketrans("-_", "+/"),
    str.maketrans("+/", "-_"),
    str.maketrans("ABC", "abc"),
    str.maketrans("=", "A"),
    str.maketrans("A", "\u0410"),
]
