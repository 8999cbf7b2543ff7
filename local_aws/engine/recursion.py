"""WITH RECURSIVE as Trino runs it: the step is written out again for each depth, up to ten.

So a query that needs more steps fails here as there, and ``UNION`` takes out doubles at the end
only: a cycle in the data is not noticed, it reaches the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import NoReturn

from local_aws.engine import tree
from local_aws.engine.errors import QueryError, mismatch, refuse

DEPTH = 10
"""Trino's ``max_recursion_depth``, which Athena lets nobody change."""

LIMIT_MESSAGE = (
    f"Recursion depth limit exceeded ({DEPTH}). Use 'max_recursion_depth' session property to "
    "modify the limit."
)


def recursion_of(node: tree.CommonTable) -> tree.SetOperation | None:
    """The UNION of base and step, if the query is recursive at all; fails if it must not be."""
    if not node.columns:
        raise QueryError(
            "MISSING_COLUMN_ALIASES", "missing column aliases in recursive WITH query", node.at
        )
    for inner in _walk(node.query):
        if isinstance(inner, tree.Query) and inner.recursive:
            raise QueryError("NESTED_RECURSIVE", "nested recursive WITH query", inner.at)
    found = _references(node.query, node.name)
    if not found:
        return None
    union = node.query.body
    if not isinstance(union, tree.SetOperation) or union.op != "UNION":
        _wrong("recursive reference not allowed in this context", found[0])
    if base := _references(union.left, node.name):
        _wrong("WITH table name is referenced in the base relation of recursion", base[0])
    if len(found) > 1:
        _wrong("multiple recursive references in the step relation of recursion", found[1])
    _check_step(union.right, found[0])
    for clause, given in (
        ("WITH", node.query.ctes), ("ORDER BY", node.query.order_by),
        ("OFFSET", node.query.offset), ("FETCH FIRST / LIMIT", node.query.limit),
    ):  # fmt: skip
        if given:
            refuse(f"immediate {clause} clause in recursive query is not supported", node.at)
    return union


def type_mismatch(step: str, base: str, number: int, at: int) -> NoReturn:
    """The step's column does not fit the base's."""
    mismatch(
        f"recursion step relation output type ({step}) is not coercible to recursion base relation "
        f"output type ({base}) at column {number + 1}", at,
    )  # fmt: skip


def _wrong(text: str, node: tree.Node) -> NoReturn:
    raise QueryError("INVALID_RECURSIVE_REFERENCE", text, node.at)


def _check_step(step: tree.QueryBody, reference: tree.TableRef) -> None:
    outside = "recursive reference outside of FROM clause of the step relation of recursion"
    while isinstance(step, tree.Nested):
        if step.query.limit is not None:
            raise QueryError(
                "INVALID_LIMIT_CLAUSE",
                "FETCH FIRST / LIMIT clause in the step relation of recursion", step.query.limit.at,
            )  # fmt: skip
        step = step.query.body
    if not isinstance(step, tree.Select) or step.relation is None:
        _wrong(outside, reference)
    if not any(found is reference for found in _walk(step.relation)):
        _wrong(outside, reference)
    for join in _walk(step.relation):
        if not isinstance(join, tree.Join):
            continue
        for side, inner, kinds in (
            ("left", join.left, ("right", "full")), ("right", join.right, ("left", "full")),
        ):  # fmt: skip
            if join.kind in kinds and any(found is reference for found in _walk(inner)):
                _wrong(
                    f"recursive reference in the {side} source of {join.kind.upper()} join",
                    reference,
                )


def _references(node: tree.Node, name: str) -> list[tree.TableRef]:
    return [
        found for found in _walk(node) if isinstance(found, tree.TableRef) and found.parts == [name]
    ]


def _walk(node: object) -> Iterator[tree.Node]:
    if isinstance(node, tree.Node):
        yield node
        if is_dataclass(node):
            for field in fields(node):
                yield from _walk(getattr(node, field.name))
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _walk(item)
    elif isinstance(node, dict):
        for item in node.values():
            yield from _walk(item)
