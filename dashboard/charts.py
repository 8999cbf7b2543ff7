"""Rows → Altair charts. Pure: no I/O. Days are passed as text and drawn in UTC, so that the
browser's own time zone cannot move a Korean day."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import altair as alt

from dashboard.warehouse import Row

BLUE, TEAL, ORANGE, RED, GREY = "#2f6fb7", "#1f9a8a", "#e08a1e", "#c8453a", "#8b98a5"
"""Told apart in every common kind of colour blindness, on white and on black."""

_HEIGHT = 260

_LAG_TICKS = (1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800, 2_592_000, 31_536_000)
_LAG_LABEL = (
    "datum.value >= 86400 ? datum.value / 86400 + ' d' : datum.value >= 3600 ? "
    "datum.value / 3600 + ' h' : datum.value >= 60 ? datum.value / 60 + ' min' : "
    "datum.value + ' s'"
)


def people(daily: list[Row], zone: str, complete_day: date | None) -> Any:
    """Draw DAU, WAU and MAU; windows that reach back before the history are dashed."""
    rows = [
        {
            "day": str(row["metric_date"]),
            "metric": name.upper(),
            "users": row[name],
            "window": "whole" if complete else "history too short",
        }
        for row in daily
        for name, complete in (
            ("dau", True),
            ("wau", bool(row["is_wau_complete"])),
            ("mau", bool(row["is_mau_complete"])),
        )
    ]
    # The dashed line ends where the whole one begins, so the two need a point in common.
    rows += _joints(rows)
    lines = (
        _chart(rows)
        .mark_line(point={"size": 18, "filled": True}, strokeWidth=2)
        .encode(
            x=_day_axis(f"day ({zone})"),
            y=alt.Y("users:Q", title="active users (people)", axis=alt.Axis(format=",d")),
            color=alt.Color(
                "metric:N",
                sort=["DAU", "WAU", "MAU"],
                scale=alt.Scale(domain=["DAU", "WAU", "MAU"], range=[BLUE, TEAL, ORANGE]),
                legend=_legend(),
            ),
            strokeDash=alt.StrokeDash(
                "window:N",
                scale=alt.Scale(domain=["whole", "history too short"], range=[[1, 0], [3, 4]]),
                legend=None,  # the text above the chart says it
            ),
            tooltip=[_day_tooltip(), "metric:N", _count("users"), "window:N"],
        )
    )
    return _sized(_marked(lines, zone, complete_day))


def stickiness(daily: list[Row], zone: str, complete_day: date | None) -> Any:
    """Draw DAU/MAU, where the MAU window is whole."""
    rows = [
        {"day": str(row["metric_date"]), "stickiness": row["dau_mau"]}
        for row in daily
        if row["is_mau_complete"] and row["dau_mau"] is not None
    ]
    line = (
        _chart(rows)
        .mark_line(color=BLUE, point={"size": 18, "color": BLUE}, strokeWidth=2)
        .encode(
            x=_day_axis(f"day ({zone})"),
            y=alt.Y("stickiness:Q", title="DAU ÷ MAU (%)", axis=alt.Axis(format=".0%")),
            tooltip=[_day_tooltip(), alt.Tooltip("stickiness:Q", format=".1%")],
        )
    )
    return _sized(_marked(line, zone, complete_day), 180)


def new_and_returning(daily: list[Row], zone: str, complete_day: date | None) -> Any:
    """Draw each day's users, split by whether it was their first."""
    rows = [
        {"day": str(row["metric_date"]), "users": row[column], "kind": kind}
        for row in daily
        for kind, column in (
            ("returning", "returning_user_count"),
            ("new", "new_user_count"),
        )
    ]
    bars = (
        _chart(rows)
        .mark_bar()
        .encode(
            x=_day_axis(f"day ({zone})"),
            y=alt.Y("users:Q", title="active users (people)", axis=alt.Axis(format=",d")),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=["returning", "new"], range=[BLUE, ORANGE]),
                legend=_legend(),
            ),
            order=alt.Order("kind:N", sort="descending"),
            tooltip=[_day_tooltip(), "kind:N", _count("users")],
        )
    )
    return _sized(_marked(bars, zone, complete_day, at=0.5))


def endpoint_requests(endpoints: list[Row]) -> Any:
    """Draw the busiest endpoints."""
    rows = [{**_endpoint(row), "requests": row["request_count"]} for row in endpoints]
    bars = (
        _chart(rows)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X("requests:Q", title="requests", axis=alt.Axis(format="~s", tickCount=5)),
            y=_endpoint_axis(),
            tooltip=["endpoint:N", _count("requests")],
        )
    )
    return _sized(bars, alt.Step(26))


def endpoint_errors(endpoints: list[Row]) -> Any:
    """Draw the error rates of the same endpoints, in the same order."""
    rows = [
        {
            **_endpoint(row),
            "requests": row["request_count"],
            "errors": row["error_count"],
            "error rate": row["error_count"] / row["request_count"],
        }
        for row in endpoints
        if row["request_count"]
    ]
    # An axis that ends at 0 % or 0.1 % would make noise look like an outage.
    highest = max([0.05, *(row["error rate"] for row in rows)])
    bars = (
        _chart(rows)
        .mark_bar(color=RED)
        .encode(
            x=alt.X(
                "error rate:Q",
                title="error rate (% of requests)",
                axis=alt.Axis(format=".0%", tickCount=5),
                scale=alt.Scale(domain=[0, highest]),
            ),
            y=_endpoint_axis(),
            tooltip=[
                "endpoint:N",
                alt.Tooltip("error rate:Q", format=".2%"),
                _count("errors"),
                _count("requests"),
            ],
        )
    )
    return _sized(bars, alt.Step(26))


