"""Questions and their answers → one page. Pure."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from dashboard.cookbook import Answer
from dashboard.page import (
    badge,
    decimal,
    empty,
    escape,
    folded,
    instant,
    number,
    page,
    row_day,
    seconds,
    share,
    size,
    table,
)

_ROWS_SHOWN = 8
"""As many as fit on a phone; the others are folded away."""

_TRUST = ("is_final", "completeness_pct")


def render(answers: Sequence[Answer]) -> str:
    """Return the page as HTML."""
    if not answers:
        text = empty("dbt has compiled no analysis yet: run transform_warehouse.")
        return page("Answers · Daylight", f"<h1>Answers</h1>{text}", "answers.html")
    items = "".join(
        f'<li><a href="#{_anchor(one)}">{escape(one.question.asked)}</a></li>' for one in answers
    )
    scanned = sum(one.reply.scanned_bytes for one in answers)
    content = f"""<h1>Answers</h1>
<p class="lead">The questions that people ask, each answered by one query over the metrics tables.
All {len(answers)} together read {size(scanned)}. The queries are in
<code>dbt_project/analyses</code>; copy one and change it.</p>
<section><h2>Questions</h2><ol class="contents">{items}</ol></section>
{"".join(_answer(one) for one in answers)}"""
    return page("Answers · Daylight", content, "answers.html")


def _anchor(answer: Answer) -> str:
    return f"q{answer.question.name.split('_')[0]}"


def _answer(answer: Answer) -> str:
    question, reply = answer.question, answer.reply
    rows = reply.rows
    if question.is_personal:
        shown = empty(
            f"{number(len(rows))} rows. They hold pseudonyms of people, so they are not shown "
            "here: run the query yourself."
        )
    elif not rows:
        shown = empty("No row: there is nothing of the kind.")
    else:
        shown = _table(reply.columns, rows[:_ROWS_SHOWN])
        if len(rows) > _ROWS_SHOWN:
            rest = _table(reply.columns, rows[_ROWS_SHOWN:])
            shown += folded(f"{len(rows) - _ROWS_SHOWN} more rows", rest)
    cost = f"{size(reply.scanned_bytes)} read in {seconds(reply.seconds)}"
    return (
        f'<section id="{_anchor(answer)}"><h2>{escape(question.asked)}</h2>'
        f"<p>{escape(question.meaning)}</p>{shown}"
        f'<p class="asked">{cost}{_state(rows)}. Owner: {escape(question.owner)}.</p>'
        f"{folded('The query', f'<pre tabindex=0><code>{escape(question.sql)}</code></pre>')}"
        "</section>"
    )


def _state(rows: Sequence[dict[str, Any]]) -> str:
    if not rows or "is_final" not in rows[0]:
        return "; as of this build"
    final = sum(bool(row["is_final"]) for row in rows)
    if final == len(rows):
        return "; all of it is final"
    return f"; {final} of {len(rows)} rows are final"


def _table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    trusted = "is_final" in columns
    names = [name for name in columns if name not in _TRUST]
    words = 1
    while words < len(names) and isinstance(rows[0][names[words]], str):
        words += 1
    heads = [_head(name) for name in names]
    cells = [[cell(name, row[name]) for name in names] for row in rows]
    if trusted:  # beside the name of the row, where a phone shows it, too
        heads.insert(1, "trust")
        for row, spelled in zip(rows, cells, strict=True):
            spelled.insert(1, badge(row["is_final"], row.get("completeness_pct")))
    return table(heads, cells, text_columns=words + trusted)


_COUNTED = ("user", "event", "request", "error", "session", "id")
_HEADS = {"metric_date": "day", "arrived_date": "arrived", "week_start_date": "week of"}


def _head(name: str) -> str:
    """Write a column's name for people: ``new_user_count`` is new users."""
    if name in _HEADS:
        return _HEADS[name]
    *words, last = name.split("_")
    if last not in ("count", "date", "bytes", "seconds") or not words:
        return name.replace("_", " ")
    return " ".join(words) + ("s" if last == "count" and words[-1] in _COUNTED else "")


def cell(name: str, value: object) -> str:
    """Write a value as its column's name says; the only place that knows the suffixes."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return row_day(value)
    if isinstance(value, str):
        return f'<span class="name">{escape(value)}</span>'
    if name.endswith("_bytes"):
        return size(value)
    if "seconds" in name:
        return seconds(value)
    if name.endswith(("_rate", "_share", "_rate_low", "_rate_high", "_coverage")):
        return share(value)
    if "share" in name or name in ("dau_mau", "mean_dau_mau", "change_in_a_week"):
        return share(value)
    if isinstance(value, int):
        return str(value) if name.endswith("_id") or "seq" in name else number(value)
    return decimal(value)
