"""
### Ingest access logs

Reads what the log API has to offer, lands what is new, checks it, and only then publishes it.

| | |
| --- | --- |
| **Impact** | tier 1: every metrics table reads `raw.access_logs` |
| **If `land` fails** | the API is late or refuses us; it is retried, then pages. A wrong key or \
URL fails at once and says which. Nothing was lost: the next run fetches the same records |
| **If `check` fails** | yesterday's data stays live. Read the named expectations in the data \
docs, fix the source or the suite, then clear `check` |
| **If `publish` fails** | clear it: it copies the same files to the same names |
| **If it was off for long** | just unpause it: with a cursor it fetches all that was missed; \
from a window source, load the missing days with `load_dumps` |
"""

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from _batches import check, publish
from _defaults import FIRST, TELLING, deadline_of, fail_at_once_unless_retryable


@dag(
    # Ten minutes: an order of magnitude below the time a record stays in the source's window.
    schedule=CronTriggerTimetable("*/10 * * * *", timezone="Asia/Seoul"),
    catchup=False,
    max_active_runs=1,
    default_args=FIRST,
    doc_md=__doc__,
    deadline=deadline_of(hours=1),
    tags=["ingest"],
    **TELLING,
)
def ingest_access_logs() -> None:
    """Land, check and publish what the log API offers now."""

    @task
    @fail_at_once_unless_retryable
    def land() -> list[str]:
        import ingestion

        manifests = ingestion.land_api(ingestion.Settings.from_env())
        if not manifests:
            raise AirflowSkipException("Nothing new at the source.")
        return manifests

    publish(check(land()))


ingest_access_logs()