def records(health: list[Row], zone: str) -> Any:
    """Draw what became of the records that arrived each day."""
    kinds = {"good": TEAL, "duplicate": GREY, "quarantined": RED, "conflict": ORANGE}
    rows = [
        {"day": str(row["arrived_date"]), "outcome": kind, "records": row[f"{kind}_count"]}
        for row in health
        for kind in kinds
    ]
    bars = (
        _chart(rows)
        .mark_bar()
        .encode(
            x=_day_axis(f"day of arrival ({zone})"),
            y=alt.Y("records:Q", title="records offered", axis=alt.Axis(format="~s")),
            color=alt.Color(
                "outcome:N",
                scale=alt.Scale(domain=list(kinds), range=list(kinds.values())),
                legend=_legend(),
            ),
            tooltip=[_day_tooltip(), "outcome:N", _count("records")],
        )
    )
    return _sized(bars)


def completeness(health: list[Row], zone: str) -> Any:
    """Draw the share of ids, between the day's first and last, that arrived."""
    rows = [
        {
            "day": str(row["arrived_date"]),
            "completeness": row["sequence_completeness"],
            "missing": row["missing_id_count"],
        }
        for row in health
        if row["sequence_completeness"] is not None
    ]
    lowest = min([0.95, *(row["completeness"] for row in rows)])
    line = (
        _chart(rows)
        .mark_line(color=TEAL, point={"size": 18, "color": TEAL}, strokeWidth=2)
        .encode(
            x=_day_axis(f"day of arrival ({zone})"),
            y=alt.Y(
                "completeness:Q",
                title="ids received (%)",
                axis=alt.Axis(format=".0%" if lowest < 0.9 else ".1%"),
                scale=alt.Scale(domain=[lowest, 1], nice=True),
            ),
            tooltip=[
                _day_tooltip(),
                alt.Tooltip("completeness:Q", format=".2%"),
                _count("missing"),
            ],
        )
    )
    return _sized(line, 180)


def lag(health: list[Row], zone: str) -> Any:
    """Draw how old records were when they landed; loaded history is hours or weeks old, so log."""
    rows = [
        # A log axis has no zero, and below a second nobody cares.
        {"day": str(row["arrived_date"]), "records": label, "seconds": max(1.0, seconds)}
        for row in health
        for label, seconds in (
            ("half of them (p50)", row["lag_p50_seconds"]),
            ("95 % of them (p95)", row["lag_p95_seconds"]),
        )
        if seconds is not None
    ]
    line = (
        _chart(rows)
        .mark_line(point={"size": 18, "filled": True}, strokeWidth=2)
        .encode(
            x=_day_axis(f"day of arrival ({zone})"),
            y=alt.Y(
                "seconds:Q",
                title="lag (log scale)",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(values=list(_LAG_TICKS), labelExpr=_LAG_LABEL),
            ),
            color=alt.Color("records:N", scale=alt.Scale(range=[BLUE, ORANGE]), legend=_legend()),
            tooltip=[
                _day_tooltip(),
                "records:N",
                alt.Tooltip("seconds:Q", format=",.0f", title="lag in seconds"),
            ],
        )
    )
    return _sized(line, 180)


def _chart(rows: Iterable[dict[str, Any]]) -> Any:
    return alt.Chart(alt.Data(values=list(rows)))


def _joints(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Repeat the first whole point of each metric on its dashed line."""
    joints = []
    for name in {row["metric"] for row in rows}:
        own = [row for row in rows if row["metric"] == name]
        whole = [row for row in own if row["window"] == "whole"]
        if whole and len(whole) < len(own):
            joints.append({**whole[0], "window": "history too short"})
    return joints


def _day_axis(title: str) -> Any:
    return alt.X(
        "day:T",
        timeUnit="utcyearmonthdate",
        title=title,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(format="%-d %b", labelOverlap=True, tickCount=8, grid=False),
    )


def _day_tooltip() -> Any:
    return alt.Tooltip("day:T", timeUnit="utcyearmonthdate", format="%a %-d %b %Y", title="day")


def _count(name: str) -> Any:
    return alt.Tooltip(f"{name}:Q", format=",d")


def _legend() -> Any:
    return alt.Legend(title=None, orient="top", direction="horizontal")


def _endpoint(row: Row) -> Row:
    return {"endpoint": f"{row['method']} {row['route']}"}


def _endpoint_axis() -> Any:
    return alt.Y("endpoint:N", title=None, sort=None, axis=alt.Axis(labelLimit=190))


def _marked(chart: Any, zone: str, complete_day: date | None, at: float = 0) -> Any:
    """Put a line through the last complete day, the one that is quoted; ``at`` its bar's middle."""
    if complete_day is None:
        return chart
    rule = (
        _chart([{"day": str(complete_day), "note": "last complete day"}])
        .mark_rule(strokeDash=[2, 3], color=GREY, strokeWidth=1.5)
        .encode(x=_day_axis(f"day ({zone})").bandPosition(at), tooltip=[_day_tooltip(), "note:N"])
    )
    return chart + rule


def _sized(chart: Any, height: Any = _HEIGHT) -> Any:
    return chart.properties(width="container", height=height)
