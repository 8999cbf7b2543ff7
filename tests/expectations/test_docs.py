"""Data docs are read on a train: nothing on them may come from another machine."""

import re
from pathlib import Path

import pandas as pd
import pytest

from expectations import access_logs, docs
from expectations.validation import validate_frame

REFERENCE = re.compile(r"""(?:src|href|action|srcset|poster|data)\s*=\s*["']?([^"'\s>]+)""")
STYLE_REFERENCE = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""")


def references(folder: Path) -> set[str]:
    texts = [p.read_text() for p in folder.rglob("*") if p.suffix in {".html", ".css", ".js"}]
    return {
        found
        for text in texts
        for pattern in (REFERENCE, STYLE_REFERENCE)
        for found in pattern.findall(text)
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    red = validate_frame(access_logs.suite(), pd.DataFrame({"record_id": [1, 1]}), "batch 7")
    docs.write({"b": red.document, "a": red.document | {"results": []}}, folder)
    return folder


def test_pages_refer_to_no_other_machine(site):
    found = references(site)

    assert "docs_style.css" in found
    assert "../docs_style.css" in found
    remote = {one for one in found if re.match(r"(?:[a-z]+:)?//", one)}
    assert not remote
    for page in site.rglob("*.html"):
        assert "http" not in page.read_text()
        assert page.read_text().count("<script") == 1, "a script of theirs would need jQuery"


def test_every_local_reference_leads_somewhere(site):
    for page in site.rglob("*.html"):
        for target in REFERENCE.findall(page.read_text()):
            if target.startswith(("#", "data:")) or target.endswith("../index.html"):
                continue
            assert (page.parent / target).is_file(), f"{page.name} refers to {target}"


def test_validation_page_shows_reason_effect_and_outcome(site):
    page = (site / "validations" / "01.html").read_text()

    assert "No id occurs twice" in page
    assert '<span class="effect blocks">blocks</span>' in page
    assert '<span class="effect warns">warns</span>' in page
    assert '<span class="verdict failed">failed</span>' in page
    assert "Run: batch 7" in page
    assert "Traceback" not in page


def test_index_lists_each_validation_with_its_verdict(site):
    index = (site / "index.html").read_text()

    assert index.count('href="validations/') == 2
    assert index.count('class="verdict failed"') == 2


def test_index_without_validations_says_so():
    assert "No validation has been stored yet" in docs.index({})


@pytest.mark.parametrize(
    ("failed", "verdict"),
    [([], "passed"), (["warning"], "warned"), (["warning", "critical"], "failed")],
)
def test_verdict_follows_the_worst_failure(failed, verdict):
    items = [
        {
            "success": False,
            "expectation_config": {"severity": severity},
            "exception_info": {"raised_exception": False},
        }
        for severity in failed
    ]
    passed = {**(items or [{"exception_info": {}}])[0], "success": True}

    assert docs.verdict({"results": [*items, passed]}) == verdict
