"""
### Expire history

Removes what no number depends on and nobody needs any more, by the `KEEP_…_DAYS` of `.env.example`:
the lake's landing bodies and staged files of published batches, Athena's answers, results of
checks; task logs; and old runs from Airflow's database.

| | |
| --- | --- |
| **Impact** | tier 3: disk and bucket grow until it has run; no number changes |
| **If `clear_lake` fails** | a hole in the landing log stops it, and nothing was deleted: do what \
the message says first. Cut short, it goes on where it was |
| **If `clear_logs` fails** | the folder of the logs cannot be written: put its rights right, \
clear the task |
| **If `clear_metadata` fails** | its log has the last lines of `airflow db clean`: usually the \
database is busy; clear the task. It is skipped where the connection `daylight_metadata` is not \
made, whose password is the address of Airflow's database |
"""

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from _defaults import DEFAULT_ARGS, TELLING, deadline_of, fail_at_once_unless_retryable


@dag(
    # Before compact_lake, which then has less to look at.
    schedule=CronTriggerTimetable("30 3 * * *", timezone="Asia/Seoul"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    deadline=deadline_of(hours=3),
    tags=["maintain"],
    **TELLING,
)
def expire_history() -> None:
    """Clear the lake, the logs and Airflow's database; each for itself."""

    @task
    @fail_at_once_unless_retryable
    def clear_lake() -> dict[str, int]:
        from datetime import UTC, datetime, timedelta

        import ingestion
        from expectations import results
        from ingestion.lake import Lake

        settings = ingestion.Settings.from_env()
        before = datetime.now(UTC) - timedelta(days=settings.keep_validations_days)
        validations = results.forget(Lake(settings), before)
        return ingestion.expire(settings) | {"validations": validations}

    @task
    @fail_at_once_unless_retryable
    def clear_logs() -> int:
        import _airflow_history
        from ingestion import Settings

        return _airflow_history.clear_logs(Settings.from_env().keep_airflow_days)

    @task
    @fail_at_once_unless_retryable
    def clear_metadata() -> None:
        import _airflow_history
        from ingestion import Settings

        if not _airflow_history.clear_metadata(Settings.from_env().keep_airflow_days):
            raise AirflowSkipException("There is no connection daylight_metadata.")

    clear_lake()
    clear_logs()
    clear_metadata()


expire_history()
