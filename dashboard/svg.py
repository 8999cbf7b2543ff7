"""Charts of days as static SVG: no script, read by eye, by tooltip and in the table below. Pure.

Each chart is drawn twice, for a desktop and for a phone, and the style sheet shows one of them, so
that text keeps its size. Colours are classes of the style sheet (``c0`` … ``c5``), so that the dark
mode is the style sheet's business.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from dashboard.page import day, escape, short_day

WIDE, NARROW = 1000, 340
_TOP, _BOTTOM, _RIGHT = 14, 26, 12
_WIDEST_BAR = 64.0

Value = float | int | None
Spell = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    """One value per day, or none."""

    name: str
    values: Sequence[Value]
    colour: int
    dotted_until: int = 0
    """Days before this one are drawn dotted: their window reaches back before the history."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something to be said of a day, drawn as a triangle over the plot."""

    place: int
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Days:
    """The x axis: days in order, of which those from ``first_open`` on are not final."""

    dates: Sequence[date]
    first_open: int
    notes: Sequence[str] = field(default_factory=list)
    """What a tooltip says of each day, behind its values: final, and how complete."""


def lines(
    days: Days, series: Sequence[Series], spell: Spell, title: str, marks: Sequence[Mark] = ()
) -> str:
    """Draw lines from zero, with a legend."""
    top = max((v for one in series for v in one.values if v is not None), default=0)

    def draw(width: int) -> str:
        plot = _Plot(width, days, 0, top, spell)
        parts = [plot.frame()]
        for one in series:
            parts += _strokes(plot, one)
        parts += [_mark(plot, mark) for mark in marks]
        parts.append(plot.tooltips(series))
        return plot.svg("".join(parts), title)

    return _legend([(one.name, one.colour) for one in series]) + _both(draw)


def stacks(
    days: Days,
    series: Sequence[Series],
    spell: Spell,
    title: str,
    below: Sequence[Series] = (),
) -> str:
    """Draw bars stacked on zero, and ``below`` hanging from it, with a legend."""
    count = len(days.dates)
    top = max((sum(one.values[n] or 0 for one in series) for n in range(count)), default=0)
    low = -max((sum(one.values[n] or 0 for one in below) for n in range(count)), default=0)

    def draw(width: int) -> str:
        plot = _Plot(width, days, low, top, spell)
        bars = []
        for sign, group in ((1, series), (-1, below)):
            for n in range(count):
                base = 0.0
                for one in group:
                    value = float(one.values[n] or 0)
                    if value:
                        bars.append(plot.bar(n, sign * base, sign * (base + value), one.colour))
                        base += value
        tips = plot.tooltips([*series, *below])
        return plot.svg(plot.frame() + "".join(bars) + tips, title)

    return _legend([(one.name, one.colour) for one in [*series, *below]]) + _both(draw)


def columns(names: Sequence[str], values: Sequence[float], spell: Spell, title: str) -> str:
    """Draw one bar per name, such as an hour; every few names are written below."""
    top = max(values, default=0)

    def draw(width: int) -> str:
        dates = [date.min] * len(names)
        plot = _Plot(width, Days(dates, len(names)), 0, top, spell)
        step = max(1, math.ceil(len(names) * 34 / plot.inner))
        texts = "".join(
            f'<text class="tick" x="{plot.x(n):.1f}" y="{plot.height - 8}" '
            f'text-anchor="middle">{escape(name)}</text>'
            for n, name in enumerate(names)
            if n % step == 0
        )
        bars = "".join(
            f"<g>{plot.bar(n, 0, value, 0)}<title>{escape(names[n])}: {escape(spell(value))}"
            "</title></g>"
            for n, value in enumerate(values)
        )
        return plot.svg(plot.grid() + bars + texts, title)

    return _both(draw)


