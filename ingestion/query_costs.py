"""Lands Athena's own history of queries: who asked, how long it took, how many bytes it read.

The text of a query is never kept, only the names that a comment in its first or last line gives:
dbt's node and invocation. One object per run and day, written at once, so a run that was killed has
written all of a day or nothing, and the next one goes on where the last whole one had come to.
"""

import contextlib
import hashlib
import io
import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError

from ingestion.errors import ConfigError, LakeUnavailable
from ingestion.lake import Lake
from ingestion.settings import Settings
from ingestion.tables import QUERY_COSTS

logger = logging.getLogger(__name__)

PAGE_SIZE = 50
"""As many ids as ListQueryExecutions gives, and BatchGetQueryExecution takes, at a time."""

HISTORY = timedelta(days=46)
"""Athena forgets after 45 days: nothing older can be asked for, or have to be looked at."""

OVERLAP = timedelta(minutes=15)
"""How far a run looks behind the point up to which everything is landed: Athena promises no order
of its list, and a query is listed a moment after it was submitted."""

MAX_QUERIES = 200_000
"""Of one run: 50 MB. A first run may find weeks of a busy work group; the newest are taken."""

_ENDED = frozenset(("SUCCEEDED", "FAILED", "CANCELLED"))
_COMMENT = re.compile(r"/\*\s*(\{.*?\})\s*\*/", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,250}")
_INSTANT = "%Y%m%dT%H%M%S%fZ"
_REFUSED = ("AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException")

Row = dict[str, Any]


def collect(settings: Settings) -> int:
    """Land what ended since the last run, and return how many queries that are.

    Safe to repeat, to race and to kill: a query that was landed is passed over, and the staging
    model takes each id once.

    Raises:
        ConfigError: if we may not read the history.
        LakeUnavailable: if AWS did not answer.
    """
    lake = Lake(settings)
    lake.ensure_bucket()
    lake.ensure_tables(settings.raw_database, [QUERY_COSTS])
    now = datetime.now(UTC)
    standing = list(lake.keys(QUERY_COSTS.prefix, after=f"{QUERY_COSTS.prefix}{_folder(now)}"))
    whole_until = max((_until(key) for key in standing), default=now - HISTORY)
    seen_since = whole_until - OVERLAP
    landed = {
        query_id
        for key in standing
        if _newest(key) >= seen_since
        for query_id in _ids(lake.get(key) or b"")
    }
    ended, running = _read(settings, seen_since, landed)
    if not ended:
        return 0
    # A query that is still running will be listed behind newer ones: the next run looks that far.
    until = min(running, default=max(row["submitted_at"] for row in ended))
    _write(lake, ended, whole_until, max(until, whole_until))
    logger.info("landed table=%s rows=%d running=%d", QUERY_COSTS.name, len(ended), len(running))
    return len(ended)


def _folder(now: datetime) -> str:
    return f"dt={now - HISTORY:%Y-%m-%d}"


def _write(lake: Lake, rows: list[Row], before: datetime, after: datetime) -> None:
    """Write the rows of each day; only the last object says that everything is landed by then."""
    days: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["submitted_at"], row["query_id"])):
        days.setdefault(f"{row['submitted_at']:%Y-%m-%d}", []).append(row)
    for place, (day, own) in enumerate(days.items(), 1):
        body = _parquet(own)
        name = "_".join(
            (
                own[-1]["submitted_at"].strftime(_INSTANT),
                (after if place == len(days) else before).strftime(_INSTANT),
                hashlib.sha256(body).hexdigest()[:16],
            )
        )
        lake.put(f"{QUERY_COSTS.prefix}dt={day}/{name}.parquet", body)


def _parquet(rows: Iterable[Row]) -> bytes:
    naive = [
        {n: v.replace(tzinfo=None) if isinstance(v, datetime) else v for n, v in row.items()}
        for row in rows
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(naive, QUERY_COSTS.schema), sink, compression="zstd")
    return sink.getvalue()


def _ids(body: bytes) -> list[str]:
    return cast(list[str], pq.read_table(io.BytesIO(body), columns=["query_id"])[0].to_pylist())


def _instants(key: str) -> tuple[datetime, datetime]:
    newest, until, _ = key.rsplit("/", 1)[-1].split("_")
    first, second = (datetime.strptime(text, _INSTANT) for text in (newest, until))
    return first.replace(tzinfo=UTC), second.replace(tzinfo=UTC)


