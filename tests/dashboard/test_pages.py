"""The pages as functions of rows: complete without a network, honest about what is not there."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import pytest

from dashboard import (
    answers_page,
    costs_page,
    days_page,
    index_page,
    metrics_page,
    runs_page,
    usage_page,
)
from dashboard.athena import Reply
from dashboard.charts import wilson
from dashboard.cookbook import Answer, Question
from dashboard.page import STYLE, badge, day, percent, seconds, size
from dashboard.publication import Publication
from dashboard.summary import last_complete_day, summarise
from dashboard.warehouse import Numbers
from tests.dashboard.numbers import FIRST_DAY, anomaly, health, numbers, restatement

BUILT_AT = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
SEOUL = "Asia/Seoul"
HOSTILE = '/a</script><img src=x onerror="alert(1)">/{id}'

REFERENCE = re.compile(r"""(?:src|href|srcset|action)\s*=\s*["']?([^"'\s>]+)""")
VOID = {"meta", "link", "br", "img"}


NO_RUN: dict = {"runs": {}, "tasks": {}, "tables": {}}
HOSTILE_RUN = {
    "runs": {HOSTILE: {"run": "1", "started_at": "2026-11-20T15:00:00+00:00", "state": HOSTILE}},
    "tasks": {
        "a": {
            **{"run": "1", "dag_id": HOSTILE, "task_id": HOSTILE, "state": HOSTILE},
            **{"started_at": "2026-11-20T15:00:00+00:00", "ended_at": None},
            **{"upstream": [], "assets": [], "recent": []},
        }
    },
    "tables": {HOSTILE: [HOSTILE + "x"]},
}


def index(
    airflow_url: str | None = None,
    days: int = 7,
    standing: dict | None = None,
    publication: Publication | None = None,
) -> str:
    found = numbers(days)
    validations = {
        "raw_access_logs": {
            "statistics": {"successful_expectations": 24, "evaluated_expectations": 25},
            "results": [
                {
                    "success": False,
                    "expectation_config": {"severity": "warning"},
                    "exception_info": {"raised_exception": False},
                }
            ],
            "meta": {"run_id": {"run_time": "2026-11-20T15:00:00+00:00"}},
        }
    }
    summary = summarise(found, [], {}, BUILT_AT)
    complete = last_complete_day(found.daily)
    return index_page.render(
        summary,
        validations,
        BUILT_AT,
        SEOUL,
        airflow_url,
        complete,
        standing or {},
        publication,
    )


def answer(rows: int = 10, is_personal: bool = False, **columns: object) -> Answer:
    columns = {"metric_date": FIRST_DAY, "dau": 5, **columns}
    columns |= {"is_final": True, "completeness_pct": 99.98}
    question = Question(
        "01_how_many", "How many <b>people</b>?", "A few.", "select 1 < 2", "us", is_personal
    )
    return Answer(question, Reply(list(columns), [dict(columns)] * rows, 12_345, 0.25))


def every_page(found: Numbers) -> dict[str, str]:
    return {
        "people": metrics_page.render(found, SEOUL),
        "usage": usage_page.render(found, SEOUL),
        "days": days_page.render(found, SEOUL, SEOUL),
        "costs": costs_page.render(found, [answer()]),
        "answers": answers_page.render([answer()] if found.daily else []),
        "runs": runs_page.render(HOSTILE_RUN if found.daily else NO_RUN, [], "raw"),
        "index": index(days=len(found.daily)),
    }


FULL = replace(
    numbers(35, "/", HOSTILE),
    anomalies=[anomaly(20), anomaly(21, "suppressed", "activity_event_count", HOSTILE)],
    restatements=[restatement()],
    missing=[
        {
            "first_missing_id": 7,
            "last_missing_id": 9,
            "missing_id_count": 3,
            "overtaken_at": BUILT_AT,
            "overtaken_batch_seq": 4,
        }
    ],
)
PAGES = {
    f"{name} of {amount}": page
    for amount, found in (("35 days", FULL), ("one day", numbers(1)), ("nothing", Numbers()))
    for name, page in every_page(found).items()
}


class Balance(HTMLParser):
    """Notes what is opened and closed, as a browser that forgives nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_page_is_whole_and_needs_no_script_and_no_other_machine(page: str):
    reader = Balance()
    reader.feed(page)

    assert reader.open == []
    assert not reader.seen & {"script", "iframe", "img", "object"}
    assert len(reader.ids) == len(set(reader.ids))
    references = REFERENCE.findall(re.sub(r"<pre.*?</pre>|&lt;.*?&gt;", "", page))
    assert "style.css" in references
    assert not [one for one in references if re.match(r"(?:[a-z]+:)?//", one)]
    assert " on" not in "".join(re.findall(r"<[a-z][^>]*>", page)).replace(" only", "")


def test_style_refers_to_nothing():
    assert not re.findall(r"url\(|@import", STYLE.read_text())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground_by_wcag_aa(scheme: str):
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))

    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        bright, dark = sorted((luminance(colours[one]), luminance(colours[other])), reverse=True)
        return (bright + 0.05) / (dark + 0.05)

    words = ("ink", "soft", "accent", "good", "bad", "warn")
    low = {(w, g) for w in words for g in ("paper", "ground") if contrast(w, g) < 4.5}
    assert low == set()
    assert {n for n in range(6) if contrast(f"c{n}", "paper") < 3} == set()


def test_text_from_records_cannot_become_markup():
    pages = "".join(every_page(FULL).values())

    assert "<img" not in pages
    assert "&lt;img src=x onerror=" in pages


def test_lines_are_dotted_before_the_window_is_whole_and_dashed_where_nothing_is_final():
    page = PAGES["people of 35 days"]
    chart = re.search(
        r'<svg viewBox="0 0 1000.*?aria-label="Active users per day".*?</svg>', page, re.S
    )
    assert chart

    styles = re.findall(r'class="line c(\d) (\w*)" points="([^"]*)"', chart[0])

    # MAU: 27 days are too short; the newest day is not drawn, two before it are not final.
    counts = {(colour, style): len(points.split()) for colour, style, points in styles}
    assert counts["2", "dotted"] == 28  # and one in common with what follows
    assert counts["2", ""] == 32 - 27
    assert counts["2", "dashed"] == 2 + 1
    assert ("0", "dotted") not in counts


def test_every_day_of_a_chart_says_whether_it_is_final_and_how_complete():
    page = PAGES["people of 35 days"]

    assert "Fri 2 Oct 2026\nDAU: 101\nWAU: 301\nMAU: 901\nfinal, 98.5 % complete" in page
    assert "Mon 2 Nov 2026\nDAU: 132\nWAU: 332\nMAU: 932\nnot final, 100 % complete" in page
    assert "Final up to Sun 1 Nov 2026; the least complete has 98.5 % of its records." in page
    assert "alert: dau 40.0, expected 100 (65.0 to 135)" in page.replace("100.0", "100").replace(
        "135.0", "135"
    )


def test_newest_day_is_not_drawn_while_it_fills_up():
    page = PAGES["people of 35 days"]

    assert "The last complete day is <strong>Tue 3 Nov 2026</strong>" in page
    assert "Wed 4 Nov 2026 is still filling up (134 users so far)" in page
    assert "Wed 4 Nov 2026\nDAU" not in page
    finished = numbers(35)
    finished.daily[-1]["is_final"] = True
    assert "Wed 4 Nov 2026\nDAU" in metrics_page.render(finished, SEOUL)


def test_retention_triangle_has_a_cell_for_each_week_that_began():
    page = PAGES["people of 35 days"]
    triangle = re.search(r'<table class="heat">.*?</table>', page)
    assert triangle

    rows = re.findall(r"<tr>(.*?)</tr>", triangle[0])[1:]

    shares = [re.findall(r"<td[^>]*>([\d.]+)%</td>", row) for row in rows]
    assert [len(row) for row in shares] == [1, 2, 3, 4, 5]
    assert shares[-1] == ["100", "90", "80", "70", "60"]
    assert all(row.count("<td") == 6 for row in rows)


def test_short_history_says_what_it_waits_for():
    page = PAGES["people of one day"]

    assert "All events are of one day so far, Thu 1 Oct 2026" in page
    assert "Drawn once there are 28 days of history" in page
    assert "Drawn once there are two whole weeks" in page
    assert "No batch has been published yet" in PAGES["people of nothing"]
    refused_only = metrics_page.render(Numbers(health=health(2)), SEOUL)
    assert "There is no usable record yet" in refused_only
    assert "What became of the records" in days_page.render(Numbers(health=health(2)), SEOUL, SEOUL)


def test_days_are_final_near_or_open_and_say_what_is_missing():
    page = PAGES["days of 35 days"]

    assert 'class="state-gaps" title="Fri 2 Oct 2026: final, less than 99 %, 98.5 %"' in page
    assert page.count('class="state-open"') == 3
    assert page.count('class="state-whole"') == 31
    assert days_page.state({"is_final": True, "completeness_pct": 99.89}) == "near"
    assert days_page.state({"is_final": True, "completeness_pct": None}) == "whole"
    assert "7 to 9" in page
    assert "key arrived" in page


def test_day_whose_tables_lag_behind_a_batch_is_seen():
    behind = numbers(5)
    behind.built[2]["fresh_count"] = 5

    page = days_page.render(behind, SEOUL, SEOUL)

    assert page.count("5 of 7") == 1


def test_errors_are_ordered_by_what_is_certain():
    rows = [
        {"route": "/once", "request_count": 1, "error_count": 1},
        {"route": "/often", "request_count": 1000, "error_count": 400},
    ]
    both = [row | {"method": "GET", "is_final": True, "completeness_pct": 100.0} for row in rows]

    page = usage_page.render(replace(numbers(5), endpoints=both), SEOUL)

    errors = page[page.index("<h2>Errors") :]
    assert errors.index("/often") < errors.index("/once")
    low, high = wilson(400, 1000)
    assert (round(low, 4), round(high, 4)) == (0.3701, 0.4307)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1


def test_costs_are_shown_per_model_with_the_costliest_first():
    page = PAGES["costs of 35 days"]

    assert page.index("fct_user_daily") < page.index("metrics_daily_active")
    assert "2.0 MB" in page
    assert "20.0 MB" in page
    assert "22.5 MB" in page  # all queries of all kinds
    assert "No history has been landed yet" in PAGES["costs of nothing"]


def test_answer_shows_rows_cost_and_query_and_hides_people():
    shown = answers_page.render([answer(10)])
    hidden = answers_page.render([answer(10, is_personal=True, user_id="ab" * 32)])

    assert "How many &lt;b&gt;people&lt;/b&gt;?" in shown
    assert shown.count('<th scope="row">') == 10
    assert "2 more rows" in shown
    assert "12.3 kB read in 250 ms; all of it is final" in shown
    assert "select 1 &lt; 2" in shown
    assert "ab" * 32 not in hidden
    assert "10 rows. They hold pseudonyms" in hidden
    assert "No row" in answers_page.render([answer(0)])


def test_index_links_its_parts_and_says_when_it_was_built_in_local_time():
    page = index("http://127.0.0.1:8080")

    links = re.findall(r'class="card" href="([^"]+)"', page)

    assert links == [
        *("metrics.html", "usage.html", "days.html", "answers.html", "costs.html"),
        "runs.html",
        "data_docs/index.html",
        "dbt_docs/index.html",
        "http://127.0.0.1:8080",
    ]
    assert "Built Sat 21 Nov 2026, 00:30" in page  # 15:30 UTC is the next day in Seoul
    assert '<span class="verdict warned">warned</span>' in page
    assert "Tue 6 Oct 2026" in page
    assert '<span class="badge open"' in page


def test_index_says_what_was_wrong_when_it_was_built_and_nothing_if_nothing_was():
    since = "2026-11-20T15:00:00+00:00"
    incident = {"dag_id": "verify_warehouse", "since": since, "tasks": ["test"]}
    letter = {"channel": "Teams", "title": "<b> failed", "since": since, "problem": "HTTP 404"}
    given_up = letter | {"is_given_up": True}

    page = index(standing={"incidents": [incident], "undelivered": [given_up]})

    assert "<strong>verify_warehouse</strong> fails since 2026-11-20 15:00 UTC: test" in page
    assert "Teams was not told “&lt;b&gt; failed” of 2026-11-20 15:00 UTC: HTTP 404; nobody" in page
    assert "Wrong when this was built" not in index()


def test_index_says_of_which_moment_the_numbers_are_and_that_a_newer_build_was_refused():
    at, refused_at = "2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z"

    green = index(publication=Publication(at))
    red = index(publication=Publication(at, refused_at, ["dau: <b> is a finite number"]))

    assert "Numbers as published at 2026-11-20 14:00 UTC." in green
    assert "refused" not in green
    assert "At 2026-11-20 15:00 UTC, by what is named here." in red
    assert "as they were published at 2026-11-20 14:00 UTC" in " ".join(red.split())
    assert "<li>dau: &lt;b&gt; is a finite number</li>" in red


def test_index_without_airflow_or_complete_day_has_no_dead_link_and_no_false_zero():
    page = index(days=1)

    assert "Airflow" not in page
    assert "No complete day yet" in page


def test_numbers_are_written_for_people():
    assert day(date(2024, 2, 29)) == "Thu 29 Feb 2024"
    assert [percent(value) for value in (100.0, 99.9999, 99.5, 98.54, None)] == [
        *("100 %", "99.99 %", "99.50 %", "98.5 %", "-")
    ]
    assert [size(n) for n in (0, 999, 1000, 2_500_000, None)] == [
        *("0 B", "999 B", "1.0 kB", "2.5 MB", "-")
    ]
    assert [seconds(n) for n in (0.25, 1.5, 119, 7200, 200_000)] == [
        *("250 ms", "1.5 s", "119.0 s", "2.0 h", "2.3 d")
    ]
    assert "final · 99.99 %" in badge(True, 99.999)
    assert "open" in badge(False, None)


def test_page_of_half_a_year_is_small():
    page = metrics_page.render(numbers(182), SEOUL)

    assert len(page) < 400_000
    assert str(FIRST_DAY + timedelta(days=181)) not in page
