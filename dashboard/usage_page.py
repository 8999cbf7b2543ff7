"""Rows → the page about use: endpoints, activities, hours, and who makes most of it. Pure."""

from dashboard import svg
from dashboard.athena import Row
from dashboard.charts import (
    amount,
    badge_of,
    days_of,
    marks_of,
    reach,
    series,
    spelled,
    whole,
    wilson,
)
from dashboard.page import (
    badge,
    decimal,
    empty,
    escape,
    number,
    page,
    section,
    share,
    table,
    tile,
    tiles,
    trust,
)
from dashboard.summary import last_complete_day
from dashboard.warehouse import SUMMED_DAYS, Numbers

_ACTIVITIES_SHOWN = 5
"""As many colours as can be told apart; the others are one line."""


def render(numbers: Numbers, time_zone: str) -> str:
    """Return the page as HTML."""
    if not numbers.daily:
        text = empty("There is no usable record yet.")
        return page("Usage · Daylight", f"<h1>Usage</h1>{text}", "usage.html")
    filling = last_complete_day(numbers.daily) and not numbers.daily[-1]["is_final"]
    daily = numbers.daily[:-1] if filling else numbers.daily
    last = daily[-1]["metric_date"]
    activities = [row for row in numbers.activities if row["metric_date"] <= last]
    concentration = [row for row in numbers.concentration if row["metric_date"] <= last]
    content = f"""<h1>Usage</h1>
<p class="lead">What people do, where it fails, and who makes most of it. Sums are over the last
{SUMMED_DAYS} final days; days are days in {escape(time_zone)}.</p>
{_busiest(numbers.endpoints)}
{_failing(numbers.endpoints)}
{_hours(numbers.hours, time_zone)}
{_events(daily, numbers.anomalies)}
{_activities(daily, activities)}
{_concentration(concentration, daily)}"""
    return page("Usage · Daylight", content, "usage.html")


def _name(row: Row) -> str:
    return f'<span class="name">{escape(row["method"])} {escape(row["route"])}</span>'


def _busiest(endpoints: list[Row]) -> str:
    text = "The busiest endpoints. Ids in paths are folded into {id}."
    if not endpoints:
        return section("Busiest endpoints", text, empty("Shown once there is a final day."))
    highest = max(row["request_count"] for row in endpoints)
    rows = [
        [_name(row), amount(row["request_count"], highest), number(row["request_count"])]
        for row in endpoints
    ]
    listed = _drawn(table(("Endpoint", "", "Requests"), rows))
    return section("Busiest endpoints", text, listed, _state(endpoints))


def _failing(endpoints: list[Row]) -> str:
    text = (
        "The error rates of the same endpoints, the worst for certain first: the bar is the 95 % "
        "interval (Wilson), the line in it the rate. A wide bar says that there were few requests. "
        "An error is a record with level ERROR or CRITICAL, or a status of 500 and more."
    )
    if not endpoints:
        return section("Errors", text, empty("Shown once there is a final day."))
    bounds = {
        id(row): (*wilson(row["error_count"], row["request_count"]), row) for row in endpoints
    }
    ordered = sorted(bounds.values(), key=lambda bound: -bound[0])
    highest = max(0.05, *(high for _, high, _ in ordered))
    rows = [
        [
            _name(row),
            reach(low, row["error_count"] / row["request_count"], high, highest),
            share(row["error_count"] / row["request_count"]),
            f"{low:.1%} to {high:.1%}",
            f"{number(row['error_count'])} of {number(row['request_count'])}",
        ]
        for low, high, row in ordered
    ]
    names = ("Endpoint", f"0% to {highest:.0%}", "Rate", "95 % interval", "Errors")
    return section("Errors", text, _drawn(table(names, rows)), _state(endpoints))


def _drawn(listed: str) -> str:
    """Let names wrap and bars have their width."""
    return listed.replace('<td><span class="track">', '<td class="drawn"><span class="track">')


def _state(rows: list[Row]) -> str:
    return f'<p class="trust">{badge_of(rows)}</p>'


