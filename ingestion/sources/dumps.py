"""Encrypted dumps: files of envelopes, local or in S3, as NDJSON or one array, plain or gzip.

What a file is, its bytes say, never its name. Both its ends, and a gzip file's checksum, are looked
at before anything is parsed, so that a cut or damaged one brings nothing rather than a part. What
comes packed or from S3 lies in a temporary file meanwhile: the disk has to hold one dump, unpacked.
"""

import codecs
import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import BinaryIO, Literal, Protocol, cast
from urllib.parse import unquote, urlsplit

from ingestion.errors import ConfigError, DamagedDump
from ingestion.sources.envelopes import MAX_ELEMENT, Broken, parse_line, read_array
from ingestion.sources.gzipped import MAX_RATIO, is_bomb
from ingestion.texts import plain_lines

_PIECE = 64 * 1024
_BLOCK = 1024 * 1024
_SHEET = 2_000
_SPOOLED_BYTES = 32 * 1024 * 1024
_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


class Objects(Protocol):
    """The part of the lake that a dump in S3 is read through."""

    def list_uris(self, uri: str) -> list[tuple[str, int]]:
        """Return URI and size of the objects at or below ``uri``."""

    def download(self, uri: str, target: BinaryIO) -> None:
        """Write an object into an open file."""


@dataclass(frozen=True, slots=True)
class Dump:
    """One file of a dump, not yet opened."""

    uri: str
    size: int


def find(uri: str, objects: Objects) -> list[Dump]:
    """Return the files at ``uri``, a file, a folder, an object or a prefix, in order of name.

    Raises:
        ConfigError: if there are none.
    """
    if uri.startswith("s3://"):
        found = [Dump(name, size) for name, size in objects.list_uris(uri)]
    else:
        path = _path(uri)
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        found = [
            Dump(str(file), file.stat().st_size)
            for file in files
            if file.is_file() and not file.name.startswith(".")
        ]
    if not found:
        raise ConfigError(f"There is no dump at {uri}: no such file, or an empty folder.")
    return found


def read(dump: Dump, objects: Objects) -> Iterator[object]:
    """Yield the envelopes of one file, as ``sheets`` does, one by one."""
    for sheet in sheets(dump, objects):
        yield from sheet


def sheets(dump: Dump, objects: Objects) -> Iterator[Sequence[object]]:
    """Yield the envelopes of one file, as many at a time as a megabyte or so of it holds.

    A line that is no JSON is yielded as its text.

    Raises:
        DamagedDump: if the file is damaged, cut or no dump, naming it and the place. Nothing
            was yielded then, except from an array that breaks in its middle.
    """
    with contextlib.ExitStack() as stack:
        raw: BinaryIO
        if dump.uri.startswith("s3://"):
            raw = cast(BinaryIO, stack.enter_context(TemporaryFile()))
            objects.download(dump.uri, raw)
        else:
            try:
                raw = stack.enter_context(_path(dump.uri).open("rb"))
            except OSError as error:
                raise ConfigError(f"Cannot read {dump.uri}: {error.strerror}.") from None
        text = raw
        if _is_packed(raw):
            # Unpacked once, to its checksum: packing is most of what reading a dump costs.
            text = cast(BinaryIO, stack.enter_context(SpooledTemporaryFile(_SPOOLED_BYTES)))
            _unpack(dump, raw, text)
        form = _inspect(dump, text)
        text.seek(0)
        if form == "lines":
            for block in _blocks(text):
                yield plain_lines(block) or [parse_line(line) for line in _lines(block)]
        elif form == "array":
            elements = _array(dump, text)
            while sheet := list(islice(elements, _SHEET)):
                yield sheet


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path) if uri.startswith("file://") else uri)


def _is_packed(raw: BinaryIO) -> bool:
    raw.seek(0)
    magic = raw.read(2)
    raw.seek(0)
    return magic == b"\x1f\x8b"


