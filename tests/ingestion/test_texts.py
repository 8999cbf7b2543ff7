"""What the regular expression tells of a record is what a JSON parser tells, or nothing."""

import json
import random
from collections.abc import Callable

import pytest

from ingestion.sources.envelopes import parse_array, parse_line
from ingestion.texts import Plain, Texts, plain_array, plain_lines, spell

PLAIN = b'{"recordId": 2462380, "ArrivalTimeStamp": 1681996326.819, "data": "gAAAAABkQL_y-="}'
TIGHT = b'{"recordId":0,"ArrivalTimeStamp":1681996326,"data":""}'
STRANGE = [
    b"",
    b" ",
    b"[]",
    b"nonsense",
    b'{"recordId": 07, "ArrivalTimeStamp": 1681996326.819, "data": "x"}',
    b'{"recordId": 1.0, "ArrivalTimeStamp": 1681996326.819, "data": "x"}',
    b'{"recordId": -1, "ArrivalTimeStamp": 1681996326.819, "data": "x"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326., "data": "x"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326.8e5, "data": "x"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 0681996326, "data": "x"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 16819963260, "data": "x"}',
    b'{"recordId": 9999999999999999999, "ArrivalTimeStamp": 1681996326, "data": "x"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "x", "more": 1}',
    b'{"recordId": 1, "recordId": 2, "ArrivalTimeStamp": 1681996326, "data": "x"}',
    b'{"ArrivalTimeStamp": 1681996326, "recordId": 1, "data": "x"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "\\"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "\\u0041"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "a\tb"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "a\0b"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "a\rb"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "\xc3\xa9"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "\xff"}',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "x"',
    b'{"recordId": 1, "ArrivalTimeStamp": 1681996326, "data": "x}',
    PLAIN + b" ",
    b" " + PLAIN,
    PLAIN + b"\r",
    PLAIN + PLAIN,
    PLAIN + b"," + TIGHT,
]


def seen(plain: Plain) -> list[tuple[int, int]]:
    return [(i, int(hundred)) for i, hundred in zip(plain.ids, plain.hundreds, strict=True)]


def truth(values: list) -> list[tuple[int, int]]:
    return [(value["recordId"], int(value["ArrivalTimeStamp"]) // 100) for value in values]


def test_lines_of_the_sources_form_are_told_apart_without_a_parser():
    plain = plain_lines(PLAIN + b"\n" + TIGHT + b"\n")

    assert plain is not None
    assert plain.spelled == [PLAIN, TIGHT]
    assert seen(plain) == [(2462380, 16819963), (0, 16819963)]
    assert list(plain) == [json.loads(PLAIN), json.loads(TIGHT)]


@pytest.mark.parametrize("between", [b",", b", "])
def test_a_page_of_the_sources_form_is_told_apart_without_a_parser(between: bytes):
    plain = plain_array(b"[" + between.join([PLAIN, TIGHT, PLAIN]) + b"]")

    assert plain is not None
    assert plain.spelled == [PLAIN, TIGHT, PLAIN]


@pytest.mark.parametrize("strange", STRANGE, ids=range(len(STRANGE)))
def test_anything_else_is_left_to_the_parser(strange: bytes):
    for block in (
        strange + b"\n",
        PLAIN + b"\n" + strange + b"\n" + TIGHT + b"\n",
        strange + b"\n" + PLAIN + b"\n",
        PLAIN + b"\n" + (strange or b" "),
    ):
        assert plain_lines(block) is None
    for body in (b"[" + strange + b"]", b"[" + PLAIN + b"," + strange + b"]"):
        told = plain_array(body)
        # Two objects between commas are two elements; that is the one thing allowed here.
        assert told is None or list(told) == json.loads(body)


@pytest.mark.parametrize("body", [b"[]", b"[", b"]", b"", b"{}", b"[" + PLAIN, PLAIN, PLAIN + b"]"])
def test_what_is_no_page_is_left_to_the_parser(body: bytes):
    assert plain_array(body) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_block_that_is_hurt_anywhere_gives_what_the_parser_gives_or_nothing(seed: int):
    dice = random.Random(seed)
    lines = b"\n".join([PLAIN, TIGHT, PLAIN, TIGHT]) + b"\n"
    page = b"[" + b",".join([PLAIN, TIGHT, PLAIN]) + b"]"
    pieces = [b'"', b"\\", b"\n", b"}", b"{", b",", b"]", b"[", b"\x1f", b"\x80", b"0", b" ", b""]
    told = 0
    for _ in range(4_000):
        whole, read = dice.choice([(lines, by_lines), (page, by_page)])
        place, length = dice.randrange(len(whole)), dice.choice([0, 1, 1, 2, 60])
        hurt = whole[:place] + dice.choice(pieces) + whole[place + length :]
        plain = plain_lines(hurt) if read is by_lines else plain_array(hurt)
        if plain is not None:
            told += 1
            values = read(hurt)
            assert list(plain) == values
            assert seen(plain) == truth(values)
    assert told > 100


def by_lines(block: bytes) -> list:
    return [parse_line(line) for line in block.split(b"\n")[:-1]]


def by_page(body: bytes) -> list:
    return parse_array(body.decode())


def test_an_array_is_read_as_what_was_written():
    items = [json.loads(PLAIN), "a\nline", None, 1.5, {"ü": ["\ud800", {}]}, [[]]]
    texts = Texts.of(items)

    body = texts.array()

    assert json.loads(body) == items
    assert body.count(b"\n") == len(items) + 1
    assert Texts.read(body).spelled == texts.spelled
    assert list(Texts.read(json.dumps(items).encode())) == items  # as bodies were before
    assert [Texts.of(items[:n]).array().startswith(b"[") for n in (0, 1)] == [True, True]
    assert list(Texts.read(Texts.of([]).array())) == []
    assert list(Texts.read(Texts.of(items[:1]).array())) == items[:1]


def test_texts_are_a_sequence_of_what_they_spell():
    items = [{"n": number} for number in range(10)]
    texts = Texts.of(items)

    assert len(texts) == 10
    assert texts[3] == {"n": 3}
    assert isinstance(texts[2:5], Texts)
    assert list(texts[2:5]) == items[2:5]
    assert texts == items
    assert spell(items[0]) == b'{"n":0}'


def cut(count: int) -> Callable[[Plain], Plain]:
    return lambda plain: plain.part(count)


def test_parts_of_plain_records_keep_what_is_known_of_each():
    lines = b"".join(
        b'{"recordId":%d,"ArrivalTimeStamp":1%d99.5,"data":""}\n' % (n, 6819000 + n)
        for n in range(9)
    )
    plain = plain_lines(lines)
    assert plain is not None

    assert plain.part(2, 4).ids == [2, 3]
    assert plain.part(7).hundreds == [b"16819007", b"16819008"]
    left = plain.without({0, 3, 8, 99})
    assert left.ids == [1, 2, 4, 5, 6, 7]
    assert seen(left) == truth(list(left))


def test_outermost_leaves_out_what_lies_far_from_the_middle():
    def line(number: int, stamp: int) -> bytes:
        return b'{"recordId":%d,"ArrivalTimeStamp":%d,"data":""}\n' % (number, stamp)

    base = 1_681_996_300
    stamps = [base, base + 50_000, base + 99, base + 86_000, base + 500_000, base - 300_000]
    plain = plain_lines(b"".join(line(n, stamp) for n, stamp in enumerate(stamps)))
    assert plain is not None

    ends = [value["recordId"] for value in plain.outermost(86_400)]

    assert ends == [0, 2, 3]