def _hours(hours: list[Row], time_zone: str) -> str:
    text = f"Requests by hour of the day in {time_zone}, mean of a day."
    if not hours:
        return section("Peak hour", text, empty("Shown once there is a final day."))
    counts = {row["hour"]: row["request_count"] / SUMMED_DAYS for row in hours}
    peak = max(counts, key=lambda hour: counts[hour])
    chart = svg.columns(
        [f"{hour}h" for hour in range(24)],
        [counts.get(hour, 0) for hour in range(24)],
        decimal if max(counts.values()) < 10 else whole,
        "Requests by hour",
    )
    said = f'<p class="trust">The peak is the hour from {peak}:00. {badge_of(hours)}</p>'
    return section("Peak hour", text, chart, said)


def _events(daily: list[Row], anomalies: list[Row]) -> str:
    marks = marks_of(daily, anomalies, ("event_count", "session_count"))
    chart = svg.lines(
        days_of(daily),
        [
            series(daily, "event_count", "events", 0),
            series(daily, "session_count", "sessions", 1),
        ],
        whole,
        "Events and sessions per day",
        marks,
    )
    text = (
        "Accepted records of any level, and sessions: visits that end after 30 silent minutes."
        + (" A triangle marks a day that looked unusual." if marks else "")
    )
    return section("Events and sessions", text, chart, trust(daily))


def _activities(daily: list[Row], activities: list[Row]) -> str:
    if not activities:
        return ""
    totals: dict[str, int] = {}
    counts: dict[tuple[object, str], int] = {}
    for row in activities:
        totals[row["activity"]] = totals.get(row["activity"], 0) + row["event_count"]
        counts[row["metric_date"], row["activity"]] = row["event_count"]
    ordered = sorted(totals, key=lambda name: (-totals[name], name))
    shown, others = ordered[:_ACTIVITIES_SHOWN], ordered[_ACTIVITIES_SHOWN:]
    dates = [row["metric_date"] for row in daily]
    lines = [
        svg.Series(name, [counts.get((each, name), 0) for each in dates], n)
        for n, name in enumerate(shown)
    ]
    if others:
        sums = [sum(counts.get((each, name), 0) for name in others) for each in dates]
        lines.append(svg.Series(f"{len(others)} others", sums, _ACTIVITIES_SHOWN))
    chart = svg.lines(days_of(daily), lines, whole, "Events per day by activity")
    text = "Events by what people did, of any level; they add up."
    return section("Activities", text, chart, trust(daily))


def _concentration(rows: list[Row], daily: list[Row]) -> str:
    text = (
        "The share of events that the busiest 1 % of people make, and suspected bots: five minutes "
        "with more than 60 events each, more than 18 active hours, or nearly nothing but one "
        "endpoint. Nobody is left out of any other number."
    )
    if not rows:
        return section("Concentration and bots", text, empty("Shown once there is a whole day."))
    newest = rows[-1]
    dau = {row["metric_date"]: row["dau"] for row in daily}.get(newest["metric_date"])
    state = badge(newest["is_final"], newest["completeness_pct"])
    events = newest["event_count"]
    bots = newest["suspected_bot_event_count"] / events if events else None
    figures = tiles(
        tile("Busiest 1 %", share(newest["top_1pct_share"]), "of the day's events", state),
        tile("Gini", decimal(newest["gini"]), "0 is equal, 1 is one person", state),
        tile(
            "Suspected bots",
            number(newest["suspected_bot_user_count"]),
            f"{share(bots)} of the events",
            state,
        ),
        tile(
            "DAU without bots",
            number(newest["dau_without_bots"]),
            f"of {number(dau)}",
            state,
        ),
    )
    lines = [series(rows, "top_1pct_share", "share of the busiest 1 %", 0)]
    spell = spelled([row["top_1pct_share"] or 0 for row in rows])
    chart = svg.lines(days_of(rows), lines, spell, "Share of events of the busiest 1 %")
    return section("Concentration and bots", text, figures, chart, trust(rows))
