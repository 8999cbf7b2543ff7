"""Runs one suite and says what came of it, so that silence is never taken for success.

Great Expectations is green on an empty suite, drops nothing loudly, and reports an expectation that
crashed next to one that failed. Here every expectation of the suite must have been evaluated, and
one that raised is a blocking failure whatever its severity.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd

WITHHELD = "withheld: an exception can quote values of the data; run the check again by hand"
"""What is kept of an exception; Great Expectations cannot render an empty trace."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What one suite found."""

    suite: str
    evaluated: int
    failed_blocking: list[str]
    failed_warning: list[str]
    document: dict[str, Any]
    """The result as JSON in Great Expectations' own shape, without a single value of the data."""


def quiet_context() -> Any:
    """Return a context in memory: no project folder, no telemetry, no progress bars."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
    )

    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars={"globally": False},
        ),
    )


def validate_frame(
    suite: "gx.ExpectationSuite", frame: "pd.DataFrame", run_name: str
) -> Validation:
    """Check all rows of ``frame``."""
    asset = quiet_context().data_sources.add_pandas("staged").add_dataframe_asset(suite.name)
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    return validate_batch(suite, batch, run_name)


def validate_batch(suite: "gx.ExpectationSuite", batch: Any, run_name: str) -> Validation:
    """Check ``batch``, whatever it lies in."""
    # BOOLEAN_ONLY: every other format copies offending values into the result.
    result = batch.validate(suite, result_format={"result_format": "BOOLEAN_ONLY"})
    return judge(suite.name, len(suite.expectations), result.to_json_dict(), run_name)


def judge(suite: str, expected: int, result: dict[str, Any], run_name: str) -> Validation:
    """Turn the result of Great Expectations into ours. Pure, so that its rules can be tested."""
    blocking: list[str] = []
    warning: list[str] = []
    for item in result["results"]:
        label = _label(item["expectation_config"])
        if _raised(item):
            blocking.append(f"{label} (could not be evaluated)")
        elif not item["success"]:
            severity = item["expectation_config"].get("severity")
            (warning if severity == "warning" else blocking).append(label)
    evaluated = len(result["results"])
    if not expected or evaluated != expected:
        blocking.append(f"the suite has {expected} expectations and {evaluated} were evaluated")
    return Validation(
        suite=suite,
        evaluated=evaluated,
        failed_blocking=blocking,
        failed_warning=warning,
        document=_document(suite, result, run_name),
    )


def _raised(item: dict[str, Any]) -> bool:
    """Tell whether an expectation crashed: the flag is flat, or one level down per metric."""
    info = item.get("exception_info") or {}
    nested = [part for part in info.values() if isinstance(part, dict)]
    return any(bool(part.get("raised_exception")) for part in (info, *nested))


def _label(config: dict[str, Any]) -> str:
    """Name an expectation by its column and reason; neither holds a value of the data."""
    kwargs = config.get("kwargs", {})
    columns = [kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs]
    return f"{' and '.join(columns) or 'table'}: {config.get('description') or config['type']}"


def _document(suite: str, result: dict[str, Any], run_name: str) -> dict[str, Any]:
    """Keep what Data Docs need and nothing that could hold a value, a path or a random id."""
    now = datetime.now(UTC).isoformat()
    items: list[dict[str, Any]] = []
    for item in result["results"]:
        config = item["expectation_config"]
        raised = _raised(item)
        items.append(
            {
                "success": bool(item["success"]) and not raised,
                "expectation_config": {
                    "type": config["type"],
                    "kwargs": {k: v for k, v in config["kwargs"].items() if k != "batch_id"},
                    "meta": {},
                    "severity": config.get("severity") or "critical",
                    "description": config.get("description"),
                },
                "result": {},
                "meta": {},
                "exception_info": {
                    "raised_exception": raised,
                    "exception_message": WITHHELD if raised else None,
                    "exception_traceback": WITHHELD if raised else None,
                },
            }
        )
    # The order in which metrics happened to be computed says nothing.
    items.sort(key=lambda item: _label(item["expectation_config"]))
    succeeded = sum(item["success"] for item in items)
    return {
        "success": bool(items) and succeeded == len(items),
        "suite_name": suite,
        "suite_parameters": {},
        "results": items,
        "statistics": {
            "evaluated_expectations": len(items),
            "successful_expectations": succeeded,
            "unsuccessful_expectations": len(items) - succeeded,
            "success_percent": 100.0 * succeeded / len(items) if items else None,
        },
        "meta": {
            "great_expectations_version": result["meta"].get("great_expectations_version"),
            "run_id": {"run_name": run_name, "run_time": now},
            "validation_time": now,
            "active_batch_definition": {
                "datasource_name": "daylight",
                "data_connector_name": "fluent",
                "data_asset_name": suite,
                "batch_identifiers": {},
            },
        },
    }
