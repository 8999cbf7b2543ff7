"""Many tokens at once: what they hold, or that no key opens them. Pure; decides nothing unclear.

A row is taken only if its text is base64 without a stray character, its shape is a token's, and
its own signature was checked; ``KeyRing.open`` says the same of each such row, and judges all the
others. What can be is done once for many tokens: by ``kernel``, or without it by groups of one
length, whose base64, AES and slicing are one call each.
"""

import hmac
import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ingestion import kernel
from ingestion.keys import Halves, KeyRing

MIN_ROWS = 16
"""A smaller group costs less one by one."""

MAX_ROWS = 2_048
"""Rows decoded at once: a megabyte, which a processor's cache holds."""

MAX_CHARACTERS = 4_096
"""Longer tokens are rare, and judged one by one, so that a slice of a batch has its bounds."""

JUNK = 16
"""Bytes of a decrypted row before its plaintext: what its IV became. Cutting them off is a copy."""

_MAC = 32
_IV_AT = 9
_OVERHEAD = 57
_BAD = b"!"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TABLE = bytearray(_BAD * 256)
for _letter, _standard in zip(_LETTERS + b"-_+/", _LETTERS + b"+/+/", strict=True):
    _TABLE[_letter] = _standard
_BASE64 = msgspec.json.Decoder(bytes)

# Freed at once, it makes glibc's malloc keep what it got from the kernel from now on. Page faults
# in fresh buffers of a megabyte cost as much as everything that is done in them.
bytearray(16 * 2**20)


class Tokens(Sequence[str]):
    """Texts that lie in one buffer."""

    __slots__ = ("_begins", "_lengths", "at", "sizes", "text")

    def __init__(self, text: pa.Buffer, at: pa.Array, sizes: pa.Array) -> None:
        self.text = text
        self.at = at
        self.sizes = sizes
        self._begins, self._lengths = kernel.numbers(at), kernel.numbers(sizes)

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Tokens":
        """Copy texts into one buffer; what no token can be, as nothing."""
        if isinstance(texts, Tokens):
            return texts
        fit = [text if len(text) <= MAX_CHARACTERS and text.isascii() else "" for text in texts]
        sizes = pa.array(map(len, fit), pa.int32())
        at = pc.subtract(pc.cumulative_sum(sizes), sizes)
        return cls(pa.py_buffer("".join(fit).encode("ascii")), at, sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, place: Any) -> Any:
        begin = self._begins[place]
        return str(memoryview(self.text)[begin : begin + self._lengths[place]], "ascii")


