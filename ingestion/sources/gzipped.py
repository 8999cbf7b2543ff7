"""Gzip, unpacked piece by piece: in bounded memory, to its checksum, and never a bomb."""

import zlib
from collections.abc import Iterator

MAX_RATIO = 100
"""Bytes out per byte in; encrypted text barely compresses, a bomb does a thousandfold."""

_ALWAYS_ALLOWED = 1024 * 1024
"""Bytes out before the ratio is judged."""

_PIECE = 64 * 1024
_MAGIC = b"\x1f\x8b"


class Damaged(Exception):
    """What was unpacked is cut, altered or no gzip; carries nothing of it."""


class Bomb(Exception):
    """What was unpacked grows beyond every text."""


def is_bomb(packed: int, unpacked: int) -> bool:
    """Tell whether so many bytes out of so many bytes in can be no text."""
    return unpacked > _ALWAYS_ALLOWED and unpacked > MAX_RATIO * max(packed, 1)


class Unpacker:
    """One gzip stream of one or more members, unpacked as it arrives."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._packed = 0
        self._unpacked = 0

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """Yield what a piece unpacks to, 64 KB at a time.

        Raises:
            Damaged: if it is no gzip, or a checksum is wrong.
            Bomb: if it grows too much; what was yielded before is small.
        """
        self._packed += len(packed)
        while packed:
            if self._member.eof:
                if not packed.startswith(_MAGIC[: len(packed)]):
                    raise Damaged
                self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                piece = self._member.decompress(packed, _PIECE)
            except zlib.error:
                raise Damaged from None
            packed = self._member.unconsumed_tail or self._member.unused_data
            self._unpacked += len(piece)
            if is_bomb(self._packed, self._unpacked):
                raise Bomb
            yield piece

    def finish(self) -> None:
        """Assert that the stream has come to its end.

        Raises:
            Damaged: if it is cut.
        """
        if not self._member.eof:
            raise Damaged
