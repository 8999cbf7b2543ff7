"""The allow-list: every function, its signature as in Athena, its meaning in DuckDB.

The table is ``functions.txt``; functions whose result depends on more than a signature can say
are in ``special*.py``. What is in neither is refused with FUNCTION_NOT_FOUND.
"""

from __future__ import annotations

from pathlib import Path

from local_aws.engine.signatures import Overload, read_table

FUNCTIONS: dict[str, list[Overload]] = read_table(
    Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
)

ELSEWHERE = frozenset(
    Path(__file__).with_name("functions_elsewhere.txt").read_text(encoding="utf-8").split("\n")
)
"""Functions that Athena has and we have not."""
