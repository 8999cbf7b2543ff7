"""The frame that the site's own pages share, and how a number is written. Pure."""

import html
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

STYLE = Path(__file__).with_name("style.css")

PAGES = {
    "metrics.html": "People",
    "usage.html": "Usage",
    "days.html": "Days",
    "answers.html": "Answers",
    "costs.html": "Costs",
    "runs.html": "Runs",
    "data_docs/index.html": "Data docs",
    "dbt_docs/index.html": "dbt docs",
}


def page(title: str, content: str, here: str = "") -> str:
    """Return a whole HTML page; ``content`` is trusted, ``title`` is not. No page has a script."""
    links = "\n".join(
        f'<a href="{target}"{" aria-current=page" if target == here else ""}>{name}</a>'
        for target, name in PAGES.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
</head>
<body>
<a class="skip" href="#main">To the content</a>
<header class="bar"><a class="home" href="index.html">Daylight</a>
<nav aria-label="Pages">
{links}
</nav></header>
<main id="main">
{content}
</main>
</body>
</html>
"""


def section(title: str, text: str, *parts: str) -> str:
    """Return one part of a page; ``parts`` are trusted."""
    return (
        f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>"
        f"{''.join(part for part in parts if part)}</section>"
    )


def empty(text: str) -> str:
    """Return what stands where there is nothing to show."""
    return f'<p class="empty">{escape(text)}</p>'


def escape(value: object) -> str:
    """Make a value safe inside HTML: routes and names come from records."""
    return html.escape(str(value))


def number(value: object) -> str:
    """Write a count for people; a dash where there is none."""
    return f"{value:,}" if isinstance(value, int) else "-"


def decimal(value: object) -> str:
    """Write a measurement with as many digits as are worth reading."""
    if not isinstance(value, (int, float)):
        return "-"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def share(value: object) -> str:
    """Write a share as a percentage; a dash where it is undefined."""
    return f"{value:.1%}" if isinstance(value, (int, float)) else "-"


def percent(value: object) -> str:
    """Write a percentage; never 100 while anything is missing."""
    if not isinstance(value, (int, float)):
        return "-"
    if value >= 100:
        return "100 %"
    return f"{min(float(value), 99.99):.2f} %" if value > 99 else f"{value:.1f} %"


def size(count: object) -> str:
    """Write a number of bytes; Athena's 1 MB is 1,000,000 of them."""
    if not isinstance(count, (int, float)):
        return "-"
    for unit, bytes_of_one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= bytes_of_one:
            return f"{count / bytes_of_one:,.1f} {unit}"
    return f"{count:,.0f} B"


def seconds(value: object) -> str:
    """Write a length of time in its fitting unit."""
    if not isinstance(value, (int, float)):
        return "-"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if value >= 2 * length:
            return f"{value / length:,.1f} {unit}"
    return f"{value:,.1f} s" if value >= 1 or value == 0 else f"{value * 1000:,.0f} ms"


def day(value: object) -> str:
    """Write a day with its weekday: a Sunday explains a lot."""
    if not isinstance(value, date):
        return escape(value)
    return f"{value:%a} {value.day} {value:%b %Y}"


def row_day(value: object) -> str:
    """Write a day at the head of a row: without its year, which a tooltip has."""
    if not isinstance(value, date):
        return escape(value)
    return f'<span title="{day(value)}">{value:%a} {value.day} {value:%b}</span>'


def short_day(value: object) -> str:
    """Write a day where there is little room."""
    return f"{value.day} {value:%b}" if isinstance(value, date) else escape(value)


def instant(value: object) -> str:
    """Write a time to the minute."""
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else "-"


def badge(is_final: object, completeness_pct: object) -> str:
    """Say of a number whether it may still change, and how complete its records are."""
    state = "final" if is_final else "open"
    title = "nothing is expected to change it" if is_final else "late records may still change it"
    known = isinstance(completeness_pct, (int, float))
    text = f"{state} · {percent(completeness_pct)}" if known else state
    low = " low" if isinstance(completeness_pct, (int, float)) and completeness_pct < 99 else ""
    return f'<span class="badge {state}{low}" title="{title}">{text}</span>'


def trust(rows: Sequence[Mapping[str, Any]], column: str = "metric_date") -> str:
    """Say it of all rows behind a chart, in one line."""
    if not rows:
        return ""
    final = [row[column] for row in rows if row["is_final"]]
    known = [row["completeness_pct"] for row in rows if row["completeness_pct"] is not None]
    until = f"Final up to {day(max(final))}" if final else "Nothing of it is final yet"
    lowest = f"; the least complete has {percent(min(known))} of its records" if known else ""
    return f'<p class="trust">{until}{lowest}.</p>'


def tile(label: str, value: str, note: str = "", trusted: str = "") -> str:
    """Return one key figure; ``trusted`` is its badge."""
    return (
        f'<div class="tile"><div class="label">{escape(label)}</div>'
        f'<div class="value">{escape(value)}</div><div class="note">{escape(note)}</div>'
        f"{trusted}</div>"
    )


def tiles(*each: str) -> str:
    """Return key figures side by side."""
    return f'<div class="tiles">{"".join(each)}</div>'


def table(names: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Return a table of trusted cells; the first column names the row.

    The first ``text_columns`` are words, the rest numbers, on the right.
    """
    head = "".join(
        f'<th scope="col"{" class=text" if place < text_columns else ""}>{escape(name)}</th>'
        for place, name in enumerate(names)
    )
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(
            f"<td{' class=text' if place < text_columns else ''}>{cell}</td>"
            for place, cell in enumerate(row[1:], 1)
        )
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, content: str) -> str:
    """Return content that opens on demand, without a script."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
