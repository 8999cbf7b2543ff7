"""What one runner does, as the command line and the DAGs do it: land, approve, publish.

A job is plain data, so that it can be sent to the process that forks the runner.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from laptop import aws_descriptions

_LONGEST_WAIT = 0.02

FAILED, RETRYABLE, BUG = 1, 75, 70
"""Exit codes: as of ``python -m ingestion``, and one for an error that nobody meant to raise."""


def prepare() -> None:
    """Import what a runner needs, and make retries wait no longer than they have to."""
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(min(seconds, _LONGEST_WAIT))
    # Arrow would load both at its first array, a second of CPU in each runner, and needs neither.
    sys.modules.update(numpy=None, pandas=None)  # type: ignore[arg-type]
    import ingestion.__main__

    assert ingestion.__main__
    aws_descriptions.share("s3", "glue")


def perform(job: dict[str, Any]) -> int:
    """Do a job and return the exit code; the result or the error goes into ``job["result"]``."""
    import ingestion

    for name, value in job.get("constants", {}).items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    if not job.get("has_child", True):
        _derive_in_process()
    if job.get("bug"):
        from tests.chaos import seeded_bugs

        seeded_bugs.plant(job["bug"])
    told: dict[str, Any] = {}
    try:
        settings = ingestion.Settings.from_env(job["variables"])
        for step, *arguments in job["steps"]:
            told[step] = _take(ingestion, settings, step, arguments)
    except ingestion.IngestionError as error:
        told["error"] = f"{type(error).__name__}: {error}"
        return _told(job, told, RETRYABLE if error.retryable else FAILED)
    except BaseException:
        told["error"] = traceback.format_exc()
        return _told(job, told, BUG)
    return _told(job, told, 0)


def _derive_in_process() -> None:
    """Do without the child that decodes: it starts in half a second and touches no lake."""
    from ingestion import reconciling, records, replaying, staging

    for module in (staging, replaying, reconciling):
        module.derive = records.derive


def _take(ingestion: Any, settings: Any, step: str, arguments: list[Any]) -> Any:
    if step == "rederive_once":
        return _rederive_once(ingestion, settings, *arguments)
    made = getattr(ingestion, step)(settings, *arguments)
    return _shown(ingestion, settings, list(getattr(made, "manifests", made)))


def _shown(ingestion: Any, settings: Any, manifests: list[str]) -> Any:
    for manifest in manifests:
        ingestion.approve(settings, manifest)
    return ingestion.publish(settings, manifests)


def _rederive_once(ingestion: Any, settings: Any, seq: int) -> Any:
    """Derive a batch again unless that was done: what an operator does who was interrupted."""
    try:
        return _take(ingestion, settings, "rederive", [[seq]])
    except ingestion.ConfigError as error:
        if "superseded already" not in str(error):
            raise
        return _take(ingestion, settings, "replay", [])  # it finishes what is unpublished, too


def _told(job: dict[str, Any], told: dict[str, Any], code: int) -> int:
    Path(job["result"]).write_text(json.dumps({**told, "code": code}))
    return code
