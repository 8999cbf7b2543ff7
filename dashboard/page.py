"""The frame that the site's own pages share: one style, no reference to any other machine."""

import html
from datetime import date
from pathlib import Path

_STYLE = Path(__file__).with_name("style.css")


def page(title: str, content: str, to_root: str = "", scripts: str = "") -> str:
    """Return a whole HTML page; ``content`` and ``scripts`` are trusted, ``title`` is not."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{_STYLE.read_text("utf-8")}
</style>
</head>
<body>
<header class="bar"><a class="home" href="{to_root}index.html">Daylight</a>
<nav><a href="{to_root}metrics.html">Metrics</a>
<a href="{to_root}data_docs/index.html">Data docs</a>
<a href="{to_root}dbt_docs/index.html">dbt docs</a></nav></header>
<main>
{content}
</main>
{scripts}
</body>
</html>
"""


def escape(value: object) -> str:
    """Make a value safe inside HTML: routes and names come from records."""
    return html.escape(str(value))


def number(value: object) -> str:
    """Write a count for people; a dash where there is none."""
    return f"{value:,}" if isinstance(value, int) else "-"


def share(value: object) -> str:
    """Write a share as a percentage; a dash where it is undefined."""
    return f"{value:.1%}" if isinstance(value, (int, float)) else "-"


def day(value: object) -> str:
    """Write a day with its weekday: a Sunday explains a lot."""
    if not isinstance(value, date):
        return escape(value)
    return f"{value:%a} {value.day} {value:%b %Y}"


def tile(label: str, value: str, note: str = "") -> str:
    """Return one key figure."""
    return (
        f'<div class="tile"><div class="label">{escape(label)}</div>'
        f'<div class="value">{escape(value)}</div><div class="note">{escape(note)}</div></div>'
    )
