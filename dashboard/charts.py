"""Rows → the axes, marks and bars that the pages share. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dashboard.page import badge, decimal, percent, share
from dashboard.svg import Days, Mark, Series

Rows = Sequence[Mapping[str, Any]]


def days_of(rows: Rows, column: str = "metric_date") -> Days:
    """Return the axis of rows in order; what lies behind the last final row is not final."""
    first_open = max((n + 1 for n, row in enumerate(rows) if row["is_final"]), default=0)
    notes = [
        f"{'final' if row['is_final'] else 'not final'}"
        + (
            f", {percent(row['completeness_pct'])} complete"
            if row["completeness_pct"] is not None
            else ""
        )
        for row in rows
    ]
    return Days([row[column] for row in rows], first_open, notes)


def series(rows: Rows, column: str, name: str, colour: int, complete: str = "") -> Series:
    """Return a column as a line; dotted until ``complete`` is true."""
    dotted = 0
    if complete:
        dotted = next((n for n, row in enumerate(rows) if row[complete]), len(rows))
    return Series(name, [row[column] for row in rows], colour, dotted)


def marks_of(rows: Rows, anomalies: Rows, metrics: Sequence[str]) -> list[Mark]:
    """Return a mark for each day on which one of ``metrics`` looked unusual."""
    places = {row["metric_date"]: n for n, row in enumerate(rows)}
    return [
        Mark(places[row["metric_date"]], unusual(row), row["flag"])
        for row in anomalies
        if row["metric"] in metrics and row["metric_date"] in places
    ]


def unusual(row: Mapping[str, Any]) -> str:
    """Say of an anomaly what was seen and what was expected."""
    what = row["metric"] if row["dimension"] == "all" else f"{row['metric']} {row['dimension']}"
    return (
        f"{row['flag']}: {what} {decimal(row['value'])}, expected {decimal(row['expected'])} "
        f"({decimal(row['low'])} to {decimal(row['high'])})"
    )


def amount(value: float, highest: float) -> str:
    """Return a bar inside a table's cell."""
    width = 100 * value / highest if highest else 0
    return f'<span class="track"><span class="amount" style="width:{width:.1f}%"></span></span>'


def reach(low: float, point: float, high: float, highest: float) -> str:
    """Return a point with its bounds inside a table's cell."""
    scale = 100 / highest if highest else 0
    return (
        f'<span class="track"><span class="reach" style="left:{low * scale:.1f}%;'
        f'width:{(high - low) * scale:.1f}%"></span>'
        f'<span class="point" style="left:{point * scale:.1f}%"></span></span>'
    )


def wilson(errors: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate, as metrics_endpoint_daily has it per day."""
    z = 1.96
    center = (errors + z * z / 2) / (count + z * z)
    half = z * (errors * (count - errors) / count + z * z / 4) ** 0.5 / (count + z * z)
    return max(0.0, center - half), min(1.0, center + half)


def heat(value: object, is_final: object) -> str:
    """Return a cell of a heat table, from clear at 0 to coloured at 1; empty where unknown."""
    if not isinstance(value, (int, float)):
        return "<td></td>"
    state = "" if is_final else ' class="open" title="not final"'
    return (
        f'<td{state} style="background:rgba(var(--heat),{0.06 + 0.5 * value:.2f})">{value:.0%}</td>'
    )


def badge_of(rows: Rows) -> str:
    """Return one badge for rows that are summed up: as final and as complete as the worst."""
    known = [row["completeness_pct"] for row in rows if row["completeness_pct"] is not None]
    return badge(all(row["is_final"] for row in rows), min(known, default=None))


def spelled(values: Sequence[float]) -> Callable[[float], str]:
    """Return how the ticks of these shares are written: with a digit where they are small."""
    return share if max(values, default=0) < 0.1 else lambda value: f"{value:.0%}"


def whole(value: float) -> str:
    """Write a tick or a count."""
    return f"{value:,.0f}"