def _unpack(dump: Dump, raw: BinaryIO, text: BinaryIO) -> None:
    """Unpack a gzip file to its end."""
    size = 0
    try:
        stream = gzip.GzipFile(fileobj=raw)
        while piece := stream.read(_PIECE):
            size += text.write(piece)
            if is_bomb(raw.tell(), size):
                raise DamagedDump(
                    f"{dump.uri} unpacks to more than {MAX_RATIO} times its size: it is no dump. "
                    "Remove it."
                )
    except (gzip.BadGzipFile, EOFError, zlib.error):
        # Their texts differ by version; the place is ours.
        raise DamagedDump(
            f"{dump.uri} is damaged or cut: gzip breaks after {size:,} bytes of text. "
            "Fetch it again and repeat; records that were taken already are not doubled."
        ) from None


def _inspect(dump: Dump, text: BinaryIO) -> Literal["lines", "array", "empty"]:
    """Look at both ends of a file and say what it is."""
    first, end, last = _first(text), *_last(text)
    size = text.tell()
    if not first:
        return "empty"
    if first == b"[":
        if last != b"]":
            raise DamagedDump(
                f"{dump.uri} is cut: its array is not closed at its end, byte {size:,}. "
                "Fetch it again and repeat."
            )
        return "array"
    if first == b"{":
        # A cut line does not close its object; a whole one that is wrong costs only itself.
        if end != b"\n" and last != b"}":
            text.seek(0)
            line = 1 + sum(piece.count(b"\n") for piece in iter(lambda: text.read(_PIECE), b""))
            raise DamagedDump(
                f"{dump.uri} is cut: line {line:,} ends in the middle. Fetch it again and repeat."
            )
        return "lines"
    raise DamagedDump(
        f"{dump.uri} is no dump: at byte 0 it begins neither with an array nor with an object of "
        "JSON. Remove it or fetch it again."
    )


def _first(text: BinaryIO) -> bytes:
    """Return the first byte that is no space."""
    text.seek(0)
    place = len(_BOM) if text.read(len(_BOM)) == _BOM else 0
    text.seek(place)
    while piece := text.read(_PIECE):
        if piece := piece.lstrip(_SPACE):
            return piece[:1]
    return b""


def _last(text: BinaryIO) -> tuple[bytes, bytes]:
    """Return the last byte, and the last one that is no space; leave the place at the end."""
    place = size = text.seek(0, io.SEEK_END)
    end = last = b""
    while place and not last:
        place = max(0, place - _PIECE)
        text.seek(place)
        piece = text.read(_PIECE if size - place > _PIECE else size - place)
        end, last = end or piece[-1:], piece.rstrip(_SPACE)[-1:]
    text.seek(0, io.SEEK_END)
    return end, last


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, a megabyte or so at a time; one beyond the cap loses its end."""
    is_first = True
    while block := stream.read(_BLOCK):
        if is_first:
            block, is_first = block.removeprefix(_BOM), False
        if not block.endswith(b"\n"):
            rest = stream.readline(MAX_ELEMENT + 1)
            block += rest
            while len(rest) > MAX_ELEMENT and not rest.endswith(b"\n"):
                rest = stream.readline(MAX_ELEMENT + 1)
        yield block if block.endswith(b"\n") else block + b"\n"


def _lines(block: bytes) -> Iterator[bytes]:
    """Yield the lines that hold anything; one beyond the cap is cut, so that it is refused."""
    for line in block.split(b"\n"):
        if len(line) > MAX_ELEMENT:
            yield line[:MAX_ELEMENT] + b"\xff"  # no UTF-8, so that no lucky cut reads as whole
        elif line := line.strip(_SPACE):
            yield line


def _array(dump: Dump, stream: BinaryIO) -> Iterator[object]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def next_text() -> str:
        while piece := stream.read(_PIECE):
            if text := decoder.decode(piece):
                return text
        return decoder.decode(b"", final=True)

    try:
        yield from read_array(next_text)
    except Broken as broken:
        raise DamagedDump(
            f"{dump.uri} is no JSON array {broken}. Fetch it again and repeat; records that were "
            "taken already are not doubled."
        ) from None
    except UnicodeDecodeError:
        raise DamagedDump(
            f"{dump.uri} is not UTF-8 within the last {_PIECE:,} bytes before byte "
            f"{stream.tell():,}. Fetch it again and repeat."
        ) from None
