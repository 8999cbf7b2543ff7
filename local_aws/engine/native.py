"""Functions that DuckDB has not and Python has: registered under ``py_...`` for the translations.

Each takes and gives plain values and never sees a null. A failure is ``fail(...)``, which comes
back as Athena's error, or as null inside TRY.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import struct
import unicodedata
import urllib.parse
import zlib
from collections.abc import Callable
from datetime import date, timedelta
from statistics import NormalDist
from typing import Any, NoReturn

from local_aws.engine import hashes, native_text
from local_aws.engine.native_json import canonical, number, standard


def fail(text: str, name: str = "INVALID_FUNCTION_ARGUMENT") -> NoReturn:
    """Fail the query with Athena's name of the reason."""
    raise ValueError(f"LOCAL_FAIL|{name}|{text}|")


# ------------------------------------------------------------------------- bytes


def _hmac(name: str) -> Callable[[bytes, bytes], bytes]:
    return lambda data, key: hmac.new(key, data, name).digest()


def _from_hex(text: str) -> bytes:
    if len(text) % 2:
        fail(f"invalid input length {len(text)}")
    try:
        return bytes.fromhex(text)
    except ValueError:
        fail(f"Invalid hexadecimal text: {text}")


def _decoded(decode: Callable[[str], bytes]) -> Callable[[str], bytes]:
    def wrapped(text: str) -> bytes:
        try:
            return decode(text)
        except (binascii.Error, ValueError) as error:
            fail(str(error))

    return wrapped


def _from_utf8(data: bytes, replacement: str) -> str:
    return data.decode("utf-8", errors="replace").replace("\ufffd", replacement)


