"""
### Compact the lake

Merges the small raw files of days that are over into few, so that queries open fewer of them.
Each night it closes days (the staging of their batches is deleted) and rewrites those that the
night before closed; not a row is another.

| | |
| --- | --- |
| **Impact** | tier 3: queries read more files until it has run; no number changes |
| **If `compact` fails** | it deleted nothing of the day that the message names, and did every \
other day. A file that is gone was deleted by somebody else: restore it from the bucket's versions \
and clear the task. Cut short, it goes on where it was |
| **If a query fails on a missing file** | it began before the small files went: run it again |
"""

from airflow.sdk import CronTriggerTimetable, dag, task

from _defaults import DEFAULT_ARGS, TELLING, deadline_of, fail_at_once_unless_retryable


@dag(
    # Before reconcile_access_logs and verify_warehouse, which then read the merged files.
    schedule=CronTriggerTimetable("0 4 * * *", timezone="Asia/Seoul"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    deadline=deadline_of(hours=3),
    tags=["maintain"],
    **TELLING,
)
def compact_lake() -> None:
    """Close what is over, rewrite what is closed."""

    @task
    @fail_at_once_unless_retryable
    def compact() -> dict[str, int]:
        import ingestion

        return ingestion.compact(ingestion.Settings.from_env())

    compact()


compact_lake()
