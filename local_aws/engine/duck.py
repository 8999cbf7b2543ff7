"""The one DuckDB instance, and runs on it: each query has a connection that can be interrupted."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from local_aws.engine.errors import QueryError
from local_aws.engine.macros import prepare
from local_aws.engine.pushdown import Planner
from local_aws.store import Store

MEMORY_LIMIT = {False: "1200MB", True: "500MB"}
"""Of the two instances (careful or not), shared by their queries; the rest spills to disk."""

THREADS = 2

SPILL = "spill"
"""Folder below the data folder for what does not fit into memory; empty between two runs."""


class Engine:
    """DuckDB, set up so that a query can reach nothing but the files its plan names."""

    def __init__(self, root: Path) -> None:
        self._root = root
        shutil.rmtree(root / SPILL, ignore_errors=True)
        self._database = _open(root, careful=False)
        self._careful: Any = None
        self._lock = threading.Lock()
        self.planner = Planner()

    def run(self) -> Run:
        """A new run."""
        return Run(self)

    def connect(self, *, careful: bool) -> Any:
        """A connection of its own; ``careful`` for statements with TRY."""
        if not careful:
            return self._database.cursor()
        with self._lock:
            if self._careful is None:
                self._careful = _open(self._root, careful=True)
        return self._careful.cursor()

    def close(self) -> None:
        """Close DuckDB."""
        self._database.close()
        self.planner.close()
        if self._careful is not None:
            self._careful.close()


def _open(root: Path, *, careful: bool) -> Any:
    """A DuckDB instance.

    DuckDB 2.0 computes a subexpression that occurs twice once, before and so outside of a TRY
    around it; the careful instance does not.
    """
    spill = root / SPILL / ("careful" if careful else "plain")
    spill.parent.mkdir(parents=True, exist_ok=True)  # DuckDB makes the last folder only
    database = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY_LIMIT[careful],
            "threads": THREADS,
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    database.execute("SET TimeZone = 'UTC'")
    prepare(database)
    if careful:
        database.execute("SET disabled_optimizers = 'common_subexpressions'")
    folder = str(root).replace("'", "''")
    database.execute(f"SET allowed_directories = ['{folder}']")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


class Run:
    """One query's connection and counters."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.planner = engine.planner
        self.connection = engine.connect(careful=False)
        self._careful = False
        self.bytes_scanned = 0
        self.byte_limit: int | None = None
        self.sql: list[str] = []
        self.stopped = False
        self.written: list[str] | None = None
        """Objects that a CTAS, INSERT or UNLOAD wrote into a table of files; None: nothing did."""

        self._blobs: list[Path] = []

    def new_blob(self, store: Store) -> Path:
        """A path to write into; what is still there when the run closes is removed."""
        self._blobs.append(store.new_blob())
        return self._blobs[-1]

    def execute(self, sql: str) -> Any:
        """Run DuckDB's SQL; its errors come back in Athena's words."""
        if self.stopped:
            raise Cancelled
        if not self._careful and "TRY(" in sql:
            self.connection.close()
            self.connection = self._engine.connect(careful=True)
            self._careful = True
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
                "EXCEEDED_SCAN_LIMIT",
                f"Query exceeded the bytes scanned limit of {self.byte_limit}",
            )

    def interrupt(self) -> None:
        """Stop what runs; from another thread."""
        self.stopped = True
        with contextlib.suppress(Exception):
            self.connection.interrupt()

    def close(self) -> None:
        """Give the connection back, and remove what was not put."""
        with contextlib.suppress(Exception):
            self.connection.close()
        for path in self._blobs:
            path.unlink(missing_ok=True)
            path.with_name(f"tmp_{path.name}").unlink(missing_ok=True)


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
    (r"No magic bytes|too small to be a Parquet", "HIVE_CANNOT_OPEN_SPLIT", None),
    (r"don't know what type|TProtocolException|[Dd]ecompress|ZSTD", "HIVE_CURSOR_ERROR",
     "A Parquet file of this query is damaged"),
    (r"JSON transform error", "HIVE_BAD_DATA", None),
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
    (r"(date|timestamp) field value out of range|with value '?-?nan|Casting value .* failed",
     "INVALID_CAST_ARGUMENT", None),
    (r"Overflow in|out of range|exceeds the maximum", "NUMERIC_VALUE_OUT_OF_RANGE", None),
)  # fmt: skip