def _pad(data: bytes, size: int, filling: bytes, *, left: bool) -> bytes:
    if not filling:
        fail("Padding bytes must not be empty")
    missing = size - len(data)
    if missing <= 0:
        return data[: max(size, 0)]
    more = (filling * (missing // len(filling) + 1))[:missing]
    return more + data if left else data + more


def _sized(size: int, form: str) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        if len(data) != size:
            fail(f"expected {size}-byte input, but got instead: {len(data)}")
        return struct.unpack(form, data)[0]

    return read


# ------------------------------------------------------------------------- numbers in other bases

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _from_base(text: str, radix: int) -> int:
    if not 2 <= radix <= 36:
        fail("Radix must be between 2 and 36")
    try:
        value = int(text, radix)
    except ValueError:
        fail(f"Not a valid base-{radix} number: {text}")
    if not -(2**63) <= value < 2**63:
        fail(f"Not a valid base-{radix} number: {text}")
    return value


def _to_base(value: int, radix: int) -> str:
    if not 2 <= radix <= 36:
        fail("Radix must be between 2 and 36")
    sign, rest, out = ("-" if value < 0 else ""), abs(value), ""
    while rest or not out:
        rest, digit = divmod(rest, radix)
        out = _DIGITS[digit] + out
    return sign + out


def _luhn(text: str) -> bool:
    if not text.isascii() or not text.isdigit():
        fail(f"Input must contain only digits: {text}")
    doubled = [int(c) * (1 + i % 2) for i, c in enumerate(reversed(text))]
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def _bit_count(value: int, bits: int) -> int:
    if not 2 <= bits <= 64:
        fail("Bits specified in bit_count must be between 2 and 64, got " + str(bits))
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        fail(f"Number must be representable with the bits specified. {value} cannot be "
             f"represented with {bits} bits")  # fmt: skip
    return (value & ((1 << bits) - 1)).bit_count()


# ------------------------------------------------------------------------- URLs


def _url_encode(text: str) -> str:
    return urllib.parse.quote_plus(text, safe="*-._").replace("~", "%7E")


def _url_parameter(query: str, name: str) -> str | None:
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if urllib.parse.unquote(key) == name:
            return urllib.parse.unquote(value)
    return None


def _iso_date(text: str) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d{3}", text):
            return date(int(text[:4]), 1, 1) + timedelta(days=int(text[5:]) - 1)
        return date.fromisoformat(f"{text}-1" if re.fullmatch(r"\d{4}-W\d\d", text) else text)
    except ValueError:
        fail(f'Invalid format: "{text}"')


def _normal(mean: float, deviation: float) -> NormalDist:
    if deviation <= 0:
        fail("standardDeviation must be > 0")
    return NormalDist(mean, deviation)


def _inverse_normal(mean: float, deviation: float, share: float) -> float:
    if not 0 < share < 1:
        fail("p must be 0 > p > 1")
    return _normal(mean, deviation).inv_cdf(share)


def _json_array_contains(text: str, wanted: str) -> bool | None:
    try:
        items = json.loads(text)
    except ValueError:
        return None
    if not isinstance(items, list):
        return None
    value = json.loads(wanted)
    return any(
        item == value and isinstance(item, bool) == isinstance(value, bool) for item in items
    )


Function = tuple[str, Callable[..., Any], str]
"""Name, function, and its types: ``BLOB, BLOB -> BLOB``."""

FUNCTIONS: list[Function] = [
    *((f"py_hmac_{name}", _hmac(name), "BLOB, BLOB -> BLOB")
      for name in ("md5", "sha1", "sha256", "sha512")),
    ("py_sha512", lambda data: hashlib.sha512(data).digest(), "BLOB -> BLOB"),
    ("py_crc32", zlib.crc32, "BLOB -> BIGINT"),
    ("py_xxhash64", hashes.xxhash64, "BLOB -> BLOB"),
    ("py_murmur3", hashes.murmur3, "BLOB -> BLOB"),
    ("py_from_hex", _from_hex, "VARCHAR -> BLOB"),
    ("py_to_base64url", lambda d: base64.urlsafe_b64encode(d).decode(), "BLOB -> VARCHAR"),
    ("py_from_base64url", _decoded(lambda t: base64.urlsafe_b64decode(t + "=" * (-len(t) % 4))),
     "VARCHAR -> BLOB"),
    ("py_to_base32", lambda d: base64.b32encode(d).decode(), "BLOB -> VARCHAR"),
    ("py_from_base32", _decoded(base64.b32decode), "VARCHAR -> BLOB"),
    ("py_from_utf8", _from_utf8, "BLOB, VARCHAR -> VARCHAR"),
    ("py_lpad", lambda d, n, f: _pad(d, n, f, left=True), "BLOB, BIGINT, BLOB -> BLOB"),
    ("py_rpad", lambda d, n, f: _pad(d, n, f, left=False), "BLOB, BIGINT, BLOB -> BLOB"),
    ("py_reverse", lambda d: d[::-1], "BLOB -> BLOB"),
    ("py_pack_64", lambda v: struct.pack(">q", v), "BIGINT -> BLOB"),
    ("py_pack_32", lambda v: struct.pack(">i", v), "INTEGER -> BLOB"),
    ("py_pack_double", lambda v: struct.pack(">d", v), "DOUBLE -> BLOB"),
    ("py_pack_real", lambda v: struct.pack(">f", v), "FLOAT -> BLOB"),
    ("py_unpack_64", _sized(8, ">q"), "BLOB -> BIGINT"),
    ("py_unpack_32", _sized(4, ">i"), "BLOB -> INTEGER"),
    ("py_unpack_double", _sized(8, ">d"), "BLOB -> DOUBLE"),
    ("py_unpack_real", _sized(4, ">f"), "BLOB -> FLOAT"),
    ("py_from_base", _from_base, "VARCHAR, BIGINT -> BIGINT"),
    ("py_to_base", _to_base, "BIGINT, BIGINT -> VARCHAR"),
    ("py_luhn", _luhn, "VARCHAR -> BOOLEAN"),
    ("py_bit_count", _bit_count, "BIGINT, BIGINT -> BIGINT"),
    ("py_url_encode", _url_encode, "VARCHAR -> VARCHAR"),
    ("py_url_unquote", urllib.parse.unquote, "VARCHAR -> VARCHAR"),
    ("py_url_parameter", _url_parameter, "VARCHAR, VARCHAR -> VARCHAR"),
    ("py_normalize", lambda text, form: unicodedata.normalize(form, text),
     "VARCHAR, VARCHAR -> VARCHAR"),
    ("py_iso_date", _iso_date, "VARCHAR -> DATE"),
    ("py_normal_cdf", lambda m, d, v: _normal(m, d).cdf(v), "DOUBLE, DOUBLE, DOUBLE -> DOUBLE"),
    ("py_inverse_normal_cdf", _inverse_normal, "DOUBLE, DOUBLE, DOUBLE -> DOUBLE"),
    ("py_json_sorted", canonical, "VARCHAR -> VARCHAR"),
    ("py_json_standard", standard, "VARCHAR, VARCHAR, VARCHAR -> VARCHAR[]"),
    ("py_json_number", number, "VARCHAR, VARCHAR -> VARCHAR"),
    ("py_json_array_contains", _json_array_contains, "VARCHAR, VARCHAR -> BOOLEAN"),
    *native_text.FUNCTIONS,
]  # fmt: skip


def install(database: Any) -> None:
    """Register them in a DuckDB instance, for all its connections."""
    for name, function, types in FUNCTIONS:
        given, result = types.split(" -> ")
        types_in = given.split(", ")
        # DuckDB's own handling of nulls does not let a function give one.
        database.create_function(
            name, _of_values(function, len(types_in)), types_in, result, null_handling="special"
        )


def _of_values(function: Callable[..., Any], arity: int) -> Callable[..., Any]:
    """The function, null for null; DuckDB counts the parameters, so there is one for each."""

    def guard(*args: Any) -> Any:
        return None if None in args else function(*args)

    return (
        lambda a: None if a is None else function(a),
        lambda a, b: guard(a, b),
        lambda a, b, c: guard(a, b, c),
        lambda a, b, c, d: guard(a, b, c, d),
    )[arity - 1]
