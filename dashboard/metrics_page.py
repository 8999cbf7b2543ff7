"""Rows → the page about people: how many, do they come back, does it grow. Pure."""

from itertools import groupby

from dashboard import svg
from dashboard.athena import Row
from dashboard.charts import (
    amount,
    badge_of,
    days_of,
    heat,
    marks_of,
    series,
    spelled,
    whole,
)
from dashboard.page import (
    badge,
    day,
    decimal,
    empty,
    escape,
    number,
    page,
    row_day,
    section,
    share,
    short_day,
    table,
    tile,
    tiles,
    trust,
)
from dashboard.summary import last_complete_day
from dashboard.warehouse import SUMMED_DAYS, Numbers

_DAYS_IN_TABLE = 14
_COHORTS_SHOWN = 12


def render(numbers: Numbers, time_zone: str) -> str:
    """Return the page as HTML."""
    if not numbers.daily:
        text = (
            "There is no usable record yet: see pipeline health under Days."
            if numbers.health
            else "No batch has been published yet. The charts appear after the first run of "
            "transform_warehouse."
        )
        return page("People · Daylight", f"<h1>People</h1>{empty(text)}", "metrics.html")
    complete = last_complete_day(numbers.daily)
    # A day that is still filling up always looks like a collapse, so lines end before it.
    filling = complete is not None and not numbers.daily[-1]["is_final"]
    drawn = numbers.daily[:-1] if filling else numbers.daily
    content = f"""<h1>People</h1>
<p class="lead">{_headline(numbers.daily, complete)} Days are days in {escape(time_zone)}.</p>
{_tiles(complete)}
{_active(drawn, numbers.anomalies)}
{_stickiness(drawn)}
{_growth(numbers.growth)}
{_new(drawn, numbers)}
{_retention(numbers.cohorts)}
{_frequency(numbers.frequency)}
{_funnel(numbers.funnel)}
{_table(numbers.daily, complete, filling)}"""
    return page("People · Daylight", content, "metrics.html")


def _headline(daily: list[Row], complete: Row | None) -> str:
    newest = daily[-1]
    if complete is None:
        return f"All events are of one day so far, {day(newest['metric_date'])}."
    final = [row["metric_date"] for row in daily if row["is_final"]]
    until = (
        f"Final up to <strong>{day(max(final))}</strong>. "
        if final
        else "No day is final yet, so every number may still change. "
    )
    filling = (
        f"{day(newest['metric_date'])} is still filling up ({number(newest['dau'])} users so far) "
        "and is not drawn."
    )
    return (
        f"The last complete day is <strong>{day(complete['metric_date'])}</strong>. {until}"
        f"{'' if newest['is_final'] else filling}"
    )


def _tiles(complete: Row | None) -> str:
    if complete is None:
        return ""
    state = badge(complete["is_final"], complete["completeness_pct"])
    sticky = share(complete["dau_mau"] if complete["is_mau_complete"] else None)
    return tiles(
        tile("DAU", number(complete["dau"]), "people on the day", state),
        tile("WAU", number(complete["wau"]), _window(complete["is_wau_complete"], 7), state),
        tile("MAU", number(complete["mau"]), _window(complete["is_mau_complete"], 28), state),
        tile("Stickiness", sticky, "DAU ÷ MAU", state),
        tile("New users", number(complete["new_user_count"]), "active for the first time", state),
    )


def _window(is_complete: object, days: int) -> str:
    return f"people in {days} days" if is_complete else f"history shorter than {days} days"


def _active(drawn: list[Row], anomalies: list[Row]) -> str:
    short = not all(row["is_mau_complete"] for row in drawn)
    marks = marks_of(drawn, anomalies, ("dau", "new_user_count"))
    text = (
        "People with at least one event that is no error on the day (DAU), in the last 7 days "
        "(WAU) and in the last 28 days (MAU). A person is counted once in each: do not add days up."
        + (" Dotted: the history is shorter than the window." if short else "")
        + (" A triangle marks a day that looked unusual." if marks else "")
    )
    lines = [
        series(drawn, "dau", "DAU", 0),
        series(drawn, "wau", "WAU", 1, "is_wau_complete"),
        series(drawn, "mau", "MAU", 2, "is_mau_complete"),
    ]
    chart = svg.lines(days_of(drawn), lines, whole, "Active users per day", marks)
    return section("Active users", text, chart, trust(drawn))


