"""Removes from the lake what nobody needs any more: landing bodies, staging, query results.

Age alone decides nothing: what an unpublished batch still needs stays however old it is, because
its records may be nowhere else. So a lifecycle rule of the bucket cannot do this work.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from ingestion.commit import LandingLog
from ingestion.lake import Lake
from ingestion.settings import Settings
from ingestion.tables import SOURCE

logger = logging.getLogger(__name__)

QUERY_RESULTS = "athena-results/"
"""Where every client of ours has Athena put its answers; whoever asked has read them at once."""

_STAGED_SEQ = re.compile(rf"staging/{SOURCE}/(\d{{12}})/")


def expire(
    settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dict[str, int]:
    """Delete what is older than the settings say and not needed; return how much of each kind.

    Safe to repeat, to race and to kill. Afterwards a published batch cannot be derived again, and
    its manifest cannot be checked again; nothing else is lost. Bodies that no batch points to, of
    runs that were killed or overtaken, go with the others.

    Raises:
        ContractError: if the log has a hole; nothing is deleted then.
    """
    lake = Lake(settings)
    log = LandingLog(lake)
    # The log first, the objects after it: a batch that is committed meanwhile has objects that
    # are young, and a number above the head.
    unpublished = log.unpublished()
    head = log.head().seq
    needed = {log.header(seq).body for seq in unpublished}

    def older(prefix: str, days: int) -> Iterator[str]:
        return lake.unchanged_since(prefix, now() - timedelta(days=days))

    bodies = older(f"landing/{SOURCE}/", settings.keep_landing_days)
    staged = older(f"staging/{SOURCE}/", settings.keep_staging_days)
    kinds: dict[str, Iterable[str]] = {
        "landing": (key for key in bodies if key not in needed),
        "staging": (key for key in staged if _is_published(key, head, unpublished)),
        "query_results": older(QUERY_RESULTS, settings.keep_query_results_days),
    }
    found = {kind: _delete(lake, keys) for kind, keys in kinds.items()}
    logger.info("expired %s", " ".join(f"{kind}={count}" for kind, count in found.items()))
    return found


def _is_published(key: str, head: int, unpublished: list[int]) -> bool:
    match = _STAGED_SEQ.match(key)
    return match is not None and 0 < int(match[1]) <= head and int(match[1]) not in unpublished


def _delete(lake: Lake, keys: Iterable[str]) -> int:
    count = 0
    for key in keys:
        lake.delete(key)
        count += 1
    return count
