"""Rows → the metrics page. Pure; the scripts that draw the charts are part of the page."""

import functools
import json
from typing import Any

from dashboard import charts
from dashboard.page import day, escape, number, page, share, tile
from dashboard.summary import last_complete_day
from dashboard.warehouse import ENDPOINT_DAYS, Numbers, Row

_DAYS_IN_TABLE = 14

_EMBED = """
<script>
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const ink = dark ? "#c3ccd4" : "#45525f";
const line = dark ? "#2c3742" : "#e3e8ec";
const font = "system-ui, 'Apple SD Gothic Neo', 'Noto Sans KR', sans-serif";
const config = {
  background: "transparent", font, view: { stroke: null },
  axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line,
          labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
  legend: { labelColor: ink, titleColor: ink, labelFontSize: 12, titleFontSize: 12,
            titleFontWeight: "normal", symbolStrokeWidth: 2 },
};
document.querySelectorAll("script[type='application/json'][data-chart]").forEach((source) => {
  const target = document.getElementById(source.dataset.chart);
  vegaEmbed(target, JSON.parse(source.textContent), { actions: false, renderer: "svg", config })
    .catch((error) => { target.textContent = "This chart could not be drawn: " + error.message; });
});
</script>
"""


def render(numbers: Numbers, time_zone: str, source_time_zone: str) -> str:
    """Return the page as HTML."""
    if not numbers.daily and not numbers.health:
        return page(
            "Metrics · Daylight",
            '<h1>Metrics</h1><p class="empty">No batch has been published yet. The charts appear '
            "after the first run of <code>transform_warehouse</code>.</p>",
        )
    complete = last_complete_day(numbers.daily)
    marked = complete["metric_date"] if complete else None
    # A day that is still filling up always looks like a collapse, so lines end before it.
    drawn = numbers.daily[:-1] if complete else numbers.daily
    sections = []
    if numbers.daily:
        sections += [
            _section(
                "Active users",
                "People with at least one event that is no error on the day (DAU), in the last 7 "
                "days (WAU) and in the last 28 days (MAU). A person is counted once in each: do "
                "not add days up."
                f"{_dotted(drawn)}",
                ("people", charts.people(drawn, time_zone, marked)),
            ),
            _stickiness(drawn, time_zone, marked),
            _section(
                "New and returning users",
                "New: the person's first active day. On the first days of the history nearly "
                "everybody is new.",
                ("new", charts.new_and_returning(drawn, time_zone, marked)),
            ),
        ]
    if numbers.endpoints:
        sections.append(
            _section(
                "Endpoints",
                f"The busiest endpoints of the last {ENDPOINT_DAYS} complete days. Ids in paths "
                "are folded into {id}; an error is a record with level ERROR or CRITICAL.",
                ("requests", charts.endpoint_requests(numbers.endpoints)),
                ("errors", charts.endpoint_errors(numbers.endpoints)),
            )
        )
    if numbers.health:
        sections += [
            _section(
                "Pipeline health: what became of the records",
                "By the day on which the source received them. Offered = good + duplicate + "
                "quarantined + conflict. Duplicates are normal: the API offers the same window "
                "again. A conflict is another record under an id that is taken.",
                ("records", charts.records(numbers.health, source_time_zone)),
            ),
            _section(
                "Pipeline health: completeness and lag",
                "Completeness: ids received between the first and the last id of the day; what "
                "the API no longer offers is missing for ever. Lag: from the event to its landing.",
                ("completeness", charts.completeness(numbers.health, source_time_zone)),
                *(
                    [("lag", charts.lag(numbers.health, source_time_zone))]
                    # Only good records have a time to measure from.
                    if any(row["lag_p50_seconds"] is not None for row in numbers.health)
                    else []
                ),
            ),
            _ledger(numbers.health),
        ]
    if numbers.daily:
        sections.append(_table(numbers.daily, complete))
    content = f"""<h1>Metrics</h1>
<p class="lead">{_headline(numbers.daily, complete)} Days are days in {escape(time_zone)}.</p>
{_tiles(complete)}
{"".join(sections)}"""
    return page(
        "Metrics · Daylight", content, scripts=f"<script>{_vega_scripts()}</script>{_EMBED}"
    )


def _headline(daily: list[Row], complete: Row | None) -> str:
    if not daily:
        return "There is no usable record yet: see pipeline health."
    newest = daily[-1]
    so_far = (
        f"{day(newest['metric_date'])} is still filling up ({number(newest['dau'])} users so far) "
        "and is not drawn."
    )
    if complete is None:
        return f"All events are of one day so far, {day(newest['metric_date'])}."
    return (
        f"The last complete day is <strong>{day(complete['metric_date'])}</strong>, "
        f"the dotted line. {so_far}"
    )


