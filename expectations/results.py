"""Keeps what the suites found, as JSON in the lake. Knows nothing of Great Expectations.

One object per validation, named ``<suite>/<UTC stamp>-<digest>.json``, so that the newest of a
suite is the last by name.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ingestion.lake import Lake

PREFIX = "expectations/validations/"

KEPT_IN_DOCS = 50
"""Validations that Data Docs show: a page takes 40 ms to render, and nobody reads older ones."""


def store(lake: Lake, document: Mapping[str, Any]) -> str:
    """Write one result and return its key; the same result goes to the same key."""
    body = json.dumps(document, ensure_ascii=False, sort_keys=True).encode()
    at = datetime.fromisoformat(document["meta"]["validation_time"])
    digest = hashlib.sha256(body).hexdigest()[:8]
    key = f"{PREFIX}{document['suite_name']}/{at:%Y%m%dT%H%M%S.%fZ}-{digest}.json"
    lake.put(key, body, content_type="application/json")
    return key


def latest(lake: Lake, limit: int = KEPT_IN_DOCS) -> dict[str, dict[str, Any]]:
    """Return the newest results by key, newest first; of each suite at least its last one."""
    by_age = sorted(_keys(lake), key=_name, reverse=True)
    # First the last one of each suite: one that rarely runs must not be pushed out of sight.
    chosen = set({_suite(key): key for key in reversed(by_age)}.values())
    others = [key for key in by_age if key not in chosen]
    chosen.update(others[: max(0, limit - len(chosen))])
    return _read(lake, sorted(chosen, key=_name, reverse=True))


def latest_of_each_suite(lake: Lake) -> dict[str, dict[str, Any]]:
    """Return the last result of every suite, by suite."""
    last = {_suite(key): key for key in sorted(_keys(lake))}
    found = _read(lake, list(last.values()))
    return {suite: found[key] for suite, key in last.items() if key in found}


def forget(lake: Lake, before: datetime) -> int:
    """Delete the results from before an instant, but for the last of each suite; say how many."""
    by_suite = sorted(_keys(lake))
    last = {_suite(key): key for key in by_suite}
    until = f"{before.astimezone(UTC):%Y%m%dT%H%M%S}"
    old = [key for key in by_suite if _name(key) < until and key != last[_suite(key)]]
    for key in old:
        lake.delete(key)
    return len(old)


def _keys(lake: Lake) -> list[str]:
    return [key for key in lake.keys(PREFIX) if key.endswith(".json")]


def _name(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _suite(key: str) -> str:
    return key.removeprefix(PREFIX).rsplit("/", 1)[0]


def _read(lake: Lake, keys: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key in keys:
        body = lake.get(key)
        if body is not None:
            found[key] = json.loads(body)
    return found
