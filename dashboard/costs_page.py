"""Rows → what the tables cost: bytes that Athena read and seconds that it worked. Pure."""

from dashboard import svg
from dashboard.athena import Row
from dashboard.charts import amount
from dashboard.cookbook import Answer
from dashboard.page import (
    day,
    decimal,
    empty,
    escape,
    folded,
    instant,
    number,
    page,
    seconds,
    section,
    size,
    table,
    tile,
    tiles,
)
from dashboard.warehouse import COST_DAYS, Numbers

_KINDS = (
    ("model", "models", 0),
    ("test", "tests", 1),
    ("analysis", "cookbook", 2),
    ("site", "site", 5),
)
_MODELS_SHOWN = 15
_STATE = (
    '<p class="trust">Final for days before the newest; today still grows. Landed from Athena\'s '
    "own history after the models of each run.</p>"
)


def render(numbers: Numbers, answers: list[Answer]) -> str:
    """Return the page as HTML."""
    content = f"""<h1>Costs</h1>
<p class="lead">What Athena read and how long it worked, from its own history. It charges by the
bytes read; seconds are what people wait for.</p>
{_totals(numbers)}
{_models(numbers.runs)}
{_over_time(numbers.costs)}
{_answers(answers)}"""
    return page("Costs · Daylight", content, "costs.html")


def _totals(numbers: Numbers) -> str:
    if not numbers.costs:
        return section(
            "Queries", "", empty("No history has been landed yet: `python -m ingestion costs`.")
        )
    runs, costs = numbers.runs, numbers.costs
    return tiles(
        tile(
            "Last run",
            size(sum(row["scanned_bytes"] for row in runs)),
            f"read by {number(len(runs))} models",
        ),
        tile(
            "Last run",
            seconds(sum(row["execution_seconds"] for row in runs)),
            "of engine time in models",
        ),
        tile(
            f"{COST_DAYS} days",
            size(sum(row["scanned_bytes"] for row in costs)),
            f"by {number(sum(row['query_count'] for row in costs))} queries",
        ),
        tile(
            "Failed",
            number(sum(row["failed_count"] for row in costs)),
            "queries, cancelled ones too",
        ),
    )


def _models(runs: list[Row]) -> str:
    text = (
        "The newest run of each model, with what dbt asks before and after it; in the last columns "
        f"all its runs of {COST_DAYS} days."
    )
    if not runs:
        return section("Cost per model", text, empty("No run of a model is in the history yet."))
    highest = max(row["scanned_bytes"] for row in runs)
    rows = [
        [
            f'<span class="name">{escape(row["node_id"].rsplit(".", 1)[-1])}</span>',
            amount(row["scanned_bytes"], highest),
            size(row["scanned_bytes"]),
            seconds(row["execution_seconds"]),
            number(row["query_count"]),
            size(row["all_scanned_bytes"]),
            seconds(row["all_execution_seconds"]),
            instant(row["last_submitted_at"]),
        ]
        for row in runs
    ]
    names = ("Model", "", "Read", "Time", "Queries", "Read, all", "Time, all", "Last run (UTC)")

    def drawn(part: list[list[str]]) -> str:
        return table(names, part).replace(
            '<td><span class="track">', '<td class="drawn"><span class="track">'
        )

    shown = drawn(rows[:_MODELS_SHOWN])
    if len(rows) > _MODELS_SHOWN:
        shown += folded(f"{len(rows) - _MODELS_SHOWN} more models", drawn(rows[_MODELS_SHOWN:]))
    return section("Cost per model", text, shown, _STATE)


def _over_time(costs: list[Row]) -> str:
    if not costs:
        return ""
    dates = sorted({row["metric_date"] for row in costs})
    known = {kind for kind, _, _ in _KINDS}
    kinds = (*_KINDS, ("", "everything else", 4))

    def line(column: str, kind: str) -> list[float]:
        return [
            sum(
                row[column]
                for row in costs
                if row["metric_date"] == each
                and (row["kind"] == kind if kind else row["kind"] not in known)
            )
            for each in dates
        ]

    axis = svg.Days(dates, len(dates) - 1)
    charts = [
        f"<h3>{title}</h3>"
        + svg.stacks(
            axis,
            [svg.Series(name, line(column, kind), colour) for kind, name, colour in kinds],
            spell,
            title,
        )
        for title, column, spell in (
            ("Bytes read per day", "scanned_bytes", size),
            ("Engine time per day", "execution_seconds", lambda value: f"{decimal(value)} s"),
        )
    ]
    rows = [
        [
            day(each),
            number(sum(row["query_count"] for row in costs if row["metric_date"] == each)),
            size(sum(row["scanned_bytes"] for row in costs if row["metric_date"] == each)),
            seconds(sum(row["execution_seconds"] for row in costs if row["metric_date"] == each)),
        ]
        for each in reversed(dates)
    ]
    listed = folded("In numbers", table(("Day (UTC)", "Queries", "Read", "Time"), rows))
    text = "Days in UTC. Everything else: drops, the checks of the marts, and what people asked."
    return section("Over time", text, *charts, listed, _STATE)


def _answers(answers: list[Answer]) -> str:
    if not answers:
        return ""
    rows = [
        [
            f'<span class="name">{escape(one.question.asked)}</span>',
            size(one.reply.scanned_bytes),
            seconds(one.reply.seconds),
        ]
        for one in sorted(answers, key=lambda one: -one.reply.scanned_bytes)
    ]
    text = "What each question of the cookbook read when this site was built."
    return section("Cost per question", text, table(("Question", "Read", "Time"), rows))
