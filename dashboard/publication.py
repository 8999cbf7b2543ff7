"""Of which moment the tables are, and whether something newer was refused since, and by what.

Names only: neither an expectation nor a test of dbt tells a value of the data.
"""

import json
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from pathlib import Path

from dashboard import cookbook
from ingestion.marts import Audit, Marts, failed_nodes
from ingestion.settings import Settings


@dataclass(frozen=True, slots=True)
class Publication:
    """What readers see; moments are UTC in ISO 8601."""

    at: str
    """When readers got it."""

    refused_at: str = ""
    """When something newer was refused; empty if nothing was."""

    refused_by: list[str] = field(default_factory=list)
    """Expectations, models and dbt's tests."""


def read(settings: Settings, dbt_target_dir: Path) -> Publication:
    """Return what is published; the manifest in ``dbt_target_dir`` says what still exists."""
    marts = Marts(settings)
    nodes = cookbook.nodes(dbt_target_dir).keys()
    return judge(marts.published_at() or "", marts.audit(), marts.run_results(), nodes)


def judge(
    at: str, audit: Audit | None, run_results: Iterable[bytes], nodes: Set[str]
) -> Publication:
    """Return what was published ``at``, and what was red since; ``run_results`` are dbt's. Pure."""
    by: list[str] = []
    moments = []
    for body in run_results:
        written = json.loads(body)["metadata"]["generated_at"][:19] + "Z"
        if written > at and (failed := failed_nodes([body], nodes)):
            by += failed
            moments.append(written)
    if audit and audit.failed_blocking and audit.at > at:
        by += audit.failed_blocking
        moments.append(audit.at)
    return Publication(at, max(moments, default=""), sorted(by))
