"""
### Reconcile access logs

Reads the last seven days of the source once more and compares them with the lake, record by
record. What is late is landed, checked and published like anything new.

| | |
| --- | --- |
| **Impact** | tier 2: it finds what nobody else would notice; no table waits for it |
| **If `compare` fails** | either the API is late (it is retried), or a record differs or is lost: \
the message counts them and names their ids. Differing: the source rewrote history, or a row was \
altered; look at both. Lost: restore the raw files from the bucket's versions, or derive the batch \
again (`python -m ingestion rederive`). Late records were landed all the same |
| **If `check` fails** | read the named expectations in the data docs, fix it, clear `check` |
| **If `publish` fails** | clear it: it copies the same files to the same names |
"""

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from _batches import check, publish
from _defaults import DEFAULT_ARGS, TELLING, deadline_of, fail_at_once_unless_retryable


@dag(
    # The quietest hour of the source: seven days are read on top of its own work.
    schedule=CronTriggerTimetable("30 4 * * *", timezone="Asia/Seoul"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    deadline=deadline_of(hours=3),
    tags=["ingest"],
    **TELLING,
)
def reconcile_access_logs() -> None:
    """Compare the source with the lake; land, check and publish what was late."""

    @task
    @fail_at_once_unless_retryable
    def compare() -> list[str]:
        import ingestion

        found = ingestion.reconcile(ingestion.Settings.from_env())
        found.refuse_unless_clean()
        if not found.manifests:
            raise AirflowSkipException("Nothing was late.")
        return found.manifests

    publish(check(compare()))


reconcile_access_logs()