def _stickiness(drawn: list[Row]) -> str:
    text = (
        "The share of a month's users who come on a given day (DAU ÷ MAU), and the mean of that "
        "over the 28 days, which has no weekdays in it."
    )
    whole_windows = [row for row in drawn if row["is_mau_complete"]]
    if not whole_windows:
        return section("Stickiness", text, empty("Drawn once there are 28 days of history."))
    lines = [
        series(whole_windows, "dau_mau", "on the day", 0),
        series(whole_windows, "mean_dau_mau", "mean of 28 days", 2),
    ]
    spell = spelled([row["dau_mau"] or 0 for row in whole_windows])
    chart = svg.lines(days_of(whole_windows), lines, spell, "Stickiness per day")
    return section("Stickiness", text, chart, trust(whole_windows))


def _growth(growth: list[Row]) -> str:
    text = (
        "Per week, Monday to Sunday: who was active and had been the week before (retained), came "
        "for the first time (new) or came back (resurrected); below the line, who was there the "
        "week before and is gone (churned)."
    )
    if not growth:
        return section("Growth", text, empty("Drawn once there are two whole weeks of history."))
    up = [
        series(growth, "retained_user_count", "retained", 0),
        series(growth, "new_user_count", "new", 2),
        series(growth, "resurrected_user_count", "resurrected", 1),
    ]
    down = [series(growth, "churned_user_count", "churned", 3)]
    axis = days_of(growth, "period_start_date")
    chart = svg.stacks(axis, up, whole, "Users per week by where they came from", down)
    newest = growth[-1]
    said = (
        f'<p class="trust">Week from {day(newest["period_start_date"])}: quick ratio '
        f"{decimal(newest['quick_ratio'])}, {share(newest['retention_rate'])} retained, "
        f"{share(newest['churn_rate'])} churned "
        f"{badge(newest['is_final'], newest['completeness_pct'])}</p>"
    )
    return section("Growth", text, chart, said, trust(growth, "period_end_date"))


def _new(drawn: list[Row], numbers: Numbers) -> str:
    bars = [
        series(drawn, "returning_user_count", "returning", 0),
        series(drawn, "new_user_count", "new", 2),
    ]
    text = (
        "New: the person's first active day. On the first days of the history nearly everybody is "
        "new."
    )
    activated = [row for row in numbers.activation if row["is_final"]][-SUMMED_DAYS:]
    count = sum(row["new_user_count"] for row in activated)
    said = ""
    if count:
        rate = sum(row["activated_user_count"] for row in activated) / count
        said = (
            f'<p class="trust">Activation: {share(rate)} of the {number(count)} users who were new '
            f"in the {len(activated)} days to {day(activated[-1]['metric_date'])} came again "
            f"within six days {badge_of(activated)}</p>"
        )
    chart = svg.stacks(days_of(drawn), bars, whole, "New and returning users per day")
    return section("New and returning users", text, chart, said, trust(drawn))


def _retention(cohorts: list[Row]) -> str:
    text = (
        "Of the people whose first week it was, the share who were active n weeks later. Dashed: "
        "that week may still change."
    )
    if not cohorts:
        return section("Retention", text, empty("Drawn once a week of new users is over."))
    groups = [list(rows) for _, rows in groupby(cohorts, key=lambda row: row["cohort_date"])]
    shown = groups[-_COHORTS_SHOWN:]
    horizon = 1 + max(row["period_number"] for row in cohorts)
    head = "".join(f'<th scope="col">{n}</th>' for n in range(horizon))
    body = "".join(
        f'<tr><th scope="row">{short_day(rows[0]["cohort_date"])}</th>'
        f"<td>{number(rows[0]['cohort_size'])}</td>"
        + "".join(heat(row["retention_rate"], row["is_final"]) for row in rows)
        + "<td></td>" * (horizon - len(rows))
        + "</tr>"
        for rows in reversed(shown)
    )
    drawn = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Retention by week">'
        '<table class="heat"><thead><tr><th scope="col">Week of</th><th scope="col">New</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    return section(
        "Retention, week by week",
        text,
        drawn,
        trust([row for rows in shown for row in rows], "cohort_date"),
    )


