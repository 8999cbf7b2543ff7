"""Equality of nested values, in three-valued logic."""

from __future__ import annotations

import re

from local_aws.engine.types import Type


def equality(a: str, b: str, kind: Type) -> str:
    """``a = b`` in three-valued logic; to DuckDB a null inside equals a null inside."""
    if kind.name == "timestamptz":
        return f"(({a}).i = ({b}).i)"
    if kind.name == "row":
        parts = [
            equality(f"struct_extract({a}, '{name}')", f"struct_extract({b}, '{name}')", inner)
            for name, inner in zip(kind.struct_names, kind.of, strict=True)
        ]
        return f"({' AND '.join(parts)})"
    if kind.name == "array":
        pair = equality("y_[1]", "y_[2]", kind.of[0])
        pairs = f"list_transform(list_zip({a}, {b}), lambda y_: {pair})"
        nulls = f"len(list_filter({pairs}, lambda y_: y_ IS NULL)) > 0"
        return (
            f"CASE WHEN ({a}) IS NULL OR ({b}) IS NULL THEN NULL WHEN len({a}) <> len({b}) "
            f"OR list_contains({pairs}, false) THEN false WHEN {nulls} THEN NULL ELSE true END"
        )
    if kind.name == "map":
        pair = equality(
            "map_extract_value(" + a + ", k_)", f"map_extract_value({b}, k_)", kind.of[1]
        )
        pairs = f"list_transform(map_keys({a}), lambda k_: {pair})"
        strangers = (
            f"len(list_filter(map_keys({b}), lambda k_: NOT list_contains(map_keys({a}), k_)))"
        )
        return (
            f"CASE WHEN ({a}) IS NULL OR ({b}) IS NULL THEN NULL "
            f"WHEN cardinality({a}) <> cardinality({b}) OR {strangers} > 0 "
            f"OR list_contains({pairs}, false) THEN false "
            f"WHEN len(list_filter({pairs}, lambda y_: y_ IS NULL)) > 0 THEN NULL ELSE true END"
        )
    if kind.name in ("real", "double"):
        return compared("=", a, b)
    return f"({a} = {b})"


def compared(op: str, a: str, b: str) -> str:
    """Two floating-point numbers. NaN equals nothing; to DuckDB it equals itself and is largest."""
    if op == "<>":
        return f"({a} <> {b} OR isnan({a}))"
    doubtful = b if op in ("<", "<=") else a
    if _NUMBER.fullmatch(doubtful) or (op == "=" and _NUMBER.fullmatch(b)):
        return f"({a} {op} {b})"
    return f"({a} {op} {b} AND NOT isnan({doubtful}))"


_NUMBER = re.compile(
    r"CAST\('?[0-9.]+(?:[eE][+-]?[0-9]+)?'? AS \w+\)|CAST\(CAST\([0-9]+ AS \w+\) AS \w+\)"
)
