import ast
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import literals
from ingestion.literals import Refused, parse
from ingestion.reasons import Reason

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    "'\"\\nrtuxNUaé\n\0 {}", max_size=12
)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT, inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=15,
)


NOT_READ = literals._NOT_JSON


def plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


@settings(max_examples=500, deadline=None)
@given(VALUE)
def test_parse_reads_what_repr_wrote(value: object):
    assert parse(repr(value)) == plain(value)


@settings(max_examples=300, deadline=None)
@given(VALUE)
def test_parse_reads_what_json_wrote(value: object):
    for ascii_only in (True, False):
        assert parse(json.dumps(value, ensure_ascii=ascii_only)) == plain(value)


@settings(max_examples=2_000, deadline=None)
@given(st.text("{}[]()'\",:\\ truefalsn TFNone0129.eE+-xuUb\n#_", max_size=25))
def test_parse_accepts_nothing_that_python_and_json_read_otherwise(text: str):
    try:
        value = parse(text)
    except Refused:
        return

    meanings = []
    with contextlib.suppress(ValueError):
        meanings.append(json.loads(text))
    with contextlib.suppress(ValueError, SyntaxError, MemoryError):
        meanings.append(plain(ast.literal_eval(text)))
    assert repr(value) == repr(meanings[0])


@settings(max_examples=1_000, deadline=None)
@given(
    VALUE.map(repr)
    | st.text("{}[]()',: TrueFalseNone0129.eE+-\n\t\r\f\x1f\x85\u2028\u00e9", max_size=25)
)
def test_the_fast_road_of_a_literal_arrives_where_the_slow_one_does(text: str):
    fast = slow = NOT_READ
    with contextlib.suppress(Refused):
        fast = literals._parse_json(literals._respell(text)) if '"' not in text else NOT_READ
    with contextlib.suppress(Refused):
        slow = literals._Literal(text).value()

    if fast is not NOT_READ and slow is not NOT_READ:
        assert repr(fast) == repr(slow)
    elif fast is not NOT_READ:
        # Not a literal, so it must have been JSON as it stood.
        assert repr(json.loads(text)) == repr(fast)


@pytest.mark.parametrize(
    "text",
    [
        "{'a': true}",
        "{'a': None, 'b': null}",
        "'a' 'b'",
        "'''a'''",
        "b'a'",
        "r'a'",
        "f'{a}'",
        "0x10",
        "1_000",
        "01",
        "1j",
        "1+1",
        "--1",
        "a",
        "[*a]",
        "{**a}",
        "()()",
        "[1 2]",
        "[,]",
        "(,)",
        "{'a'}",
        "{'a': 1 'b': 2}",
        "'\\x4'",
        "'\\u12'",
        "'\\U00110000'",
        "'\\N{BULLET}'",
        "'a\nb'",
        "'a",
        "# comment",
        "{'a': 1} # comment",
        "",
        " ",
        "inf",
        "nan",
    ],
)
def test_parse_refuses_what_repr_never_writes(text: str):
    with pytest.raises(Refused) as caught:
        parse(text)

    assert caught.value.reason == Reason.PLAINTEXT_SYNTAX


def test_parse_allows_depth_64_and_no_more():
    assert parse("[" * 64 + "'\\x41'" + "]" * 64) is not None

    with pytest.raises(Refused) as caught:
        parse("[" * 65 + "'\\x41'" + "]" * 65)

    assert caught.value.reason == Reason.PLAINTEXT_SHAPE
