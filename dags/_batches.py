"""The two steps that every batch takes after landing, whichever source it came from."""

from airflow.sdk import task

from _assets import RAW_ACCESS_LOGS
from _defaults import fail_at_once_unless_retryable


@task
@fail_at_once_unless_retryable
def check(manifests: list[str]) -> list[str]:
    """Validate each staged batch; a blocking failure keeps it, and all after it, unpublished."""
    import expectations
    from ingestion import Settings

    settings = Settings.from_env()
    for manifest in manifests:
        expectations.check_batch(settings, manifest)
    return manifests


@task(outlets=[RAW_ACCESS_LOGS])
@fail_at_once_unless_retryable
def publish(manifests: list[str]) -> dict[str, int]:
    """Make the checked batches visible to readers, in order; safe to run again."""
    import ingestion

    return ingestion.publish(ingestion.Settings.from_env(), manifests)
