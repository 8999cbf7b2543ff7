"""Builds Data Docs that open without the internet.

Great Expectations renders the pages; what it would fetch from other machines (sixteen style sheets
and scripts, a logo, a newsletter) is cut out, and our own ``docs_style.css`` and ``docs_script.js``
take their place. The index is ours: theirs is drawn by scripts that we do not have.
"""

import html
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expectations import results
from ingestion.lake import Lake
from ingestion.settings import Settings

_ASSETS = ("docs_style.css", "docs_script.js")
_HERE = Path(__file__).parent
_BAR = re.compile(r'<nav class="navbar navbar-expand-md.*?</nav>\s*</div>\s*</nav>', re.DOTALL)
_SITE_PREFIX = "site/data_docs/"
_CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def build(settings: Settings, out_dir: Path) -> int:
    """Write the site of the latest validations into ``out_dir``; return how many it shows.

    Safe to run again: it overwrites what an earlier build left.
    """
    documents = results.latest(Lake(settings))
    write(documents, out_dir)
    return len(documents)


def publish(settings: Settings) -> None:
    """Put fresh data docs into the site, and nothing else: why a check failed is to be seen.

    A failed check also stops the task that rebuilds the site, so nobody else would.
    """
    lake = Lake(settings)
    with tempfile.TemporaryDirectory() as folder:
        build(settings, Path(folder))
        paths = [path for path in Path(folder).rglob("*") if path.is_file()]
        for path in sorted(paths, key=lambda path: path.name == "index.html"):
            key = f"{_SITE_PREFIX}{path.relative_to(folder).as_posix()}"
            content_type = f"{_CONTENT_TYPES[path.suffix]}; charset=utf-8"
            lake.put(key, path.read_bytes(), content_type=content_type)


def write(documents: Mapping[str, Mapping[str, Any]], out_dir: Path) -> None:
    """Write index, pages and assets for ``documents`` (key in the lake → result), newest first."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for name in _ASSETS:
        (out_dir / name).write_bytes((_HERE / name).read_bytes())
    (out_dir / "validations").mkdir(exist_ok=True)
    for number, document in enumerate(documents.values(), 1):
        (out_dir / _page_name(number)).write_text(render(document), "utf-8")
    (out_dir / "index.html").write_text(index(documents), "utf-8")


def _page_name(number: int) -> str:
    # Numbered, not named after the result: pages of the last build are overwritten, so that a site
    # that is rebuilt all day does not grow.
    return f"validations/{number:02d}.html"


def render(document: Mapping[str, Any]) -> str:
    """Render one validation as a page without a reference to any other machine."""
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResult,
        expectationSuiteValidationResultSchema,
    )
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    result = expectationSuiteValidationResultSchema.load(_with_severity(document))
    if isinstance(result, dict):
        result = ExpectationSuiteValidationResult(**result)
    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
    # Their status knows no warning, and hides the run behind a click.
    status = (
        f"Run: {html.escape(str(document['meta']['run_id']['run_name']))}<br>{_badge(document)}"
    )
    page = re.sub(
        r'<span class="h6"\s*>Status:</span>\s*<i [^>]*></i>\s*(?:Failed|Succeeded)',
        lambda _: status,
        page,
    )
    return localise(page, to_root="../", title=str(document["suite_name"]))


def _with_severity(document: Mapping[str, Any]) -> dict[str, Any]:
    """Say of each expectation what its failure does: their pages draw a warning like an error."""
    items = []
    for item in document["results"]:
        config = item["expectation_config"]
        effect = "warns" if config["severity"] == "warning" else "blocks"
        text = config.get("description") or config["type"]
        items.append(
            {**item, "expectation_config": {**config, "description": f"[{effect}] {text}"}}
        )
    return {**document, "results": items}


def localise(page: str, to_root: str, title: str) -> str:
    """Cut every reference to another machine out of a page and put our assets in its place."""
    body = re.search(r"<body[^>]*>(.*)</body>", page, re.DOTALL)
    content = body.group(1) if body else page
    content = re.sub(r"<script\b.*?</script>", "", content, flags=re.DOTALL)
    content = re.sub(r"<footer\b.*?</footer>", "", content, flags=re.DOTALL)  # a newsletter
    # The first bar holds the remote logo and a trail of names; ours says where it is.
    content = _BAR.sub("", content, count=1)
    content = content.replace("Data asset: None<br>", "")
    content = re.sub(r'href="[^"]*expectations/[^"]*\.html"', "", content)  # pages we do not write
    content = re.sub(r'(onclick|data-toggle)="[^"]*"', _wired, content)
    content = re.sub(r"\[(blocks|warns)\]", r'<span class="effect \1">\1</span>', content)
    return _page(title, content, to_root)


def _wired(match: re.Match[str]) -> str:
    """Keep only the switches that our script knows; jQuery calls would only raise."""
    if "hideSucceededValidations" in match.group(0):
        return 'data-show="failed"'
    if "showAllValidations" in match.group(0):
        return 'data-show="all"'
    return 'data-toggle="collapse"' if match.group(0) == 'data-toggle="collapse"' else ""


def index(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Render the list of validations, newest first. Pure."""
    rows = "\n".join(_row(n, document) for n, document in enumerate(documents.values(), 1))
    table = f"""
<table class="table index">
<thead><tr><th>Result</th><th>Suite</th><th>Run</th><th>When (UTC)</th>
<th class="number">Passed</th></tr></thead>
<tbody>
{rows}
</tbody></table>"""
    empty = '<p class="empty">No validation has been stored yet.</p>'
    return _page(
        "Data docs",
        f"""<main class="index"><h1>Data docs</h1>
<p class="lead">What the checks found: on each batch before it is published, and on the tables
after dbt has built them. The newest {results.KEPT_IN_DOCS} are shown.</p>
{table if documents else empty}</main>""",
        to_root="",
    )


def _row(number: int, document: Mapping[str, Any]) -> str:
    statistics = document["statistics"]
    meta = document["meta"]["run_id"]
    cells = (
        f"<td>{_badge(document)}</td>",
        f'<td><a href="{_page_name(number)}">{html.escape(document["suite_name"])}</a></td>',
        f"<td>{html.escape(str(meta['run_name']))}</td>",
        f"<td>{html.escape(str(meta['run_time'])[:19].replace('T', ' '))}</td>",
        f'<td class="number">{statistics["successful_expectations"]} of '
        f"{statistics['evaluated_expectations']}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def verdict(document: Mapping[str, Any]) -> str:
    """Say ``passed``, ``warned`` or ``failed`` of a stored result."""
    failed = [item for item in document["results"] if not item["success"]]
    if not document["results"] or any(
        item["expectation_config"]["severity"] != "warning"
        or item["exception_info"]["raised_exception"]
        for item in failed
    ):
        return "failed"
    return "warned" if failed else "passed"


def _badge(document: Mapping[str, Any]) -> str:
    outcome = verdict(document)
    return f'<span class="verdict {outcome}">{outcome}</span>'


def _page(title: str, content: str, to_root: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)} · Daylight</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{to_root}docs_style.css">
<script src="{to_root}docs_script.js" defer></script>
</head>
<body>
<header class="bar"><a href="{to_root}../index.html">Daylight</a>
<a href="{to_root}index.html">Data docs</a></header>
{content}
</body>
</html>
"""
