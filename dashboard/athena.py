"""Asks Athena, and says what each question cost. Knows no table and no HTML."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ingestion.settings import Settings

Row = dict[str, Any]

_LOCAL_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Reply:
    """The rows of one query, and what Athena says that it took."""

    columns: list[str]
    rows: list[Row]
    scanned_bytes: int
    seconds: float


class Athena:
    """One connection to the warehouse's schema."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def ask(self, name: str, query: str) -> Reply:
        """Run a query; ``name`` goes into its comment, so that its cost is put down to it."""
        comment = json.dumps({"app": "daylight", "node_id": name})
        with self._connection.cursor() as cursor:
            cursor.execute(f"-- /* {comment} */\n{query}")
            columns = [column[0] for column in cursor.description]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            return Reply(
                columns,
                rows,
                int(cursor.data_scanned_in_bytes or 0),
                (cursor.engine_execution_time_in_millis or 0) / 1000,
            )


@contextmanager
def connected(settings: Settings) -> Iterator[Athena]:
    """Open and close a connection."""
    import pyathena

    local: dict[str, Any] = (
        {"poll_interval": _LOCAL_POLL_SECONDS} if settings.aws_endpoint_url else {}
    )
    with pyathena.connect(
        schema_name=settings.warehouse_schema,
        work_group=settings.athena_workgroup,
        s3_staging_dir=f"{settings.lake_uri}/athena-results/",
        region_name=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        **local,
    ) as connection:
        yield Athena(connection)
