"""Runs the corpus on the engine, in this process."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from local_aws.conformance.answers import Answer
from local_aws.conformance.corpus import tables
from local_aws.engine.duck import Engine
from local_aws.engine.errors import QueryError
from local_aws.engine.execute import Context, execute
from local_aws.engine.parse_statement import parse_statement
from local_aws.glue import Catalog
from local_aws.store import Store

logger = logging.getLogger(__name__)

DATABASE, BUCKET = "corpus", "corpus"


class Ours:
    """The engine on a folder of its own, with the tables of the corpus in it."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder)
        self._catalog = Catalog(self._store)
        self._engine = Engine(self._store.root)
        self._store.create_bucket(BUCKET)
        self._catalog.create_database({"Name": DATABASE})
        for sql in tables():
            answer = self.answer(sql)
            if answer.error:
                raise RuntimeError(f"{answer.error}: {answer.message} in {sql[:60]}")

    def answer(self, sql: str) -> Answer:
        """What the engine says; ``INTERNAL`` is an error that is no refusal but a fault."""
        run = self._engine.run()
        try:
            with self._store.reading():
                context = Context(
                    self._store, self._catalog, run, datetime.now(UTC), DATABASE, [],
                    f"s3://{BUCKET}/results/{uuid.uuid4()}",
                )  # fmt: skip
                outcome = execute(parse_statement(sql), context)
                rows = [list(row) for row in outcome.rows] if outcome.rows is not None else []
        except QueryError as error:
            return Answer(error=error.name, message=str(error.locate(sql)))
        except Exception as error:
            logger.debug("a fault", exc_info=True)
            return Answer(error="INTERNAL", message=f"{type(error).__name__}: {error}")
        finally:
            run.close()
        columns = [
            (column["Name"], str(kind))
            for column, kind in zip(outcome.columns, outcome.types, strict=False)
        ]
        return Answer(columns, rows)

    def close(self) -> None:
        """Close DuckDB and the store."""
        self._engine.close()
        self._store.close()


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[Ours]:
    """An engine for the time of a ``with``."""
    one = Ours(folder)
    try:
        yield one
    finally:
        one.close()
