"""The inner loops in C, where they were built; ``tokens`` and ``batches`` do the same without.

``make setup`` compiles ``kernel.c`` with nothing but a C compiler. SHA-256 is that of the OpenSSL
which Python's own hashlib is linked with. Where either is missing, or does not give what is known
to be right, ``LIBRARY`` is None, and the same rows come out, more slowly.
"""

import base64
import ctypes
import hmac
import logging
from ctypes import c_int32, c_int64, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

logger = logging.getLogger(__name__)

PATH = Path(__file__).with_name("libkernel.so")

REST, TOKEN = 0, 1
"""States of rows: nothing is said about it; a token in shape, which no key has opened."""

_ABI = 1
_SHA256_BLOCK = 64
_SHA256_CONTEXT = 128
_AES_BLOCK = 16
_LEAST_ENVELOPE = 48
"""Bytes that an envelope has without its values."""

_SIGNATURES = {
    "kernel_scan": [c_void_p, c_int64, c_int64, *[c_void_p] * 6],
    "kernel_decode": [*[c_void_p] * 3, c_int64, c_int32, *[c_void_p] * 4],
    "kernel_verify": [*[c_void_p] * 6, c_int64, *[c_void_p] * 3, c_int32, c_void_p, c_int32]
    + [c_void_p] * 2,
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Members of envelopes, and where they are in the text."""

    ids: pa.Array
    milliseconds: pa.Array
    """Arrival times by the source's clock, whatever that means."""
    begins: pa.Array
    ends: pa.Array
    token_at: pa.Array
    token_sizes: pa.Array

    def part(self, rows: slice) -> "Columns":
        """Return some of the rows, without a copy."""
        return Columns(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Pads:
    """SHA-256 after the two pads of an HMAC key, as OpenSSL keeps it; as secret as the key."""

    inner: bytes
    outer: bytes


@dataclass(frozen=True, slots=True)
class Raw:
    """Tokens without their base64, one row each; a row that is no token in shape is empty."""

    count: int
    tokens: int
    bytes: pa.Buffer
    offsets: pa.Buffer
    states: pa.Buffer
    stamps: pa.Buffer

    def first_stamp(self) -> int:
        """Return the stamp of the first row."""
        return c_uint64.from_address(self.stamps.address).value

    def rows_in(self, state: int) -> pa.Array:
        """Return the numbers of the rows that are in a state."""
        states = _array(pa.uint8(), self.count, self.states)
        return pc.indices_nonzero(pc.equal(states, state))


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that one key has signed."""

    count: int
    signed: memoryview
    """IV and ciphertext, one row behind the other."""
    plain: memoryview
    """Where they are to be decrypted to, with room for a block more."""


class Rows:
    """Room for decrypted rows, and what lies in it so far."""

    def __init__(self, most: int, size: int) -> None:
        """Make room for so many rows of so many bytes together."""
        self.plain = pa.allocate_buffer(size + _AES_BLOCK)
        self.ends = pa.allocate_buffer(4 * (most + 1))
        self.numbers = pa.allocate_buffer(4 * most)
        self.count = self.end = 0
        ctypes.memset(self.ends.address, 0, 4)

    def array(self) -> pa.BinaryArray:
        """Return the rows."""
        return pa.Array.from_buffers(pa.binary(), self.count, [None, self.ends, self.plain])

    def opened(self) -> pa.Array:
        """Return their numbers among all that were offered."""
        return _array(pa.int32(), self.count, self.numbers)


class Library:
    """The functions of ``kernel.c``, on Arrow's buffers."""

    def __init__(self, path: Path) -> None:
        """Load them and see that they give what is known to be right.

        Raises:
            ImportError, OSError, AttributeError: if a part is missing, or is another one.
        """
        import _hashlib

        self._c = ctypes.CDLL(str(path))
        # It is searched with all that it is linked with, so this is its OpenSSL.
        openssl: Any = ctypes.CDLL(_hashlib.__file__)
        self._init, self._update = openssl.SHA256_Init, openssl.SHA256_Update
        self._init.argtypes = [c_void_p]
        self._update.argtypes = [c_void_p, c_void_p, ctypes.c_size_t]
        self._sha256 = [ctypes.cast(f, c_void_p) for f in (self._update, openssl.SHA256_Final)]
        for name, kinds in _SIGNATURES.items():
            function = getattr(self._c, name)
            function.argtypes, function.restype = kinds, c_int64
        if self._c.kernel_abi() != _ABI or not self._is_right():
            raise ImportError("it does not give what is known to be right; run make setup")

    def _is_right(self) -> bool:
        key, content = bytes(range(16)), b"\x80" + bytes(range(40))
        tags = (hmac.digest(key, content, "sha256"), bytes(32))
        texts = [base64.urlsafe_b64encode(content + tag) for tag in tags]
        at = pa.array([0, len(texts[0])], pa.int32())
        sizes = pa.array(map(len, texts), pa.int32())
        raw = self.decode(pa.py_buffer(b"".join(texts)), at, sizes, len(texts[0]))
        latest = pa.array([2**64 - 1] * 2, pa.uint64())
        found = self.verify(self.pads(key), raw, latest, 0, Rows(2, room(sizes, len(texts[0]))))
        return raw.tokens == 2 and bytes(found.signed) == content[9:]

    def scan(self, body: bytes) -> Columns | None:
        """Read an array of envelopes that are all in the source's own form; None if not."""
        most = len(body) // _LEAST_ENVELOPE
        wide = [pa.allocate_buffer(8 * most) for _ in range(2)]
        narrow = [pa.allocate_buffer(4 * most) for _ in range(4)]
        places = map(_address, (*wide, *narrow))
        count = self._c.kernel_scan(_address(pa.py_buffer(body)), len(body), most, *places)
        if count < 0:
            return None
        return Columns(
            *(_array(pa.int64(), count, buffer) for buffer in wide),
            *(_array(pa.int32(), count, buffer) for buffer in narrow),
        )

    def pads(self, key: bytes) -> Pads:
        """Return what a signing key of at most 64 bytes makes of SHA-256."""
        made = []
        for pad in (0x36, 0x5C):
            context = ctypes.create_string_buffer(_SHA256_CONTEXT)
            self._init(context)
            block = bytes(sign ^ pad for sign in key.ljust(_SHA256_BLOCK, b"\0"))
            self._update(context, block, len(block))
            made.append(context.raw)
        return Pads(*made)

    def decode(self, text: pa.Buffer, at: pa.Array, sizes: pa.Array, most: int) -> Raw:
        """Decode the base64 of tokens; those that are longer than ``most`` are none."""
        count = len(sizes)
        raw, offsets = pa.allocate_buffer(room(sizes, most)), pa.allocate_buffer(4 * (count + 1))
        states, stamps = pa.allocate_buffer(count), pa.allocate_buffer(8 * count)
        tokens = self._c.kernel_decode(
            _address(text),
            _values(at),
            _values(sizes),
            count,
            most,
            *map(_address, (raw, offsets, states, stamps)),
        )
        return Raw(count, tokens, raw, offsets, states, stamps)

    def verify(self, pads: Pads, raw: Raw, latest: pa.Array, first: int, rows: Rows) -> Found:
        """Find the rows that a key has signed, and enter them in ``rows``, counted from first."""
        signed = pa.allocate_buffer(raw.bytes.size)
        count = self._c.kernel_verify(
            *self._sha256,
            pads.inner,
            pads.outer,
            _address(raw.bytes),
            _address(raw.offsets),
            raw.count,
            _address(raw.stamps),
            _values(latest),
            _address(raw.states),
            first,
            _address(signed),
            rows.end,
            _address(rows.ends) + 4 * (rows.count + 1),
            _address(rows.numbers) + 4 * rows.count,
        )
        begin = rows.end
        rows.count += count
        rows.end = c_int32.from_address(_address(rows.ends) + 4 * rows.count).value
        plain = memoryview(rows.plain).cast("B")[begin:]
        return Found(count, memoryview(signed).cast("B")[: rows.end - begin], plain)


def numbers(array: pa.Array) -> memoryview:
    """Return an array of 32-bit integers as one that is quick to look things up in."""
    values = memoryview(array.buffers()[1]).cast("B").cast("i")
    return values[array.offset : array.offset + len(array)]


def room(sizes: pa.Array, most: int) -> int:
    """Return how many bytes tokens of these sizes hold at most; longer than ``most`` is none.

    Raises:
        ValueError: if these are more than Arrow's texts can be.
    """
    size = (pc.sum(pc.min_element_wise(sizes, most)).as_py() or 0) * 3 // 4
    if size >= 2**31:
        raise ValueError(f"{len(sizes)} tokens are too many to be decoded together")
    return int(size)


def _address(buffer: pa.Buffer) -> int:
    return int(buffer.address)


def _values(array: pa.Array) -> int:
    """Return where the values of an array begin, which has no nulls."""
    return _address(array.buffers()[1]) + int(array.offset) * int(array.type.bit_width) // 8


def _array(kind: pa.DataType, count: int, values: pa.Buffer) -> pa.Array:
    return pa.Array.from_buffers(kind, count, [None, values])


def _load() -> Library | None:
    try:
        return Library(PATH)
    except (ImportError, OSError, AttributeError) as error:
        logger.info("decoding without the compiled kernel: %s", error)
        return None


LIBRARY = _load()
