"""Rows → the page about days: which are final, what is missing in which layer, what moved. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from itertools import groupby

from dashboard import svg
from dashboard.athena import Row
from dashboard.charts import days_of, series, unusual, whole
from dashboard.page import (
    badge,
    day,
    decimal,
    empty,
    escape,
    folded,
    instant,
    number,
    page,
    percent,
    row_day,
    seconds,
    section,
    table,
    trust,
)
from dashboard.warehouse import Numbers

_ROWS_SHOWN = 21
_MONTHS_SHOWN = 4
_WHOLE, _USABLE = 99.9, 99.0
"""Per cent of a day's records: one in a thousand is missing; the least that anomalies are sought
with."""

_WEEKDAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_STATES = {
    "whole": "final, at least 99.9 % complete",
    "near": "final, at least 99 %",
    "gaps": "final, less than 99 %",
    "open": "not final yet",
}


def render(numbers: Numbers, time_zone: str, source_time_zone: str) -> str:
    """Return the page as HTML."""
    if not numbers.built and not numbers.health:
        text = empty("No batch has been published yet.")
        return page("Days · Daylight", f"<h1>Days</h1>{text}", "days.html")
    health = {row["arrived_date"]: row for row in numbers.health}
    content = f"""<h1>Days</h1>
<p class="lead">How far each day has come on its way, and whether its numbers may be quoted. A day
is final 48 hours before the newest landing. Metrics count days in {escape(time_zone)}, arrivals
days in {escape(source_time_zone)}.</p>
{_calendar(numbers.built)}
{_layers(numbers.built, health)}
{_restatements(numbers.restatements)}
{_anomalies(numbers.anomalies)}
{_arrivals(numbers.health)}
{_lateness(numbers.health)}
{_missing(numbers.missing)}"""
    return page("Days · Daylight", content, "days.html")


def state(row: Mapping[str, object]) -> str:
    """Return a key of ``_STATES``; on a day without arrivals nothing can be missing."""
    if not row["is_final"]:
        return "open"
    known = row["completeness_pct"]
    if not isinstance(known, (int, float)) or known >= _WHOLE:
        return "whole"
    return "near" if known >= _USABLE else "gaps"


def _calendar(built: list[Row]) -> str:
    if not built:
        return ""
    by_date = {row["metric_date"]: row for row in built}
    months = [
        list(group) for _, group in groupby(sorted(by_date), key=lambda each: each.replace(day=1))
    ]
    drawn = "".join(_month(dates[0], by_date) for dates in months[-_MONTHS_SHOWN:])
    counts = {name: sum(state(row) == name for row in built) for name in _STATES}
    legend = "".join(
        f'<li><span class="swatch state-{name}"></span>{text} ({counts[name]} days)</li>'
        for name, text in _STATES.items()
    )
    text = (
        "Complete: the share of the records of the day that are in the tables; the others were "
        "refused or never came."
    )
    return section(
        "Which days are final",
        text,
        f'<ul class="legend">{legend}</ul>',
        f'<div class="months">{drawn}</div>',
    )


def _month(within: date, by_date: Mapping[date, Row]) -> str:
    first = within.replace(day=1)
    start = first - timedelta(days=first.weekday())
    after = (first + timedelta(days=32)).replace(day=1)
    weeks = []
    while start < after:
        cells = []
        for n in range(7):
            each = start + timedelta(days=n)
            row = by_date.get(each)
            if each.month != first.month:
                cells.append('<td class="none"></td>')
            elif row is None:
                cells.append(f"<td>{each.day}</td>")
            else:
                name = state(row)
                known = row["completeness_pct"]
                said = _STATES[name] + (f", {percent(known)}" if known is not None else "")
                cells.append(
                    f'<td class="state-{name}" title="{day(each)}: {said}">{each.day}</td>'
                )
        weeks.append(f"<tr>{''.join(cells)}</tr>")
        start += timedelta(days=7)
    head = "".join(f'<th scope="col">{name}</th>' for name in _WEEKDAYS)
    return (
        f'<table class="month"><caption>{first:%B %Y}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(weeks)}</tbody></table>"
    )


def _layers(built: list[Row], health: Mapping[object, Row]) -> str:
    text = (
        "Offered: what the source sent that day. In raw: accepted. Quarantined: refused, kept with "
        "a reason. Missing: numbers of the source that never came. Built: how many of the daily "
        "tables have taken in the newest batch that touches the day."
    )
    rows = [_layer(row, health.get(row["metric_date"])) for row in reversed(built)]
    names = ("Day", "Trust", "Offered", "In raw", "Quarantined", "Missing", "Built")
    shown = table(names, rows[:_ROWS_SHOWN], text_columns=2)
    if len(rows) > _ROWS_SHOWN:
        rest = rows[_ROWS_SHOWN:]
        shown += folded(f"{len(rest)} earlier days", table(names, rest, text_columns=2))
    return section("Day by layer", text, shown)


def _layer(row: Row, arrived: Row | None) -> list[str]:
    found = arrived or {}
    fresh, count = row["fresh_count"], row["table_count"]
    state_of_tables = "all" if fresh == count else f'<span class="failed">{fresh} of {count}</span>'
    refused = (found.get("quarantined_count") or 0) + (found.get("conflict_count") or 0)
    return [
        row_day(row["metric_date"]),
        badge(row["is_final"], row["completeness_pct"]),
        number(found.get("offered_count")),
        number(found.get("good_count")),
        _fault(refused if arrived else None),
        _fault(found.get("missing_id_count")),
        state_of_tables if count else "-",
    ]


def _fault(count: object) -> str:
    return f'<span class="failed">{number(count)}</span>' if count else number(count)


def _restatements(rows: list[Row]) -> str:
    text = (
        "Numbers that had been final and changed afterwards. Late data: a record came more than 48 "
        "hours late. Key arrived: records came out of quarantine. Derived again: a decoder was "
        "mended. Definition changed: the same records, counted differently."
    )
    if not rows:
        return section("Restated numbers", text, empty("None: no final number has changed."))
    listed = [
        [
            row_day(row["metric_date"]),
            badge(row["is_final"], row["completeness_pct"]),
            escape(row["metric"]),
            escape(str(row["cause"]).replace("_", " ")),
            decimal(row["old_value"]),
            decimal(row["new_value"]),
            f"{row['delta']:+,.0f}" if isinstance(row["delta"], (int, float)) else "-",
            instant(row["as_of"]),
        ]
        for row in rows
    ]
    names = ("Day", "Trust", "Metric", "Cause", "Was", "Is", "Change", "As of (UTC)")
    shown = table(names, listed[:12], text_columns=4)
    if len(listed) > 12:
        shown += folded(f"{len(listed) - 12} more", table(names, listed[12:], text_columns=4))
    return section("Restated numbers", text, shown)


def _anomalies(rows: list[Row]) -> str:
    text = (
        "Compared with the same weekday of the eight weeks before: an alert is more than 3.5 "
        "spreads from their median, a warning more than 2.5. Where records are missing, the "
        "pipeline is to blame first and the alert is suppressed."
    )
    if not rows:
        return section("Unusual days", text, empty("None."))
    listed = [
        [
            row_day(row["metric_date"]),
            badge(row["is_final"], row["completeness_pct"]),
            f'<span class="{_LOUDNESS[row["flag"]]}">{escape(row["flag"])}</span>',
            f'<span class="name">{escape(unusual(row).split(": ", 1)[1])}</span>',
            decimal(row["score"]),
        ]
        for row in rows
    ]
    names = ("Day", "Trust", "Flag", "What", "Spreads")
    shown = table(names, listed[:12], text_columns=4)
    if len(listed) > 12:
        shown += folded(f"{len(listed) - 12} more", table(names, listed[12:], text_columns=4))
    return section("Unusual days", text, shown)


_LOUDNESS = {"alert": "failed", "warn": "warned", "suppressed": "asked"}


def _arrivals(health: list[Row]) -> str:
    if not health:
        return ""
    kinds = (
        series(health, "good_count", "accepted", 1),
        series(health, "duplicate_count", "duplicate", 4),
        series(health, "quarantined_count", "quarantined", 3),
        series(health, "conflict_count", "conflict", 2),
    )
    text = (
        "By the day on which the source received them: offered = accepted + duplicate + "
        "quarantined + conflict. Duplicates are normal, since the API offers a window again; "
        "a conflict is another record under an id that is taken."
    )
    chart = svg.stacks(days_of(health, "arrived_date"), kinds, whole, "Records by outcome per day")
    return section("What became of the records", text, chart, trust(health, "arrived_date"))


def _lateness(health: list[Row]) -> str:
    rows = [
        [
            row_day(row["arrived_date"]),
            badge(row["is_final"], row["completeness_pct"]),
            number(row["good_count"]),
            seconds(row["lag_p50_seconds"]),
            seconds(row["lag_p95_seconds"]),
            seconds(row["lag_max_seconds"]),
            number(row["late_1h_count"]),
            number(row["late_1d_count"]),
            number(row["late_7d_count"]),
        ]
        for row in reversed(health[-14:])
    ]
    text = (
        "From the event to its landing, for half of the accepted records of an arrival day, for "
        "95 % and for all. History that was loaded later is old, not late."
    )
    if not rows:
        return ""
    names = ("Arrived", "Trust", "Accepted", "p50", "p95", "Longest", "> 1 h", "> 1 d", "> 7 d")
    return section("How late data comes", text, table(names, rows, text_columns=2))


def _missing(ranges: Iterable[Row]) -> str:
    text = (
        "Ids that the source overtook and never offered; each is a record that is in no table. A "
        "dump that holds them makes them vanish from here."
    )
    rows = [
        [
            _range(row),
            number(row["missing_id_count"]),
            instant(row["overtaken_at"]),
            str(row["overtaken_batch_seq"]),
        ]
        for row in ranges
    ]
    if not rows:
        return section("Missing ids", text, empty("None is missing."))
    names = ("Ids", "Missing", "Overtaken at (UTC)", "By batch")
    return section("Missing ids", text, table(names, rows))


def _range(row: Row) -> str:
    first, last = row["first_missing_id"], row["last_missing_id"]
    return str(first) if first == last else f"{first} to {last}"