def nice_ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers that span the range, zero among them."""
    span = (high - low) or 1.0
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [n * step for n in range(first, max(last, first + 1) + 1)]


class _Plot:
    def __init__(self, width: int, days: Days, low: float, high: float, spell: Spell) -> None:
        self.width, self.height = width, 240 if width == WIDE else 200
        self.days, self.spell = days, spell
        self.ticks = nice_ticks(low, high)
        self.left = 12 + 7 * max(len(spell(tick)) for tick in self.ticks)
        self.inner = width - self.left - _RIGHT
        self.slot = self.inner / max(1, len(days.dates))

    def x(self, n: float) -> float:
        return self.left + (n + 0.5) * self.slot

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return _TOP + (high - value) / (high - low) * (self.height - _TOP - _BOTTOM)

    def bar(self, n: int, start: float, end: float, colour: int) -> str:
        upper, lower = self.y(max(start, end)), self.y(min(start, end))
        width = min(self.slot - min(2.0, self.slot * 0.2), _WIDEST_BAR)
        return (
            f'<rect class="fill c{colour}" x="{self.x(n) - width / 2:.1f}" '
            f'y="{upper:.1f}" width="{width:.1f}" height="{lower - upper:.1f}"/>'
        )

    def grid(self) -> str:
        parts = []
        for tick in self.ticks:
            y = self.y(tick)
            kind = "axis" if tick == 0 else "rule"
            parts.append(
                f'<line class="{kind}" x1="{self.left}" x2="{self.width - _RIGHT}" '
                f'y1="{y:.1f}" y2="{y:.1f}"/><text class="tick" x="{self.left - 6}" '
                f'y="{y + 4:.1f}" text-anchor="end">{escape(self.spell(tick))}</text>'
            )
        return "".join(parts)

    def frame(self) -> str:
        count, first = len(self.days.dates), self.days.first_open
        band = ""
        if first < count:
            x = self.left + first * self.slot
            band = (
                f'<rect class="open" x="{x:.1f}" y="{_TOP}" '
                f'width="{self.width - _RIGHT - x:.1f}" '
                f'height="{self.height - _TOP - _BOTTOM}"/>'
                f'<text class="tick" x="{self.width - _RIGHT}" y="{_TOP - 3}" '
                'text-anchor="end">not final</text>'
            )
        step = max(1, math.ceil(count * 62 / self.inner))
        step = next(s for s in (1, 2, 7, 14, 28, 56, 91, 182, 364) if s >= step or s == 364)
        places = range(count - 1, -1, -step)
        texts = "".join(
            f'<text class="tick" x="{min(self.x(n), self.width - 24):.1f}" y="{self.height - 8}" '
            f'text-anchor="middle">{short_day(self.days.dates[n])}</text>'
            for n in places
            if self.x(n) > self.left + 14
        )
        return band + self.grid() + texts

    def tooltips(self, series: Sequence[Series]) -> str:
        parts = []
        for n, each in enumerate(self.days.dates):
            said = [day(each)]
            for one in series:
                value = one.values[n]
                if value is not None:
                    said.append(f"{one.name}: {self.spell(value)}")
            if n < len(self.days.notes):
                said.append(self.days.notes[n])
            parts.append(
                f'<rect class="tip" x="{self.left + n * self.slot:.1f}" y="{_TOP}" '
                f'width="{self.slot:.1f}" height="{self.height - _TOP - _BOTTOM}">'
                f"<title>{escape(chr(10).join(said))}</title></rect>"
            )
        return "".join(parts)

    def svg(self, content: str, title: str) -> str:
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(title)}">{content}</svg>'
        )


def _strokes(plot: _Plot, one: Series) -> list[str]:
    """Draw a line in pieces: dotted, whole, dashed where it is not final; gaps stay gaps."""
    parts = []
    first_open = plot.days.first_open
    count = len(one.values)
    pieces = (
        ("dotted", 0, one.dotted_until),
        ("", max(0, one.dotted_until), first_open - 1),
        ("dashed", max(0, one.dotted_until, first_open - 1), count - 1),
    )
    for style, first, last in pieces:
        run: list[str] = []
        for n in range(first, min(last, count - 1) + 1):
            value = one.values[n]
            if value is None:
                parts += _polyline(run, one.colour, style)
                run = []
            else:
                run.append(f"{plot.x(n):.1f},{plot.y(value):.1f}")
        parts += _polyline(run, one.colour, style)
    known = [n for n, value in enumerate(one.values) if value is not None]
    if known:
        n = known[-1]
        parts.append(
            f'<circle class="fill c{one.colour}" cx="{plot.x(n):.1f}" '
            f'cy="{plot.y(one.values[n] or 0):.1f}" r="3.5"/>'
        )
    return parts


def _polyline(points: Sequence[str], colour: int, style: str) -> list[str]:
    if len(points) < 2:
        return []
    return [f'<polyline class="line c{colour} {style}" points="{" ".join(points)}"/>']


def _mark(plot: _Plot, mark: Mark) -> str:
    x = plot.x(mark.place)
    return (
        f'<path class="mark {mark.kind}" d="M{x - 5:.1f} {_TOP - 9}h10l-5 8z">'
        f"<title>{escape(mark.text)}</title></path>"
    )


def _legend(entries: Sequence[tuple[str, int]]) -> str:
    items = "".join(
        f'<li><span class="key c{colour}"></span>{escape(name)}</li>' for name, colour in entries
    )
    return f'<ul class="legend">{items}</ul>'


def _both(draw: Callable[[int], str]) -> str:
    return f'<div class="wide">{draw(WIDE)}</div><div class="narrow">{draw(NARROW)}</div>'
