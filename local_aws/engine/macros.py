"""Small SQL functions that give DuckDB the meaning Trino has. Loaded once per engine.

Each exists three times, because of how DuckDB folds constants: ``local_x`` fails by a cast that
depends on its arguments (so it can stand in TRY and be pushed down), ``const_x`` by ``error``
(for arguments without a column: folding would make it fail on a branch not taken), ``tried_x``
gives null (constants inside TRY). ``family`` chooses.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from local_aws.engine.native import install

_MACROS = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
_BUCKETS = Path(__file__).with_name("buckets.sql").read_text(encoding="utf-8")


_FAIL = """
create macro local_fail(name, message, seed) as
    case when cast('LOCAL_FAIL|' || name || '|' || message || '|' || coalesce(seed, '')
              as boolean) then null end;
create macro const_fail(name, message, seed) as
    error('LOCAL_FAIL|' || name || '|' || message || '|');
create macro tried_fail(name, message, seed) as null;
"""

MACROS = (
    _FAIL
    + _BUCKETS
    + _MACROS
    + "".join(re.sub(r"\blocal_", prefix, _MACROS) for prefix in ("const_", "tried_"))
)


def prepare(database: Any) -> None:
    """Load all that translations call into a DuckDB instance."""
    database.execute(MACROS)
    install(database)


_COLUMN = re.compile(r"\b[rq][0-9]*_?\.|\bv[0-9]+_")


def has_column(sql: str) -> bool:
    """Whether the SQL depends on a column or a lambda's parameter."""
    return _COLUMN.search(sql) is not None


def family(sql: str) -> str:
    """The macros of ``sql`` in the form that its arguments need."""
    if "local_" not in sql or has_column(sql):
        return sql
    return re.sub(r"\blocal_", "const_", sql)


_MAY_FAIL = re.compile(
    r"\bconst_(fail|check|element_at|subscript|map_get|sequence|split_part|json_scalar|"
    r"decimal_quotient|iso|from_iso|text_to|url_part|fits)"
)


def fails_by_error(sql: str) -> bool:
    """Whether it may call ``error``, which DuckDB does not take inside TRY."""
    return _MAY_FAIL.search(sql) is not None
