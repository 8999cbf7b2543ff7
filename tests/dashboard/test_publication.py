"""What the site says of a build that was refused: when, and by what, until a newer one is shown."""

import json

import pytest

from dashboard.publication import Publication, judge
from ingestion.marts import Audit

SHOWN_AT = "2026-11-20T03:00:00Z"
NODES = {"model.daylight.fct_sessions", "test.daylight.is_key_fct_sessions.0a1b"}


def audit(at: str, *failed: str) -> Audit:
    return Audit(at, "digest", list(failed), ["a warning"])


def left(at: str, status: str, node: str = "test.daylight.is_key_fct_sessions.0a1b") -> bytes:
    results = [{"unique_id": node, "status": status}]
    return json.dumps({"metadata": {"generated_at": at}, "results": results}).encode()


@pytest.mark.parametrize(
    ("audited", "results"),
    [
        (None, []),
        (audit("2026-11-20T02:59:00Z"), [left("2026-11-20T02:50:00.123Z", "pass")]),
        (audit("2026-11-20T02:00:00Z", "red, then built again and published"), []),
        (None, [left("2026-11-20T03:10:00.123Z", "warn")]),
        (None, [left("2026-11-20T03:10:00.123Z", "fail", "test.daylight.of_no_model.0a1b")]),
    ],
)
def test_nothing_was_refused(audited: Audit | None, results: list[bytes]):
    assert judge(SHOWN_AT, audited, results, NODES) == Publication(SHOWN_AT)


def test_what_was_red_since_is_named_with_its_moment():
    audited = audit("2026-11-20T03:20:00Z", "metrics_daily_active: dau: A reason.")
    results = [
        left("2026-11-20T03:10:00.123Z", "fail"),
        left("2026-11-20T03:05:00.123Z", "error", "model.daylight.fct_sessions"),
    ]

    found = judge(SHOWN_AT, audited, results, NODES)

    assert found.refused_at == "2026-11-20T03:20:00Z"
    assert found.refused_by == [
        "fct_sessions",
        "is_key_fct_sessions",
        "metrics_daily_active: dau: A reason.",
    ]