def _frequency(frequency: list[Row]) -> str:
    text = "On how many of 28 days people were active: a smile at the right end is a habit."
    if not frequency:
        return section("Power users", text, empty("Drawn once there is a day that is final."))
    names = [str(row["active_day_count"]) for row in frequency]
    counts = [row["user_count"] for row in frequency]
    chart = svg.columns(names, counts, whole, "Users by number of active days")
    segments = []
    for name, group in groupby(frequency, key=lambda row: row["segment"]):
        rows = list(group)
        count = sum(row["user_count"] for row in rows)
        days = f"{rows[0]['active_day_count']} to {rows[-1]['active_day_count']} days"
        total = sum(counts)
        segments.append(
            [
                f"{escape(name)} <small>({days})</small>",
                number(count),
                share(count / total if total else None),
                amount(count, max(1, total)),
            ]
        )
    listed = table(("Segment", "Users", "Share", ""), segments)
    until = f"The 28 days up to {day(frequency[0]['metric_date'])} {badge_of(frequency)}"
    return section("Power users", text, chart, listed, f'<p class="trust">{until}</p>')


def _funnel(funnel: list[Row]) -> str:
    text = (
        f"From a view to a cart to a purchase, in that order, over the last {SUMMED_DAYS} final "
        "days: within one session, within the day, and within seven days of the day. Counted are "
        "days of people, so somebody who views on three days counts three times."
    )
    if not any(row["user_count"] for row in funnel):
        return section("Funnel", text, empty("Drawn once there is a day that is final."))
    rows = []
    spelled_scope = {"session": "in a session", "day": "in a day", "week": "in seven days"}
    for scope in spelled_scope:
        steps = [row for row in funnel if row["scope"] == scope]
        for before, row in zip([None, *steps], steps, strict=False):
            first = steps[0]["user_count"]
            rate = (
                row["user_count"] / before["user_count"]
                if before and before["user_count"]
                else None
            )
            rows.append(
                [
                    f"{spelled_scope[scope] if before is None else ''}",
                    escape(row["step"]),
                    number(row["user_count"]),
                    share(rate) if before else "",
                    share(row["user_count"] / first if first else None),
                    amount(row["user_count"], first),
                ]
            )
    names = ("Within", "Step", "Reached", "Of the step before", "Of all", "")
    state = f'<p class="trust">{badge_of(funnel)}</p>'
    return section("Funnel", text, table(names, rows, text_columns=2), state)


def _table(daily: list[Row], complete: Row | None, filling: bool) -> str:
    rows = []
    for row in reversed(daily[-_DAYS_IN_TABLE:]):
        note = ""
        if row is complete:
            note = ' <span class="note-mark">last complete</span>'
        elif filling and row is daily[-1]:
            note = ' <span class="note-mark">so far</span>'
        sticky = share(row["dau_mau"] if row["is_mau_complete"] else None)
        rows.append(
            [
                f"{row_day(row['metric_date'])}{note}",
                badge(row["is_final"], row["completeness_pct"]),
                *(number(row[name]) for name in ("dau", "wau", "mau")),
                sticky,
                *(number(row[name]) for name in ("new_user_count", "returning_user_count")),
                number(row["session_count"]),
                number(row["event_count"]),
            ]
        )
    names = (
        *("Day", "Trust", "DAU", "WAU", "MAU", "DAU ÷ MAU", "New", "Returning", "Sessions"),
        "Events",
    )
    title = f"The last {len(rows)} days in numbers"
    return section(title, "The newest first.", table(names, rows, text_columns=2))