def _tiles(complete: Row | None) -> str:
    if complete is None:
        return ""
    tiles = (
        tile("DAU", number(complete["dau"]), "people on the day"),
        tile("WAU", number(complete["wau"]), _window(complete["is_wau_complete"], 7)),
        tile("MAU", number(complete["mau"]), _window(complete["is_mau_complete"], 28)),
        tile("Stickiness", _stickiness_of(complete), "DAU ÷ MAU"),
        tile("New users", number(complete["new_user_count"]), "active for the first time"),
    )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _window(is_complete: object, days: int) -> str:
    return f"people in {days} days" if is_complete else f"history shorter than {days} days"


def _dotted(drawn: list[Row]) -> str:
    if all(row["is_mau_complete"] for row in drawn):
        return ""
    return " Dotted: the history is shorter than the window, so the number is too small."


def _stickiness_of(row: Row) -> str:
    return share(row["dau_mau"] if row["is_mau_complete"] else None)


def _stickiness(drawn: list[Row], time_zone: str, marked: Any) -> str:
    text = "The share of a month's users who come on a given day (DAU ÷ MAU)."
    if not any(row["is_mau_complete"] for row in drawn):
        return (
            f"<section><h2>Stickiness</h2><p>{text}</p>"
            '<p class="empty">Drawn once there are 28 days of history.</p></section>'
        )
    return _section("Stickiness", text, ("stickiness", charts.stickiness(drawn, time_zone, marked)))


def _section(title: str, text: str, *drawings: tuple[str, Any]) -> str:
    parts = []
    for name, chart in drawings:
        # A route may hold anything, "</script>" too.
        spec = json.dumps(chart.to_dict(), ensure_ascii=False).replace("<", "\\u003c")
        parts.append(
            f'<div class="chart" id="chart-{name}" role="img" aria-label="{escape(title)}"></div>'
            f'<script type="application/json" data-chart="chart-{name}">{spec}</script>'
        )
    return (
        f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>"
        f'<div class="charts n{len(drawings)}">{"".join(parts)}</div></section>'
    )


def _ledger(health: list[Row]) -> str:
    columns = {
        "Offered": "offered_count",
        "Good": "good_count",
        "Quarantined": "quarantined_count",
        "Duplicate": "duplicate_count",
        "Conflict": "conflict_count",
        "Missing ids": "missing_id_count",
    }
    shown = health[-_DAYS_IN_TABLE:]
    if any(row["replayed_count"] for row in shown):
        columns["Good after a replay"] = "replayed_count"
    rows = "".join(
        f'<tr><th scope="row">{day(row["arrived_date"])}</th>'
        f"{''.join(f'<td>{number(row[column])}</td>' for column in columns.values())}</tr>"
        for row in reversed(shown)
    )
    return (
        f"<section><h2>Pipeline health: the last {len(shown)} days of arrival in numbers</h2>"
        '<div class="scroll"><table><thead><tr><th scope="col">Day</th>'
        f"{''.join(f'<th scope=col>{name}</th>' for name in columns)}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _table(daily: list[Row], complete: Row | None) -> str:
    rows = []
    for row in reversed(daily[-_DAYS_IN_TABLE:]):
        marks = (
            ("complete", "last complete day")
            if row is complete
            else ("partial", "so far")
            if complete is not None and row is daily[-1]
            else ("", "")
        )
        note = f' <span class="mark">{marks[1]}</span>' if marks[1] else ""
        cells = (
            number(row["dau"]),
            number(row["wau"]),
            number(row["mau"]),
            _stickiness_of(row),
            number(row["new_user_count"]),
            number(row["returning_user_count"]),
            number(row["event_count"]),
        )
        rows.append(
            f'<tr class="{marks[0]}"><th scope="row">{day(row["metric_date"])}{note}</th>'
            f"{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        )
    names = ("DAU", "WAU", "MAU", "DAU ÷ MAU", "New", "Returning", "Events")
    return (
        f"<section><h2>The last {len(rows)} days in numbers</h2>"
        '<div class="scroll"><table><thead><tr><th scope="col">Day</th>'
        f"{''.join(f'<th scope=col>{name}</th>' for name in names)}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


@functools.cache
def _vega_scripts() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script: 0.9 MB that nobody has to fetch."""
    import vl_convert

    return str(vl_convert.javascript_bundle()).replace("</script", "<\\/script")
