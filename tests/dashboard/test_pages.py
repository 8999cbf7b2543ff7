"""The pages as functions of rows: complete without a network, honest about what is not there."""

import json
import re
from datetime import UTC, date, datetime

import pytest

from dashboard import index_page, metrics_page
from dashboard.summary import summarise
from dashboard.warehouse import Numbers
from tests.dashboard.numbers import health, numbers

BUILT_AT = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
HOSTILE = '/a</script><img src=x onerror="alert(1)">/{id}'

TAG_REFERENCE = re.compile(r"""<[a-z][^>]*?\b(?:src|href|srcset|action)\s*=\s*["']?([^"'\s>]+)""")
STYLE_REFERENCE = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""")


def metrics(days: int, *routes: str) -> str:
    return metrics_page.render(numbers(days, *routes), "Asia/Seoul", "Asia/Seoul")


def index(airflow_url: str | None = None, days: int = 3) -> str:
    summary = summarise(numbers(days), [], {}, BUILT_AT)
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
    return index_page.render(summary, validations, BUILT_AT, "Asia/Seoul", airflow_url)


def without_scripts(page: str) -> str:
    return re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def specs(page: str) -> dict[str, dict]:
    pattern = r'<script type="application/json" data-chart="([^"]+)">(.*?)</script>'
    return {name: json.loads(text) for name, text in re.findall(pattern, page, re.DOTALL)}


def rows_of(spec: object) -> list[dict]:
    """Return the inline data of a chart, wherever in the spec Altair put it."""
    if isinstance(spec, list):
        return [row for part in spec for row in rows_of(part)]
    if not isinstance(spec, dict):
        return []
    own = spec["values"] if isinstance(spec.get("values"), list) else []
    rows = [row for row in own if isinstance(row, dict)]
    return rows + [row for part in spec.values() for row in rows_of(part)]


@pytest.mark.parametrize("page", [metrics(35), metrics(0), index()], ids=["full", "empty", "index"])
def test_page_refers_to_no_other_machine(page):
    references = TAG_REFERENCE.findall(without_scripts(page)) + STYLE_REFERENCE.findall(
        without_scripts(page)
    )

    assert references
    assert not [one for one in references if re.match(r"(?:[a-z]+:)?//", one)]
    assert "<script src" not in page


def test_metrics_page_draws_every_chart_with_units_and_korean_days():
    page = metrics(35)

    found = specs(page)

    assert set(found) == {
        f"chart-{name}"
        for name in (
            *("people", "stickiness", "new", "requests", "errors"),
            *("records", "completeness", "lag"),
        )
    }
    text = json.dumps(found)
    for title in ("active users (people)", "DAU \\u00f7 MAU (%)", "requests", "records offered"):
        assert f'"title": "{title}"' in text
    assert '"title": "day (Asia/Seoul)"' in text
    assert "vegaEmbed" in page


def test_lines_end_at_the_last_complete_day_and_the_table_marks_both_days():
    page = metrics(35)  # 1 October to 4 November

    people = json.dumps(specs(page)["chart-people"])

    assert '"day": "2026-11-03"' in people
    assert '"day": "2026-11-04"' not in people
    assert "last complete day is <strong>Tue 3 Nov 2026</strong>" in page
    assert re.search(r'class="complete"><th scope="row">Tue 3 Nov 2026', page)
    assert re.search(r'class="partial"><th scope="row">Wed 4 Nov 2026', page)


def test_windows_without_enough_history_are_told_apart():
    page = metrics(10)

    rows = rows_of(specs(page)["chart-people"])

    windows = {(row["metric"], row["window"]) for row in rows if "metric" in row}
    assert ("DAU", "whole") in windows
    assert {("WAU", "whole"), ("WAU", "history too short")} <= windows
    assert ("MAU", "history too short") in windows
    assert ("MAU", "whole") not in windows
    assert "Drawn once there are 28 days of history" in page
    assert "Dotted: the history is shorter" in page
    assert re.search(r'Stickiness</div><div class="value">-</div>', page)
    assert "%</td>" not in page


def test_text_from_records_cannot_become_markup_or_end_the_script():
    page = metrics(3, HOSTILE)

    rows = json.dumps(specs(page))

    assert "</script><img" not in page
    assert "onerror" in rows  # it is there, as data


def test_ledger_shows_conflicts_and_replays_only_where_there_are_any():
    quiet, replayed = health(3), health(3)
    replayed[1]["replayed_count"] = 7
    pages = [
        metrics_page.render(Numbers(health=rows), "Asia/Seoul", "Asia/Seoul")
        for rows in (quiet, replayed)
    ]

    rows = [re.findall(r'<tr><th scope="row">(.*?)</tr>', page) for page in pages]

    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows[0]]
    assert cells == [["1,200", "1,000", "5", "193", "2", "1"]] * 3
    assert [row.count("<td>") for row in rows[1]] == [7, 7, 7]
    assert "<td>7</td>" in rows[1][1]
    outcomes = {row["outcome"] for row in rows_of(specs(pages[0])["chart-records"])}
    assert outcomes == {"good", "duplicate", "quarantined", "conflict"}


def test_empty_lake_and_a_lake_of_refused_records_have_a_page():
    empty = metrics_page.render(Numbers(), "Asia/Seoul", "Asia/Seoul")
    refused_only = metrics_page.render(
        Numbers(health=health(2), totals={"offered": 10}), "Asia/Seoul", "Asia/Seoul"
    )

    assert "No batch has been published yet" in empty
    assert "There is no usable record yet" in refused_only
    assert "chart-records" in specs(refused_only)


def test_first_day_alone_is_drawn_but_not_called_complete():
    page = metrics(1)

    assert "All events are of one day so far, Thu 1 Oct 2026" in page
    assert '"2026-10-01"' in json.dumps(specs(page)["chart-people"])
    assert "last complete day</span>" not in page


def test_index_links_its_parts_and_says_when_it_was_built_in_local_time():
    page = index("http://127.0.0.1:8080")

    links = re.findall(r'class="card" href="([^"]+)"', page)

    assert links == [
        "metrics.html",
        "data_docs/index.html",
        "dbt_docs/index.html",
        "http://127.0.0.1:8080",
    ]
    assert "Built Sat 21 Nov 2026, 00:30" in page  # 15:30 UTC is the next day in Seoul
    assert '<span class="verdict warned">warned</span>' in page
    assert "Fri 2 Oct 2026" in page


def test_index_without_airflow_or_complete_day_has_no_dead_link_and_no_false_zero():
    page = index(days=1)

    assert "Airflow" not in page
    assert "No complete day yet" in page


def test_day_is_written_with_its_weekday():
    from dashboard.page import day

    assert day(date(2024, 2, 29)) == "Thu 29 Feb 2024"
