"""xxHash64 and MurmurHash3, which the standard library has not."""

from __future__ import annotations

import struct

_MASK = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _round(state: int, lane: int) -> int:
    return _rotate((state + lane * _P2) & _MASK, 31) * _P1 & _MASK


def xxhash64(data: bytes) -> bytes:
    """xxHash64 with seed 0, its eight bytes big-endian."""
    at, size = 0, len(data)
    if size >= 32:
        states = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        while at + 32 <= size:
            lanes = struct.unpack_from("<4Q", data, at)
            states = [_round(s, lane) for s, lane in zip(states, lanes, strict=True)]
            at += 32
        value = sum(_rotate(s, n) for s, n in zip(states, (1, 7, 12, 18), strict=True)) & _MASK
        for state in states:
            value = ((value ^ _round(0, state)) * _P1 + _P4) & _MASK
    else:
        value = _P5
    value = (value + size) & _MASK
    while at + 8 <= size:
        value ^= _round(0, struct.unpack_from("<Q", data, at)[0])
        value = (_rotate(value, 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= size:
        value ^= struct.unpack_from("<I", data, at)[0] * _P1 & _MASK
        value = (_rotate(value, 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        value = _rotate(value ^ (byte * _P5 & _MASK), 11) * _P1 & _MASK
    for shift, prime in ((33, _P2), (29, _P3)):
        value = (value ^ (value >> shift)) * prime & _MASK
    return struct.pack(">Q", value ^ (value >> 32))


_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def _mixed(value: int) -> int:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ (value >> 33)) * factor & _MASK
    return value ^ (value >> 33)


def _first(lane: int) -> int:
    return _rotate(lane * _C1 & _MASK, 31) * _C2 & _MASK


def _second(lane: int) -> int:
    return _rotate(lane * _C2 & _MASK, 33) * _C1 & _MASK


def murmur3(data: bytes) -> bytes:
    """MurmurHash3, 128 bits for 64-bit machines, seed 0, as Trino writes its two halves."""
    a = b = 0
    blocks = len(data) // 16
    for i in range(blocks):
        one, two = struct.unpack_from("<2Q", data, i * 16)
        a = (_rotate(a ^ _first(one), 27) + b) * 5 + 0x52DCE729 & _MASK
        b = (_rotate(b ^ _second(two), 31) + a) * 5 + 0x38495AB5 & _MASK
    tail = data[blocks * 16 :].ljust(16, b"\0")
    one, two = struct.unpack("<2Q", tail)
    if len(data) % 16 > 8:
        b ^= _second(two)
    if len(data) % 16:
        a ^= _first(one)
    a ^= len(data)
    b ^= len(data)
    a = (a + b) & _MASK
    b = (b + a) & _MASK
    a, b = _mixed(a), _mixed(b)
    a = (a + b) & _MASK
    b = (b + a) & _MASK
    return struct.pack("<2Q", a, b)
