"""Figures → the index: one page from which everything else is one click away. Pure."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.page import badge, day, escape, number, page, tile, tiles
from dashboard.publication import Publication
from expectations.docs import verdict


def render(
    summary: Mapping[str, Any],
    validations: Mapping[str, Mapping[str, Any]],
    built_at: datetime,
    time_zone: str,
    airflow_url: str | None,
    complete: Mapping[str, Any] | None,
    standing: Mapping[str, Any],
    publication: Publication | None = None,
) -> str:
    """Return the page as HTML; ``validations`` are the last ones, by suite.

    ``complete`` is the row of the last complete day, which the summary's figures are of;
    ``standing`` what was wrong in Airflow when the site was built; ``publication``
    of which moment the tables are, and what was refused since.
    """
    local = built_at.astimezone(ZoneInfo(time_zone))
    content = f"""<h1>Daylight</h1>
<p class="lead">Encrypted API logs, as daily metrics. Built {day(local.date())}, {local:%H:%M}
({escape(time_zone)}).{_published(publication)}</p>
{_refused(publication)}
{_standing(standing)}
{_people(summary, complete)}
<div class="cards">{"".join(_cards(airflow_url))}</div>
{_records(summary)}
{_checks(summary, validations)}
<footer>The same figures for machines: <a href="summary.json">summary.json</a></footer>"""
    return page("Daylight", content, "index.html")


def _published(publication: Publication | None) -> str:
    return f" Numbers as published at {_minute(publication.at)}." if publication else ""


def _refused(publication: Publication | None) -> str:
    """Say that the newest build is not shown, and by what it was stopped."""
    if publication is None or not publication.refused_by:
        return ""
    listed = "".join(f"<li>{escape(name)}</li>" for name in publication.refused_by)
    return (
        '<section class="standing"><h2>The newest build was refused</h2>'
        f"<p>At {_minute(publication.refused_at)}, by what is named here. All numbers stand as "
        f"they were published at {_minute(publication.at)}, until a build passes.</p>"
        f"<ul>{listed}</ul></section>"
    )


def _standing(standing: Mapping[str, Any]) -> str:
    """Say what was wrong; nothing at all if nothing was."""
    items = [
        f"<strong>{escape(one['dag_id'])}</strong> fails since {_minute(one['since'])}"
        + (f": {escape(', '.join(one['tasks']))}" if one["tasks"] else "")
        for one in standing.get("incidents", [])
    ]
    items += [
        f"{escape(one['channel'])} was not told “{escape(one['title'])}” of "
        f"{_minute(one['since'])}: {escape(one['problem'] or 'it is being sent')}"
        + ("; nobody tries any more" if one["is_given_up"] else "; it is tried again")
        for one in standing.get("undelivered", [])
    ]
    if not items:
        return ""
    listed = "".join(f"<li>{item}</li>" for item in items)
    return (
        f'<section class="standing"><h2>Wrong when this was built</h2><ul>{listed}</ul></section>'
    )


def _minute(instant: str) -> str:
    return f"{instant[:16].replace('T', ' ')} UTC"


def _people(summary: Mapping[str, Any], complete: Mapping[str, Any] | None) -> str:
    if complete is None:
        return (
            '<section><h2>Active users</h2><p class="empty">No complete day yet: a day is complete '
            "once an event of a later day has been seen.</p></section>"
        )
    note = day(date.fromisoformat(summary["metric_date"]))
    state = badge(complete["is_final"], complete["completeness_pct"])
    return tiles(
        tile("DAU", number(summary["dau"]), note, state),
        tile("WAU", number(summary["wau"]), "7 days up to it", state),
        tile("MAU", number(summary["mau"]), "28 days up to it", state),
    )


def _cards(airflow_url: str | None) -> list[str]:
    cards = [
        ("metrics.html", "People", "Active users, growth, retention, funnel, day by day"),
        ("usage.html", "Usage", "Endpoints and their errors, hours, activities, bots"),
        ("days.html", "Days", "Which days are final, what is missing, what was restated"),
        ("answers.html", "Answers", "Twenty questions that people ask, each with its query"),
        ("costs.html", "Costs", "Bytes and seconds per model, from Athena's own history"),
        ("runs.html", "Runs", "Each task: how long it waited and worked, what it feeds"),
        ("data_docs/index.html", "Data docs", "What each check found, and why it is there"),
        ("dbt_docs/index.html", "dbt docs", "Every table: its grain, columns and lineage"),
    ]
    if airflow_url:
        cards.append((airflow_url, "Airflow", "When it ran, and the logs of each task"))
    return [
        f'<a class="card" href="{escape(target)}"><strong>{name}</strong>{text}</a>'
        for target, name, text in cards
    ]


def _records(summary: Mapping[str, Any]) -> str:
    replayed = f", {number(summary['replayed'])} after a replay" if summary["replayed"] else ""
    return tiles(
        tile("Offered", number(summary["offered"]), "records the source sent"),
        tile("Good", number(summary["good"]), f"in the tables{replayed}"),
        tile("Quarantined", number(summary["quarantined"]), "kept with a reason"),
        tile("Duplicate", number(summary["duplicate"]), "seen before"),
        tile("Conflict", number(summary["conflict"]), "another record under a known id"),
        tile("Models", number(summary["models"]), f"{number(summary['tests'])} tests passed"),
    )


def _checks(summary: Mapping[str, Any], validations: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for suite, document in sorted(validations.items()):
        statistics = document["statistics"]
        outcome = verdict(document)
        at = str(document["meta"]["run_id"]["run_time"])[:16].replace("T", " ")
        rows.append(
            f'<tr><td class="text">{escape(suite)}</td>'
            f'<td class="text"><span class="verdict {outcome}">{outcome}</span></td>'
            f"<td>{number(statistics['successful_expectations'])} of "
            f"{number(statistics['evaluated_expectations'])}</td><td>{escape(at)}</td></tr>"
        )
    if not rows:
        return '<section><h2>Latest checks</h2><p class="empty">No check has run yet.</p></section>'
    return (
        "<section><h2>Latest checks</h2>"
        f"<p>{number(summary['expectations'])} expectations; one that blocks stops the data, "
        "one that warns is only shown.</p>"
        '<div class="scroll"><table><thead><tr><th scope="col">Suite</th>'
        '<th class="text" scope="col">Result</th><th scope="col">Passed</th>'
        f'<th scope="col">When (UTC)</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        "</section>"
    )
