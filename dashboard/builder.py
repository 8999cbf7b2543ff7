"""Builds the whole site on disk, then uploads it, the index last: a failed build is not seen."""

import json
import logging
import mimetypes
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboard import (
    answers_page,
    athena,
    cookbook,
    costs_page,
    days_page,
    index_page,
    lineage,
    metrics_page,
    runs_page,
    usage_page,
    warehouse,
)
from dashboard.page import STYLE
from dashboard.publication import Publication
from dashboard.summary import last_complete_day, summarise
from expectations import docs, results
from ingestion.errors import ContractError
from ingestion.lake import Lake
from ingestion.settings import Settings

logger = logging.getLogger(__name__)

PREFIX = "site/"
RUN_RESULTS_PREFIX = "dbt_runs/latest/"

_CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
}


def build(
    settings: Settings,
    dbt_target_dir: Path,
    standing: Mapping[str, Any] | None = None,
    publication: Publication | None = None,
) -> str:
    """Build the site from the lake and dbt's docs, upload it, return the index's URI.

    ``standing`` is what ``alerts.standing`` returned: what is wrong in Airflow now; ``publication``
    of which moment the tables are.
    Safe to run again. Nothing is uploaded before everything was built.

    Raises:
        ContractError: if dbt has left no ``static_index.html`` in ``dbt_target_dir``.
    """
    lake = Lake(settings)
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        write(settings, lake, dbt_target_dir, site, standing or {}, publication)
        paths = sorted((path for path in site.rglob("*") if path.is_file()), key=_upload_order)
        for path in paths:
            key = f"{PREFIX}{path.relative_to(site).as_posix()}"
            lake.put(key, path.read_bytes(), content_type=content_type(path))
    logger.info("built site files=%d", len(paths))
    return lake.uri(f"{PREFIX}index.html")


def last_good_day(settings: Settings) -> str | None:
    """Return the last complete day that readers of the site see, YYYY-MM-DD; none at first."""
    body = Lake(settings).get(f"{PREFIX}summary.json")
    return json.loads(body)["metric_date"] if body else None


def write(
    settings: Settings,
    lake: Lake,
    dbt_target_dir: Path,
    site: Path,
    standing: Mapping[str, Any],
    publication: Publication | None,
) -> None:
    """Write every file of the site below ``site``."""
    dbt_docs = dbt_target_dir / "static_index.html"
    if not dbt_docs.is_file():
        raise ContractError(
            f"There is no {dbt_docs}. Run `dbt docs generate --static` with that target first."
        )
    built_at = datetime.now(UTC)
    with athena.connected(settings) as connection:
        numbers = warehouse.read(settings, connection)
        answers = cookbook.answers(cookbook.questions(dbt_target_dir), connection)
    validations = results.latest_of_each_suite(lake)
    bodies = (lake.get(key) for key in lake.keys(RUN_RESULTS_PREFIX) if key.endswith(".json"))
    summary = summarise(numbers, (body for body in bodies if body), validations, built_at)
    if publication:
        summary |= {
            "published_at": publication.at,
            "is_newest_refused": bool(publication.refused_by),
        }
    zone, source_zone = settings.metric_time_zone, settings.source_time_zone
    pages = {
        "metrics.html": metrics_page.render(numbers, zone),
        "usage.html": usage_page.render(numbers, zone),
        "days.html": days_page.render(numbers, zone, source_zone),
        "answers.html": answers_page.render(answers),
        "costs.html": costs_page.render(numbers, answers),
        "runs.html": runs_page.render(lineage.read(lake), numbers.runs, settings.raw_database),
        "index.html": index_page.render(
            summary,
            validations,
            built_at,
            zone,
            settings.airflow_url,
            last_complete_day(numbers.daily),
            standing,
            publication,
        ),
    }

    (site / "dbt_docs").mkdir(parents=True)
    (site / "dbt_docs" / "index.html").write_bytes(dbt_docs.read_bytes())
    docs.build(settings, site / "data_docs")
    (site / STYLE.name).write_bytes(STYLE.read_bytes())
    (site / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    for name, text in pages.items():
        (site / name).write_text(text, "utf-8")


def content_type(path: Path) -> str:
    """Return the type under which a browser shows the file instead of offering to save it."""
    guessed = mimetypes.guess_type(path.name)[0]
    return _CONTENT_TYPES.get(path.suffix, guessed or "application/octet-stream")


def _upload_order(path: Path) -> tuple[int, str]:
    """Pages before the pages that link to them: an index is the last of its folder, ours of all."""
    depth = len(path.parts)
    return (-depth if path.name == "index.html" else -1_000, path.as_posix())
