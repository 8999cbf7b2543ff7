import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import canonical
from ingestion.canonical import spell

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_spell_writes_what_json_reads(value: object):
    text = spell(value)

    assert text.isascii()
    assert json.loads(text) == value


@given(JSON)
def test_the_slow_road_says_the_same_as_the_fast_one(value: object):
    assert canonical._spell(value) == spell(value, is_sorted=True)


def test_spell_of_equal_values_is_equal_when_sorted():
    assert spell({"b": [1], "a": {}}, is_sorted=True) == spell({"a": {}, "b": [1]}, is_sorted=True)


@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
def test_spell_is_total_in_depth(depth: int):
    value: object = "\ud800"
    for _ in range(depth):
        value = [{"a": value}]

    assert spell(value) == '[{"a":' * depth + '"\\ud800"' + "}]" * depth


def test_spell_is_total_in_digits():
    assert spell({"recordId": 10**4_400}) == json.dumps({"recordId": hex(10**4_400)}).replace(
        " ", ""
    )
