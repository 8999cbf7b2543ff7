"""The whole site on a lake in memory; tests/test_cookbook.py builds it through S3 and Athena."""

import json
import re
from contextlib import nullcontext

import pytest

import dashboard
import dashboard.builder as building
import expectations.docs
from dashboard.athena import Reply
from expectations import results
from expectations.validation import judge
from ingestion.errors import ContractError
from ingestion.lake import Lake
from tests.dashboard.numbers import numbers
from tests.ingestion.lakes import MemoryLake

PAGES = {
    "site/index.html",
    "site/metrics.html",
    "site/usage.html",
    "site/days.html",
    "site/answers.html",
    "site/costs.html",
    "site/runs.html",
    "site/style.css",
    "site/summary.json",
    "site/data_docs/index.html",
    "site/data_docs/docs_style.css",
    "site/data_docs/docs_script.js",
    "site/data_docs/validations/01.html",
    "site/dbt_docs/index.html",
}


class RememberingLake(MemoryLake):
    """Remembers in which order, and as what, objects were written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.content_types: dict[str, str] = {}

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        super().put(key, body)
        self.written.append(key)
        self.content_types[key] = content_type


class Recited:
    """Stands in Athena's place: every question has the same answer."""

    def ask(self, name: str, query: str) -> Reply:
        return Reply(["dau"], [{"dau": 7}], 100, 0.1)


def store_a_validation(lake: Lake) -> None:
    item = {
        "success": True,
        "expectation_config": {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "a"},
            "severity": "critical",
            "description": "a is there",
        },
        "exception_info": {"raised_exception": False},
    }
    found = judge("raw_access_logs", 1, {"results": [item], "meta": {}}, "batch 1")
    results.store(lake, found.document)


def store_run_results(lake: Lake) -> None:
    body = {"results": [{"unique_id": "model.d.a", "status": "success"}]}
    lake.put("dbt_runs/latest/a.json", json.dumps(body).encode())


@pytest.fixture
def target(tmp_path):
    (tmp_path / "static_index.html").write_text("<p>dbt docs</p>")
    analysis = {
        "resource_type": "analysis",
        "name": "01_how_many",
        "description": "How many? Seven, \nas ever.\n",
        "compiled_code": "\nselect 7 as dau\n",
        "config": {"meta": {"owner": "us"}},
    }
    nodes = {"analysis.d.01": analysis, "model.d.a": {"resource_type": "model"}}
    (tmp_path / "manifest.json").write_text(json.dumps({"nodes": nodes}))
    return tmp_path


@pytest.fixture
def lake(monkeypatch):
    lake = RememberingLake()
    for module in (building, expectations.docs):
        monkeypatch.setattr(module, "Lake", lake)
    monkeypatch.setattr(building.athena, "connected", lambda settings: nullcontext(Recited()))
    monkeypatch.setattr(building.warehouse, "read", lambda settings, athena: numbers(3))
    store_a_validation(lake)
    store_run_results(lake)
    lake.written.clear()
    return lake


def test_site_has_its_parts_with_types_that_a_browser_shows(lake, target, make_settings):
    uri = dashboard.build(make_settings(), target)

    assert uri == "s3://memory/site/index.html"
    assert set(lake.written) == PAGES
    types = {lake.content_types[key] for key in lake.written if key.endswith(".html")}
    assert types == {"text/html; charset=utf-8"}
    assert lake.content_types["site/style.css"] == "text/css; charset=utf-8"
    assert lake.content_types["site/data_docs/docs_style.css"] == "text/css; charset=utf-8"
    assert lake.content_types["site/data_docs/docs_script.js"] == "text/javascript; charset=utf-8"
    assert lake.content_types["site/summary.json"] == "application/json"


def test_index_is_uploaded_last_and_each_folder_after_its_pages(lake, target, make_settings):
    dashboard.build(make_settings(), target)

    order = lake.written
    assert order[-1] == "site/index.html"
    assert order.index("site/data_docs/index.html") > order.index(
        "site/data_docs/validations/01.html"
    )


def test_failed_build_leaves_the_old_site_standing(lake, target, make_settings, monkeypatch):
    def fail(*_: object) -> str:
        raise RuntimeError("the last page could not be rendered")

    monkeypatch.setattr(building.index_page, "render", fail)

    with pytest.raises(RuntimeError):
        dashboard.build(make_settings(), target)

    assert lake.written == []


def test_missing_dbt_docs_stop_the_build_with_a_hint(lake, tmp_path, make_settings):
    with pytest.raises(ContractError, match="dbt docs generate --static"):
        dashboard.build(make_settings(), tmp_path)

    assert lake.written == []


def test_building_twice_writes_the_same_names_and_figures(lake, target, make_settings):
    dashboard.build(make_settings(), target)
    first = json.loads(lake.objects["site/summary.json"])
    names = set(lake.objects)

    dashboard.build(make_settings(), target)

    second = json.loads(lake.objects["site/summary.json"])
    assert set(lake.objects) == names
    assert second | {"as_of": ""} == first | {"as_of": ""}


def test_the_last_good_day_is_the_one_that_the_site_shows(lake, target, make_settings):
    assert dashboard.last_good_day(make_settings()) is None

    dashboard.build(make_settings(), target)

    shown = json.loads(lake.objects["site/summary.json"])["metric_date"]
    assert dashboard.last_good_day(make_settings()) == shown


def test_every_link_of_the_site_leads_to_a_page(lake, target, make_settings):
    dashboard.build(make_settings(), target)

    for key in PAGES - {"site/dbt_docs/index.html"}:
        if not key.endswith(".html"):
            continue
        text = re.sub(rb"<script>.*?</script>", b"", lake.objects[key], flags=re.DOTALL).decode()
        for target_of_link in re.findall(r'(?:href|src)="([^"#:]+)"', text):
            parts = [*key.split("/")[:-1], *target_of_link.split("/")]
            while ".." in parts:
                place_of_dots = parts.index("..")
                del parts[place_of_dots - 1 : place_of_dots + 1]
            assert "/".join(parts) in lake.objects, f"{key} links {target_of_link}"


def test_answers_are_those_of_the_analyses_that_dbt_compiled(lake, target, make_settings):
    dashboard.build(make_settings(), target)

    page = lake.objects["site/answers.html"].decode()
    assert "<h2>How many?</h2><p>Seven, \nas ever.</p>" in page
    assert "select 7 as dau" in page
    assert "Owner: us." in page


def test_site_without_a_manifest_has_no_answers_but_is_built(lake, target, make_settings):
    (target / "manifest.json").unlink()

    dashboard.build(make_settings(), target)

    assert b"dbt has compiled no analysis yet" in lake.objects["site/answers.html"]