@dataclass(frozen=True, slots=True)
class Plain:
    """Decrypted rows; every array has one value for each."""

    places: pa.Array
    rows: pa.BinaryArray
    """``JUNK`` bytes, then a plaintext with its padding, which is yet to be checked."""
    key_fingerprints: pa.Array


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of the tokens that were offered."""

    plain: list[Plain] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    """Places of well-formed tokens that no key of the ring has signed."""
    rest: list[int] = field(default_factory=list)
    """Places of the tokens that nothing was said about."""


def numbered(places: Sequence[int]) -> pa.Array:
    """Return places as 32-bit integers; a range costs next to nothing."""
    if isinstance(places, range):
        return pa.arange(places.start, places.stop, places.step).cast(pa.int32())
    return pa.array(places, pa.int32())


def open_all(
    tokens: Sequence[str], places: Sequence[int], ring: KeyRing, latest: pa.UInt64Array
) -> Opened:
    """Open the tokens at ``places``; ``latest`` is the newest stamp that each of them may have."""
    if kernel.LIBRARY:
        return _opened_in_c(kernel.LIBRARY, Tokens.of(tokens), places, ring, latest)
    return _opened_by_length(tokens, places, ring, latest)


# ---------- in C


def _opened_in_c(
    library: kernel.Library,
    tokens: Tokens,
    places: Sequence[int],
    ring: KeyRing,
    latest: pa.UInt64Array,
) -> Opened:
    at, sizes = tokens.at, tokens.sizes
    wanted = numbered(places)
    if len(places) < len(tokens):
        at, sizes, latest = at.take(wanted), sizes.take(wanted), latest.take(wanted)
    opened = Opened()
    rows = kernel.Rows(len(places), kernel.room(sizes, MAX_CHARACTERS))
    marks: list[pa.Array] = []
    for begin in range(0, len(places), MAX_ROWS):
        some = slice(begin, begin + MAX_ROWS)
        raw = library.decode(tokens.text, at[some], sizes[some], MAX_CHARACTERS)
        left = raw.tokens
        keys = ring.halves(raw.first_stamp()) if left else []
        for key in keys:
            found = library.verify(key.pads(library), raw, latest[some], begin, rows)
            if found.count:
                key.decrypt_into(found.signed, found.plain)
                marks.append(pa.repeat(key.fingerprint, found.count))
                left -= found.count
            if not left:
                break
        if left or raw.tokens < raw.count:
            here = wanted[some]
            unopened = here.take(raw.rows_in(kernel.TOKEN)).to_pylist()
            (opened.unknown if keys else opened.rest).extend(unopened)
            opened.rest.extend(here.take(raw.rows_in(kernel.REST)).to_pylist())
    if rows.count:
        fingerprints = pa.concat_arrays(marks)
        opened.plain.append(Plain(wanted.take(rows.opened()), rows.array(), fingerprints))
    return opened


# ---------- by groups of one length


def _opened_by_length(
    tokens: Sequence[str], places: Sequence[int], ring: KeyRing, latest: pa.UInt64Array
) -> Opened:
    opened = Opened()
    soonest = pc.min(latest).as_py() or 0
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for place in places:
        by_length[len(tokens[place])].append(place)
    for length, group in by_length.items():
        raw_length = length // 4 * 3
        padding = (raw_length - _OVERHEAD) % 16
        is_token = length % 4 == 0 and padding <= 2 and raw_length - padding > _OVERHEAD
        if not is_token or len(group) < MIN_ROWS or length > MAX_CHARACTERS:
            opened.rest.extend(group)
            continue
        for begin in range(0, len(group), MAX_ROWS):
            some = group[begin : begin + MAX_ROWS]
            _open(tokens, some, ring, latest, soonest, padding, opened)
    return opened


def _open(
    tokens: Sequence[str],
    places: list[int],
    ring: KeyRing,
    latest: pa.UInt64Array,
    soonest: int,
    padding: int,
    opened: Opened,
) -> None:
    """Open tokens of one length, a multiple of four, that has so much padding."""
    places, raw = _raw(tokens, places, padding, opened)
    if not places:
        return
    count = len(places)
    width = len(raw) // count
    signed_length = width - padding - _MAC
    table = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, pa.py_buffer(raw)])
    heads = pc.binary_slice(table, 1, _IV_AT)
    stamps = struct.unpack(f">{count}Q", heads.buffers()[1])
    keys = ring.halves(stamps[0])
    if not keys:
        opened.rest.extend(places)
        return
    signed = [
        row for (row,) in struct.iter_unpack(f"{signed_length}s{width - signed_length}x", raw)
    ]
    given = pc.binary_slice(table, signed_length, width - padding).buffers()[1].to_pybytes()
    is_late_possible = max(stamps) > soonest
    left = list(range(count))
    for key in keys:
        good, left = _signed_by(key, signed, given, left)
        if is_late_possible:
            until = latest.take(pa.array(places, pa.int32())).to_pylist()
            opened.rest.extend(places[row] for row in good if stamps[row] > until[row])
            good = [row for row in good if stamps[row] <= until[row]]
        if len(good) == count:
            opened.plain.append(_decrypted(key, places, table, signed_length))
        elif good:
            part = table.take(pa.array(good, pa.int32()))
            some = [places[row] for row in good]
            opened.plain.append(_decrypted(key, some, part, signed_length))
        if not left:
            return
    opened.unknown.extend(places[row] for row in left)


def _raw(
    tokens: Sequence[str], places: list[int], padding: int, opened: Opened
) -> tuple[list[int], bytes]:
    """Return the places of what is clean base64 of a token, and its bytes, row behind row."""
    text = "".join([tokens[place] for place in places])
    if not text.isascii():
        strange = {row for row, place in enumerate(places) if not tokens[place].isascii()}
        places = _without(strange, places, opened)
        text = "".join([tokens[place] for place in places])
    if not places:
        return [], b""
    length = len(tokens[places[0]])
    content = bytearray(f'"{text}"'.encode("ascii"))
    bad = _unpadded(content, length, padding, len(places))
    content = content.translate(_TABLE)
    for behind in range(padding):
        # Each row ends where its last four characters end; the surplus is cut off.
        content[length - behind : -1 : length] = b"A" * len(places)
    content[0] = content[-1] = ord('"')
    bad |= _strayed(content, length)
    if bad:
        rows = (
            begin for row, begin in enumerate(range(1, len(content) - 1, length)) if row not in bad
        )
        content = bytearray(b'"%b"' % b"".join([content[begin : begin + length] for begin in rows]))
        places = _without(bad, places, opened)
    raw = _BASE64.decode(content)
    bad = _misversioned(raw, len(places)) if places else set()
    if bad:
        width = len(raw) // len(places)
        rows = (begin for row, begin in enumerate(range(0, len(raw), width)) if row not in bad)
        raw = b"".join([raw[begin : begin + width] for begin in rows])
        places = _without(bad, places, opened)
    return places, raw


def _without(bad: set[int], places: list[int], opened: Opened) -> list[int]:
    opened.rest.extend(places[row] for row in bad)
    return [place for row, place in enumerate(places) if row not in bad]


def _unpadded(content: bytearray, length: int, padding: int, count: int) -> set[int]:
    """Return the rows that do not end in their padding; there is a mark before and behind them."""
    bad: set[int] = set()
    for behind in range(padding):
        column = content[length - behind : -1 : length]
        if column.count(b"=") != count:
            bad |= {row for row, sign in enumerate(column) if sign != ord("=")}
    return bad


def _strayed(content: bytearray, length: int) -> set[int]:
    bad = set()
    place = content.find(_BAD, 1)
    while place >= 0:
        row = (place - 1) // length
        bad.add(row)
        place = content.find(_BAD, 1 + (row + 1) * length)
    return bad


def _misversioned(raw: bytes, count: int) -> set[int]:
    versions = raw[:: len(raw) // count]
    if versions.count(b"\x80") == count:
        return set()
    return {row for row, version in enumerate(versions) if version != 0x80}


def _signed_by(
    key: Halves, signed: Sequence[bytes], given: bytes, rows: list[int]
) -> tuple[list[int], list[int]]:
    """Return which rows a key has signed, and which not. No comparison ends early."""
    is_all = len(rows) == len(signed)
    tags = key.tags(signed if is_all else [signed[row] for row in rows])
    if is_all and hmac.compare_digest(b"".join(tags), given):
        return rows, []
    good: list[int] = []
    left: list[int] = []
    for row, tag in zip(rows, tags, strict=True):
        is_good = hmac.compare_digest(tag, given[row * _MAC : (row + 1) * _MAC])
        (good if is_good else left).append(row)
    return good, left


def _decrypted(
    key: Halves, places: list[int], tokens: pa.FixedSizeBinaryArray, signed_length: int
) -> Plain:
    rows = pc.binary_slice(tokens, _IV_AT, signed_length)
    width = rows.type.byte_width
    size = width * len(rows)
    plain = pa.allocate_buffer(size + JUNK)
    key.decrypt_into(memoryview(rows.buffers()[1]).cast("B")[:size], memoryview(plain).cast("B"))
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, plain])
    return Plain(
        pa.array(places, pa.int32()), array.cast(pa.binary()), pa.repeat(key.fingerprint, len(rows))
    )
