import gzip
import json
from pathlib import Path

import pytest

from ingestion import ConfigError
from ingestion.errors import DamagedDump
from ingestion.sources import dumps
from ingestion.sources.dumps import Dump
from tests.ingestion.lakes import MemoryLake

ITEMS = [{"recordId": n, "ArrivalTimeStamp": 1.5, "data": "x" * n, "é": "ü"} for n in range(300)]
LINES = b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in ITEMS)
ARRAY = json.dumps(ITEMS, ensure_ascii=False, indent=1).encode()


def read(content: bytes, tmp_path: Path, name: str = "dump") -> list[object]:
    (tmp_path / name).write_bytes(content)
    return list(dumps.read(Dump(str(tmp_path / name), len(content)), MemoryLake()))


@pytest.mark.parametrize(
    "content",
    [
        LINES,
        LINES.rstrip(),
        LINES.replace(b"\n", b"\r\n\r\n"),
        b"\xef\xbb\xbf" + LINES,
        ARRAY,
        b"\n " + json.dumps(ITEMS).encode() + b" \n",
        b"\xef\xbb\xbf" + ARRAY,
        gzip.compress(LINES),
        gzip.compress(ARRAY),
        gzip.compress(LINES[:1000]) + gzip.compress(LINES[1000:]),
    ],
)
def test_read_knows_a_dump_by_its_bytes(content: bytes, tmp_path: Path):
    assert read(content, tmp_path, "misnamed.txt") == ITEMS


@pytest.mark.parametrize("content", [b"", b"\n \n", gzip.compress(b""), b"[]", b" [ ] "])
def test_read_of_an_empty_dump_is_nothing(content: bytes, tmp_path: Path):
    assert read(content, tmp_path) == []


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1_000])
def test_read_gives_the_same_whatever_size_the_pieces_have(
    piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dumps, "_PIECE", piece)
    items = [*ITEMS[:20], 12345, 'a[]{}\\"', None, [[]], {}]

    assert read(json.dumps(items).encode(), tmp_path) == items


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (gzip.compress(LINES)[:-500], "damaged or cut: gzip breaks after"),
        (gzip.compress(LINES)[:-8] + b"\0" * 8, "damaged or cut"),
        (gzip.compress(LINES) + b"trailing", "damaged or cut"),
        (b"\x1f\x8b\x08\x00garbage garbage", "damaged or cut: gzip breaks after 0 bytes"),
        (gzip.compress(gzip.compress(LINES)), "is no dump"),
        (b"PK\x03\x04 a zip", "is no dump: at byte 0"),
        (b"<html>", "is no dump"),
        (LINES[:-30], "is cut: line 300 ends in the middle"),
        (ARRAY[:-1], "array is not closed at its end"),
    ],
)
def test_read_takes_nothing_of_a_damaged_file_and_names_it_and_the_place(
    content: bytes, place: str, tmp_path: Path
):
    taken: list[object] = []
    (tmp_path / "broken").write_bytes(content)

    with pytest.raises(DamagedDump, match=place) as caught:
        taken.extend(dumps.read(Dump(str(tmp_path / "broken"), 0), MemoryLake()))

    assert taken == []
    assert "broken" in str(caught.value)


def test_read_of_an_array_that_breaks_in_its_middle_names_the_element(tmp_path: Path):
    with pytest.raises(DamagedDump, match="after element 2"):
        read(b'[{"a": 1}, {"b": 2} {"c": 3}]', tmp_path)
    with pytest.raises(DamagedDump, match="in element 3"):
        read(b'[{"a": 1}, {"b": 2}, {"c" 3}]', tmp_path)


def test_read_gives_a_bad_line_as_text_and_goes_on(tmp_path: Path):
    content = b'{"a": 1}\nnonsense\n\xff{\n{"a": \n[1]\n{"b": 2}\n{bad}'

    found = read(content, tmp_path)

    assert found == [{"a": 1}, "nonsense", "\\xff{", '{"a":', [1], {"b": 2}, "{bad}"]


def test_read_keeps_numbers_that_python_cannot_hold_as_text(tmp_path: Path):
    content = b'{"recordId": %s, "x": 1e999, "y": NaN}\n' % (b"9" * 5_000)

    assert read(content, tmp_path) == [{"recordId": "9" * 5_000, "x": "1e999", "y": "NaN"}]


def test_read_cuts_a_line_without_end_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dumps, "MAX_ELEMENT", 1_000)
    content = b'{"a": "' + b"x" * 500_000 + b'"}\n{"b": 2}\n'

    first, second = read(content, tmp_path)

    assert isinstance(first, str)
    assert len(first) < 1_100
    assert second == {"b": 2}


def test_read_refuses_a_bomb(tmp_path: Path):
    with pytest.raises(DamagedDump, match="more than 100 times its size"):
        read(gzip.compress(b"{" + b" " * 50_000_000), tmp_path)


def test_find_lists_files_folders_and_file_addresses_in_order(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    for name in ("b", "a", "sub/c", ".hidden"):
        (tmp_path / name).write_text("x")

    def names(uri: str) -> list[str]:
        found = dumps.find(uri, MemoryLake())
        return [Path(dump.uri).relative_to(tmp_path).as_posix() for dump in found]

    assert names(str(tmp_path)) == ["a", "b", "sub/c"]
    assert names(str(tmp_path / "a")) == ["a"]
    assert names(f"file://{tmp_path}/b") == ["b"]


def test_find_says_when_there_is_nothing(tmp_path: Path):
    for uri in (str(tmp_path), str(tmp_path / "absent")):
        with pytest.raises(ConfigError, match="There is no dump at"):
            dumps.find(uri, MemoryLake())