def _newest(key: str) -> datetime:
    return _instants(key)[0]


def _until(key: str) -> datetime:
    return _instants(key)[1]


def _read(
    settings: Settings, since: datetime, landed: set[str]
) -> tuple[list[Row], list[datetime]]:
    """Return what ended and is not landed, and when what is still running was submitted.

    Reads from the newest query back to the first page on which every query is older than ``since``.
    """
    ended: dict[str, Row] = {}
    running: list[datetime] = []
    for page in _pages(settings):
        at = [_submitted_at(execution) for execution in page]
        for execution, submitted_at in zip(page, at, strict=True):
            if submitted_at < since:
                continue
            if execution["Status"]["State"] not in _ENDED:
                running.append(submitted_at)
            elif execution["QueryExecutionId"] not in landed:
                ended[execution["QueryExecutionId"]] = row_of(execution)
        if all(submitted_at < since for submitted_at in at):
            break
        if len(ended) >= MAX_QUERIES:
            logger.warning("stopped after rows=%d; older queries stay uncounted", len(ended))
            break
    return list(ended.values()), running


def _pages(settings: Settings) -> Iterator[Sequence[Any]]:
    """Yield the executions of the work group page by page, newest first."""
    config = Config(
        retries={"mode": "standard", "max_attempts": 8}, connect_timeout=5, read_timeout=30
    )
    client = boto3.session.Session(region_name=settings.aws_region).client(
        "athena", endpoint_url=settings.aws_endpoint_url, config=config
    )
    token: dict[str, str] = {}
    with _translated(f"read the history of the work group {settings.athena_workgroup}"):
        while True:
            answer = client.list_query_executions(
                WorkGroup=settings.athena_workgroup, MaxResults=PAGE_SIZE, **token
            )
            ids: Sequence[str] = answer["QueryExecutionIds"]
            if ids:
                found = client.batch_get_query_execution(QueryExecutionIds=list(ids))
                yield found["QueryExecutions"]
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}


def row_of(execution: dict[str, Any]) -> Row:
    """Return what is kept of an execution. Pure."""
    status, statistics = execution["Status"], execution.get("Statistics") or {}
    names = comment_of(execution.get("Query", ""))
    return {
        "query_id": execution["QueryExecutionId"],
        "work_group": execution.get("WorkGroup"),
        "target_schema": (execution.get("QueryExecutionContext") or {}).get("Database"),
        "node_id": names.get("node_id") or names.get("connection_name"),
        "invocation_id": names.get("invocation_id"),
        "statement_type": execution.get("SubstatementType") or execution.get("StatementType"),
        "state": status["State"],
        "submitted_at": _submitted_at(execution),
        "scanned_bytes": int(statistics.get("DataScannedInBytes") or 0),
        "execution_ms": int(statistics.get("EngineExecutionTimeInMillis") or 0),
        "queue_ms": int(statistics.get("QueryQueueTimeInMillis") or 0),
    }


def _submitted_at(execution: dict[str, Any]) -> datetime:
    at: datetime = execution["Status"]["SubmissionDateTime"].astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def comment_of(query: str) -> dict[str, str]:
    """Return the names in the JSON comment of a query's first or last line; empty if none. Pure.

    Anything that does not look like a name is left out: a comment is somebody else's text.
    """
    lines = query.strip().splitlines() or [""]
    for line in (lines[0], lines[-1]):
        match = _COMMENT.search(line)
        if match:
            with contextlib.suppress(ValueError):
                found = json.loads(match[1])
                return {
                    name: value
                    for name, value in found.items()
                    if isinstance(value, str) and _NAME.fullmatch(value)
                }
    return {}


@contextlib.contextmanager
def _translated(action: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _REFUSED:
            raise ConfigError(
                f"AWS refused to {action}: {code}. Allow athena:ListQueryExecutions and "
                "athena:BatchGetQueryExecution to the role."
            ) from None
        if code == "InvalidRequestException":
            raise ConfigError(f"AWS would not {action}: {code}. Check ATHENA_WORKGROUP.") from None
        raise LakeUnavailable(f"AWS could not {action}: {code}. Run again.") from None
    except NoCredentialsError:
        raise ConfigError("There are no AWS credentials to read Athena's history with.") from None
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise LakeUnavailable(
            f"AWS could not {action}: {type(error).__name__}. Run again."
        ) from None
