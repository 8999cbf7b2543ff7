"""Runs the suites and decides: a blocking failure stops what comes next, a warning is only kept.

``check_batch`` looks at staged files before anybody can read them; ``check_marts`` at the tables
that dbt has just built, before they are published. Both store what they found before they raise, so
that Data Docs can show why.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ingestion
from expectations import results, staged_batch
from ingestion.errors import ContractError, IngestionError
from ingestion.lake import Lake
from ingestion.marts import Audit, Marts
from ingestion.settings import Settings

if TYPE_CHECKING:
    from expectations.validation import Validation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found, over all the suites it ran."""

    suite: str
    evaluated: int
    """Expectations that were evaluated; always all of the suites' own."""
    failed_blocking: list[str]
    failed_warning: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name: JSON, for a task's return value."""
        return asdict(self)


class CheckFailed(IngestionError):
    """A blocking expectation failed: the data stays invisible until a person has looked at it."""

    def __init__(self, result: CheckResult) -> None:
        """Say which expectations failed; their names hold no value of the data."""
        self.result = result
        failures = "; ".join(failure.rstrip(".") for failure in result.failed_blocking)
        super().__init__(
            f"{result.suite}: {len(result.failed_blocking)} blocking expectations failed "
            f"of {result.evaluated}: {failures}. The data docs show it."
        )


def check_batch(settings: Settings, manifest_uri: str) -> CheckResult:
    """Check the staged batch that ``manifest_uri`` describes, and approve it. Safe to run again.

    Raises:
        CheckFailed: if a blocking expectation failed; the batch must not be published.
        ContractError: if the manifest or a staged file is missing or unreadable.
    """
    from expectations import access_logs, published_batches, quarantined_records
    from expectations.validation import validate_frame

    lake = Lake(settings)
    body = lake.get(lake.key_of(manifest_uri))
    if body is None:
        raise ContractError(f"There is no manifest at {manifest_uri}. Land the batch again.")
    manifest = staged_batch.read_manifest(body)
    batch = staged_batch.read(manifest, lake.get, settings.source_time_zone)
    frames = [(published_batches.suite(), batch.sums)]
    if batch.good is not None:
        frames.append((access_logs.suite(), batch.good))
    if batch.quarantined is not None:
        frames.append((quarantined_records.suite(), batch.quarantined))
    result = _conclude(
        settings,
        "raw_access_logs",
        [
            validate_frame(suite, table.to_pandas(), f"batch {batch.seq} from {batch.source}")
            for suite, table in frames
        ],
    )
    _raise_if_failed(settings, result)
    ingestion.approve(settings, manifest_uri)  # last: `publish` takes nothing that is not approved
    return result


def check_marts(settings: Settings) -> CheckResult:
    """Check the tables that dbt built, where they lie, through Athena. Safe to run again.

    What was looked at is noted with what was found: nothing else can be published.

    Raises:
        CheckFailed: if a blocking expectation failed; readers keep the numbers they have.
    """
    from expectations import marts

    built = Marts(settings)
    digest = built.digest()  # before: what changes meanwhile was not looked at
    result = _conclude(settings, "marts", marts.validate(settings))
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    built.note(Audit(at, digest, result.failed_blocking, result.failed_warning))
    _raise_if_failed(settings, result)
    return result


def _conclude(settings: Settings, name: str, validations: Sequence["Validation"]) -> CheckResult:
    """Store every result, then judge them together."""
    lake = Lake(settings)
    for validation in validations:
        key = results.store(lake, validation.document)
        logger.info(
            "checked suite=%s evaluated=%d failed_blocking=%d failed_warning=%d result=%s",
            validation.suite,
            validation.evaluated,
            len(validation.failed_blocking),
            len(validation.failed_warning),
            key,
        )
        for failure in validation.failed_warning:
            logger.warning("expectation failed suite=%s %s", validation.suite, failure)
    return CheckResult(
        suite=name,
        evaluated=sum(validation.evaluated for validation in validations),
        failed_blocking=[
            f"{validation.suite}: {failure}"
            for validation in validations
            for failure in validation.failed_blocking
        ],
        failed_warning=[
            f"{validation.suite}: {failure}"
            for validation in validations
            for failure in validation.failed_warning
        ],
    )


def _raise_if_failed(settings: Settings, result: CheckResult) -> None:
    if result.failed_blocking:
        _show(settings)
        raise CheckFailed(result)


def _show(settings: Settings) -> None:
    from expectations import docs

    try:
        docs.publish(settings)
    except IngestionError as error:
        # What failed is what has to be raised; that it could not be shown comes second.
        logger.warning("data docs were not refreshed: %s", error)
