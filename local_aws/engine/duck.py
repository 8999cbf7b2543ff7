"""The one DuckDB instance, and runs on it: each query has a connection that can be interrupted."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from local_aws.engine.errors import QueryError
from local_aws.engine.macros import MACROS

MEMORY_LIMIT = "2GB"
"""Shared by all queries; what does not fit is spilled to the data folder."""

THREADS = 2


class Engine:
    """DuckDB, set up so that a query can reach nothing but the files its plan names."""

    def __init__(self, root: Path) -> None:
        spill = root / "tmp" / "spill"
        self._database = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": MEMORY_LIMIT,
                "threads": THREADS,
                "temp_directory": str(spill),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": True,
            },
        )
        self._database.execute("SET TimeZone = 'UTC'")
        self._database.execute(MACROS)
        folder = str(root).replace("'", "''")
        self._database.execute(f"SET allowed_directories = ['{folder}']")
        self._database.execute("SET enable_external_access = false")
        self._database.execute("SET lock_configuration = true")

    def run(self) -> Run:
        """A new run."""
        return Run(self._database.cursor())

    def close(self) -> None:
        """Close DuckDB."""
        self._database.close()


class Run:
    """One query's connection and counters."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.bytes_scanned = 0
        self.byte_limit: int | None = None
        self.sql: list[str] = []

    def execute(self, sql: str) -> Any:
        """Run DuckDB's SQL; its errors come back in Athena's words."""
        self.sql.append(sql)
        with translated():
            return self.connection.execute(sql)

    def evaluate(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a small query and fetch its rows."""
        with translated():
            rows: list[tuple[Any, ...]] = self.connection.execute(sql).fetchall()
        return rows

    def scanned(self, size: int) -> None:
        """Count bytes that the query reads; fails beyond the work group's limit."""
        self.bytes_scanned += size
        if self.byte_limit is not None and self.bytes_scanned > self.byte_limit:
            raise QueryError(
                "EXCEEDED_SCAN_LIMIT", f"Query exceeded the bytes scanned limit of {self.byte_limit}"
            )

    def interrupt(self) -> None:
        """Stop what runs; from another thread."""
        with contextlib.suppress(Exception):
            self.connection.interrupt()

    def close(self) -> None:
        """Give the connection back."""
        with contextlib.suppress(Exception):
            self.connection.close()


class Cancelled(Exception):
    """The run was interrupted."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """DuckDB's exceptions as QueryError."""
    try:
        yield
    except duckdb.Error as error:
        raise _translate(error) from error
    except RuntimeError as error:
        if "INTERRUPT" in str(error).upper():
            raise Cancelled from error
        raise


def _translate(error: duckdb.Error) -> Exception:
    text = str(error)
    own = re.search(r"LOCAL_FAIL\|([A-Z_]+)\|(.*?)\|", text, re.DOTALL)
    if own is not None:
        return QueryError(own[1], own[2])
    if isinstance(error, duckdb.InterruptException):
        return Cancelled()
    first = text.split("\n", 1)[0]
    message = re.sub(r"^[A-Za-z ]*Error: ", "", first)
    for pattern, name, said in _PATTERNS:
        if re.search(pattern, text):
            return QueryError(name, said or message)
    if isinstance(error, duckdb.OutOfMemoryException):
        return QueryError("EXCEEDED_LOCAL_MEMORY_LIMIT", "Query exceeded local memory limit")
    if isinstance(error, duckdb.ConversionException):
        return QueryError("INVALID_CAST_ARGUMENT", message)
    if isinstance(error, duckdb.OutOfRangeException):
        return QueryError("NUMERIC_VALUE_OUT_OF_RANGE", message)
    if isinstance(error, duckdb.IOException):
        return QueryError("HIVE_CANNOT_OPEN_SPLIT", message)
    if isinstance(error, duckdb.InvalidInputException):
        return QueryError("INVALID_FUNCTION_ARGUMENT", message)
    return QueryError("NOT_SUPPORTED", f"This statement is not supported here ({message})")


_PATTERNS = (
    (r"[Dd]ivision by zero", "DIVISION_BY_ZERO", "Division by zero"),
    (r"GROUP BY clause", "EXPRESSION_NOT_AGGREGATE",
     "An output expression must be an aggregate expression or appear in GROUP BY clause"),
    (r"WHERE clause cannot contain|JOIN condition cannot contain|clause cannot contain aggregates",
     "EXPRESSION_NOT_SCALAR",
     "WHERE clause cannot contain aggregations, window functions or grouping operations"),
    (r"More than one row returned by a subquery", "SUBQUERY_MULTIPLE_ROWS",
     "Scalar sub-query has returned multiple rows"),
    (r"aggregate function calls cannot be nested", "NESTED_AGGREGATION",
     "Cannot nest aggregations inside aggregation"),
    (r"[Cc]ould not parse string|Failed to parse", "INVALID_FUNCTION_ARGUMENT", None),
    (r"Malformed JSON|Invalid JSON", "HIVE_BAD_DATA", None),
    (r"Map keys must be unique", "INVALID_FUNCTION_ARGUMENT", "Duplicate map keys are not allowed"),
    (r"Overflow in|out of range|exceeds the maximum", "NUMERIC_VALUE_OUT_OF_RANGE", None),
)  # fmt: skip
